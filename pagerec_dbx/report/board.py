"""The table of results: who was measured, how well, and how far from the challenger."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from pagerec_dbx.figures import MISSING, number, signed
from pagerec_dbx.report.content import METRICS, PROTOCOLS, ROLES, SPLIT, Difference, Result, role_of, spoken


@dataclasses.dataclass(frozen=True)
class Line:
    """One version, floor or ceiling; `difference` is what the challenger has more than it."""

    result: Result
    difference: Difference | None

    @property
    def label(self) -> str:
        role = "measured elsewhere" if self.result.role == "imported" else self.result.role
        beside = [*([] if role == "version" else [role]), *([self.result.note] if self.result.note else [])]
        return f"{spoken(self.result.name)} ({', '.join(beside)})" if beside else spoken(self.result.name)


@dataclasses.dataclass(frozen=True)
class Board:
    """The results under one protocol, in the order shown."""

    protocol: str
    pages: int | None
    viewers: int | None
    lines: tuple[Line, ...]
    simulated: bool
    metric: str = "ndcg"  # of the differences

    @property
    def caption(self) -> str:
        """What the figures were measured on."""
        return caption(self.protocol, self.pages, self.viewers, self.simulated)

    @property
    def has_expected(self) -> bool:
        return any(line.result.expected.get("ndcg") is not None for line in self.lines)


def caption(protocol: str, pages: int | None, viewers: int | None, simulated: bool) -> str:
    """What figures were measured on: protocol, split, page views and viewers."""
    counts = [f"{count:,} {noun}" for count, noun in ((pages, "page views"), (viewers, "viewers")) if count is not None]
    ranked = f"protocol {protocol}, ranking {PROTOCOLS.get(protocol, 'rows')}"
    return "; ".join([ranked, f"split {SPLIT}", *counts, *(["simulated"] if simulated else [])])


def boards(
    results: Iterable[Result], differences: Iterable[Difference], simulated: bool = False, metric: str = "ndcg"
) -> list[Board]:
    """One board per protocol that has results, `menu` first.

    Args:
        metric: whose differences stand beside the results.
    """
    gains = {(gain.protocol, gain.baseline): gain for gain in differences if gain.metric == metric}
    results = list(results)
    return [
        _board(protocol, [result for result in results if result.protocol == protocol], gains, simulated, metric)
        for protocol in sorted({result.protocol for result in results}, key=protocol_order)
    ]


def _board(protocol: str, results: list[Result], gains: Mapping, simulated: bool, metric: str) -> Board:
    ordered = sorted(results, key=lambda result: (ROLES.index(result.role), -(result.metrics.get(metric) or 0)))
    whole = next((result for result in ordered if result.role == "challenger"), ordered[0])
    lines = tuple(Line(result, gains.get((protocol, result.name))) for result in ordered)
    return Board(protocol, whole.pages, whole.viewers, lines, simulated, metric)


def protocol_order(protocol: str) -> int:
    """The place of a protocol among the others; `menu` comes first."""
    known = list(PROTOCOLS)
    return known.index(protocol) if protocol in known else len(known)


def results_from_rows(
    rows: Iterable[Mapping], champion: str | None = None, legacy: str | None = None
) -> tuple[list[Result], list[Difference]]:
    """Results and differences of a comparison's rows, as `pagerec compare --json` prints them; whole holdout only."""
    figures: dict[tuple[str, str], dict] = {}
    differences = []
    for row in rows:
        if row["slice"] != "all":
            continue
        counts = {"pages": row["pages"], "viewers": row["viewers"]}
        baseline_role = role_of(row["baseline"], row["challenger"], champion, row["measured"], legacy)
        for name, role, value in (
            (row["challenger"], "challenger", row["value_challenger"]),
            (row["baseline"], baseline_role, row["value_baseline"]),
        ):
            entry = figures.setdefault((row["protocol"], name), {"role": role, "metrics": {}, **counts})
            entry["metrics"][row["metric"]] = value
            if entry["pages"] is None:  # the challenger's first row may be one beside figures measured elsewhere
                entry |= counts
        if row["difference"] is not None and baseline_role != "imported":
            compared = {name: row[name] for name in ("baseline", "protocol", "metric", "difference", "lower", "upper")}
            differences.append(Difference(**compared, **counts))
    results = [
        Result(
            name,
            entry["role"],
            protocol,
            entry["metrics"],
            entry["pages"],
            entry["viewers"],
            expected(entry["metrics"]),
        )
        for (protocol, name), entry in figures.items()
    ]
    return results, differences


def expected(figures: Mapping[str, float | None]) -> dict[str, float | None]:
    """The figures over the true click among all figures."""
    return {name: figures[f"expected_{name}"] for name in METRICS if figures.get(f"expected_{name}") is not None}


def terminal_table(board: Board) -> str:
    """The board as plain text in aligned columns, its caption above.

    `expected` is the NDCG over the true click of a simulated world; `gain` is what the challenger has more, in the
    board's metric.
    """
    gain = "gain" if board.metric == "ndcg" else f"gain in {METRICS[board.metric]}"
    header = ["", *METRICS.values(), gain, "95 % interval"]
    lines = [header, *(_cells(line) for line in board.lines)]
    if board.has_expected:
        header.insert(1 + len(METRICS), "expected")
        for cells, line in zip(lines[1:], board.lines, strict=True):
            cells.insert(1 + len(METRICS), number(line.result.expected.get("ndcg")))
    widths = [max(len(cells[column]) for cells in lines) for column in range(len(header))]
    body = [_aligned(cells, widths) for cells in lines]
    table = [_capitalised(board.caption), body[0], "-" * len(body[0]), *body[1:]]
    return "\n".join(line.rstrip() for line in table).replace(MISSING, "-")  # a terminal may know ASCII only


def _cells(line: Line) -> list[str]:
    figures = [number(line.result.metrics.get(metric)) for metric in METRICS]
    gain = line.difference
    if gain is None:
        other = line.result.role == "ceiling" and line.result.pages is not None
        return [line.label, *figures, "", f"on {line.result.pages:,} page views" if other else ""]
    interval = "" if gain.lower is None else f"{signed(gain.lower)} to {signed(gain.upper)}"
    return [line.label, *figures, signed(gain.difference), interval]


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.rjust(width) if column else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join([first, *others])


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
