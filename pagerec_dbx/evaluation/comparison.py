"""What a comparison holds, and how it is told on the terminal."""

import dataclasses
import datetime as dt
import re
from collections.abc import Iterable, Sequence

from pagerec_dbx.evaluation.baselines import POPULARITY
from pagerec_dbx.evaluation.protocols import ALL, VOCABULARY
from pagerec_dbx.figures import number, signed

HERE, ELSEWHERE = "here", "elsewhere"
LEGACY_IMPORTED = "legacy:imported"
POPULARITY_IMPORTED = "popularity:imported"  # of the same file: what the legacy run had beside its model


@dataclasses.dataclass(frozen=True)
class ComparisonRow:
    """One record of `comparisons`; the difference is the challenger's mean minus the baseline's, with its interval."""

    comparison_id: str
    holdout: str
    challenger: str
    baseline: str
    protocol: str
    metric: str
    slice: str
    value_challenger: float
    value_baseline: float
    difference: float | None  # None: measured elsewhere, on other data, or a slice too small to compare
    lower: float | None
    upper: float | None
    pages: int | None
    viewers: int | None
    effective_viewers: float | None  # as many of equal activity would say as much
    p_adjusted: float | None  # of a slice: the chance of such a difference if there is none, by Holm over its slices
    measured: str  # here or elsewhere
    compared_at: dt.datetime


@dataclasses.dataclass(frozen=True)
class CompareResult:
    """One comparison; `rows` hold each baseline, protocol and metric."""

    comparison_id: str
    challenger: str
    holdout: str
    rows: tuple[ComparisonRow, ...]
    simulated: bool = False  # measured in a home with logs of a simulated world
    legacy: str | None = None  # the version that is the legacy's architecture, trained here

    def to_json(self) -> dict:
        rows = [{**dataclasses.asdict(row), "compared_at": row.compared_at.isoformat()} for row in self.rows]
        return {"comparison_id": self.comparison_id, "simulated": self.simulated, "rows": rows}

    def to_text(self) -> str:
        """A table for the terminal, the menu protocol first."""
        head = f"Version {self.challenger} on holdout {self.holdout} (difference, 95 % interval, viewers resampled)"
        head += ", SIMULATED" if self.simulated else ""
        width = max((len(self._named(row)) for row in self.rows), default=0)
        lines = [head, *(_line(row, self._named(row).ljust(width)) for row in self.rows if row.slice == ALL)]
        told = elsewhere_sentence(self.rows)
        notes = [FLOORS_KNOW_MENUS] if any(row.protocol == VOCABULARY for row in self.rows) else []
        return "\n".join([*lines, *notes, *([told] if told else []), *_slice_lines(self.rows, self.legacy)])

    def _named(self, row: ComparisonRow) -> str:
        name = f"version {row.baseline}" if row.baseline.isdigit() else row.baseline
        return f"{name} (legacy here)" if row.baseline == self.legacy else name


FLOORS_KNOW_MENUS = (
    "Under `vocabulary` a version ranks all rows; a floor ranks the offered rows first, so it is told the menu and the "
    "version is not."
)


def elsewhere_sentence(rows: Iterable[ComparisonRow]) -> str:
    """Who won where the legacy was measured; nothing where no such figures stand beside."""
    values = {(row.baseline, row.metric): row.value_baseline for row in rows if row.measured == ELSEWHERE}
    parts = []
    for metric in dict.fromkeys(metric for _, metric in values):
        legacy, popular = values.get((LEGACY_IMPORTED, metric)), values.get((POPULARITY_IMPORTED, metric))
        if legacy is not None and popular is not None:
            outcome = "beat" if legacy > popular else "lost to" if legacy < popular else "was as good as"
            parts.append(f"{outcome} popularity in {metric} ({number(legacy)} against {number(popular)})")
    return f"Measured elsewhere, on other data, the legacy {' and '.join(parts)}." if parts else ""


def slice_order(name: str) -> tuple:
    """Slices by column, then by the numbers in the band's name, then by its words."""
    column, _, band = name.partition(": ")
    return column, [int(number) for number in re.findall(r"\d+", band)], band


def _slice_lines(rows: Sequence[ComparisonRow], legacy: str | None) -> list[str]:
    """The slices against the side that decides: the champion, else the retrained legacy, else popularity."""
    sliced = [row for row in rows if row.slice != ALL]
    versions = [row.baseline for row in sliced if ":" not in row.baseline]
    against = next((version for version in versions if version != legacy), versions[0] if versions else POPULARITY)
    told = [row for row in sliced if row.baseline == against]
    if not told:
        return []
    head = (
        f"Slices, {told[0].protocol} protocol, {told[0].metric} against {told[0].baseline} (difference, 95 % interval "
        "of each slice alone; p by Holm over all of them)"
    )
    width = max(len(row.slice) for row in told)
    return [head, *(f"  {row.slice:<{width}}  {_slice_gain(row)}" for row in told)]


def _slice_gain(row: ComparisonRow) -> str:
    if row.difference is None:
        return f"too small to compare: {counts(row)}"
    return f"{_gain(row)}  p {number(row.p_adjusted, 3)}"


def _line(row: ComparisonRow, baseline: str) -> str:
    figures = f"{number(row.value_challenger)} against {number(row.value_baseline)}"
    start = f"  {row.protocol:<13} {row.metric:<15} {baseline} {figures}"
    if row.measured == ELSEWHERE:
        return f"{start}  measured elsewhere, on other data"
    return f"{start}  {_gain(row)}"


def _gain(row: ComparisonRow) -> str:
    interval = f"{signed(row.difference)}  {signed(row.lower)} to {signed(row.upper)}"
    return f"{interval}  {counts(row)}"


def counts(row: ComparisonRow) -> str:
    """On how much a row stands."""
    return f"{row.pages:,} page views of {row.viewers:,} viewers"
