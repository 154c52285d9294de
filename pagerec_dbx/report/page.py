"""The report as one HTML page that needs nothing else: no script, no network, light and dark."""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pagerec_dbx.figures import MISSING, number, signed
from pagerec_dbx.report.board import Board, boards, caption, protocol_order
from pagerec_dbx.report.calibration import calibration_part
from pagerec_dbx.report.content import (
    METRICS,
    PROTOCOLS,
    SPLIT,
    Difference,
    ReportContent,
    Result,
    SliceGain,
    decisive,
    floors_sentence,
    headline,
    spoken,
    spoken_side,
)
from pagerec_dbx.report.drift import drift_part
from pagerec_dbx.report.joins import joins_part, match_rate
from pagerec_dbx.report.plots import Forest, LineChart, bars, forest, forest_of, line_chart


@dataclasses.dataclass(frozen=True)
class Tile:
    """One figure at the top of the page."""

    name: str
    figure: str
    note: str


@dataclasses.dataclass(frozen=True)
class ProtocolForest:
    """The differences under one protocol."""

    protocol: str
    caption: str
    plot: Forest


@dataclasses.dataclass(frozen=True)
class TrainingChart:
    """Curves of one kind of figure over the epochs."""

    title: str
    description: str
    unit: str
    plot: LineChart


_CHARTS = (
    ("Loss", "loss a page view, lower is better", {"loss": "training", "validation_loss": "validation"}),
    ("NDCG", "NDCG of the menu, higher is better", {"validation_ndcg": "validation"}),
)


def render(content: ReportContent) -> str:
    """The HTML of the report; all text of the data is escaped."""
    environment = Environment(
        loader=PackageLoader("pagerec_dbx.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": lambda value: _minus(number(value)),
        "signed": lambda value: _minus(signed(value)),
    }
    style = resources.files("pagerec_dbx.report").joinpath("style.css").read_text(encoding="utf-8")
    parts = {**_findings(content), **_training(content), **_positions(content), **_quarantine(content)}
    parts |= calibration_part(content) | drift_part(content.monitored) | joins_part(content.health)
    page = environment.get_template("page.html")
    return page.render(content=content, style=Markup(style), **parts)


def _findings(content: ReportContent) -> dict:
    shown = boards(content.results, content.differences, content.simulated, content.metric)
    reasons = content.decision.reasons if content.decision else ()
    return {
        "headline": headline(content),
        "floors": floors_sentence(content),
        "told": decisive(content),
        "tiles": _tiles(content, shown),
        "reasons": [_split_reason(reason) for reason in reasons],
        "boards": shown,
        "metrics": METRICS,
        "protocols": PROTOCOLS,
        "forests": _forests(content),
        "difference_rows": [_difference_row(difference) for difference in content.differences],
        "slices": forest_of((one.slice, one.gain) for one in content.slices),
        "slice_of": content.slices[0].gain if content.slices else None,
        "slice_caption": _slice_caption(content),
        "slice_side": spoken_side(content, content.against),
        "metric": METRICS[content.metric],
        "slice_rows": [_slice_row(one) for one in content.slices],
    }


def _split_reason(reason: str) -> tuple[str, str]:
    """A reason's first word apart, where it says how the limit was met."""
    word, colon, rest = reason.partition(": ")
    return (word, rest) if colon and word in ("Passed", "Failed", "Alarm") else ("", reason)


def _tiles(content: ReportContent, shown: list[Board]) -> list[Tile]:
    tiles = []
    told = decisive(content)
    own = next((line.result for board in shown for line in board.lines if line.result.role == "challenger"), None)
    if own is not None:
        note = f"version {own.name}, " + _measured_on(own)
        tiles.append(Tile(METRICS[content.metric], number(own.metrics.get(content.metric)), note))
    if told is not None:
        note = f"95 % interval {signed(told.lower)} to {signed(told.upper)}, {_measured_on(told)}"
        tiles.append(Tile(f"Gain over {spoken_side(content, told.baseline)}", signed(told.difference), note))
    reached = _share_of_distance(shown)
    if reached is not None:
        note = f"from popularity to the ceiling, expected NDCG, {_measured_on(own)}"
        tiles.append(Tile("Of the way to the best order", f"{reached:.0%}", note))
    rate = match_rate(content.health)
    if rate is not None:
        tiles.append(Tile("Clicks that found their page", f"{rate:.1%}", "both joins, all days"))
    return tiles


def _measured_on(figure: Result | Difference) -> str:
    counts = f", {figure.pages:,} page views" if figure.pages else ""
    return f"protocol {figure.protocol}, split {SPLIT}{counts}"


def _share_of_distance(shown: list[Board]) -> float | None:
    """How far the challenger comes from popularity to the ceiling that knows the position, in expected NDCG."""
    known = {
        "challenger" if line.result.role == "challenger" else line.result.name: line.result.expected.get("ndcg")
        for board in shown
        if board.protocol == "menu"
        for line in board.lines
    }
    own, floor, best = (known.get(name) for name in ("challenger", "floor:popularity", "ceiling:with_position"))
    if None in (own, floor, best) or best <= floor:
        return None
    return (own - floor) / (best - floor)


def _forests(content: ReportContent) -> list[ProtocolForest]:
    by_protocol = defaultdict(list)
    for difference in content.differences:
        if difference.metric == content.metric:
            by_protocol[difference.protocol].append(difference)
    shown = []
    for protocol in sorted(by_protocol, key=protocol_order):
        first = by_protocol[protocol][0]
        plot = forest(by_protocol[protocol])
        if plot is not None:
            shown.append(
                ProtocolForest(protocol, caption(protocol, first.pages, first.viewers, content.simulated), plot)
            )
    return shown


def _difference_row(difference: Difference) -> list[str]:
    interval = _minus(f"{signed(difference.lower)} to {signed(difference.upper)}")
    return [
        spoken(difference.baseline),
        difference.protocol,
        METRICS.get(difference.metric, difference.metric),
        _minus(signed(difference.difference)),
        interval,
        _count(difference.pages),
        _count(difference.viewers),
    ]


def _slice_caption(content: ReportContent) -> str:
    protocol = content.slices[0].gain.protocol if content.slices else "menu"
    return caption(protocol, None, None, content.simulated)


def _slice_row(one: SliceGain) -> list[str]:
    gain = one.gain
    interval = _minus(f"{signed(gain.lower)} to {signed(gain.upper)}") if gain.lower is not None else "too small"
    chance = number(one.p_adjusted, 3)
    return [one.slice, _minus(signed(gain.difference)), interval, chance, _count(gain.pages), _count(gain.viewers)]


def _training(content: ReportContent) -> dict:
    charts = [
        TrainingChart(f"{title} by epoch", f"{title} of {' and '.join(names.values())} against the epoch.", unit, plot)
        for title, unit, names in _CHARTS
        if (plot := line_chart({shown: _curve(content.curves, name) for name, shown in names.items()}))
    ]
    names = sorted({name for epoch in content.curves for name in epoch} - {"epoch"})
    rows = [[f"{epoch['epoch']:g}", *(_figure(epoch.get(name)) for name in names)] for epoch in content.curves]
    return {
        "training": charts,
        "curve_head": ["epoch", *(name.replace("_", " ") for name in names)],
        "curve_rows": rows,
    }


def _curve(curves: tuple[Mapping[str, float], ...], name: str) -> list[tuple[float, float]]:
    return [(epoch["epoch"], epoch[name]) for epoch in curves if epoch.get(name) is not None]


def _positions(content: ReportContent) -> dict:
    orders = {False: "as served", True: "order drawn at random"}
    shown = sorted((place for place in content.positions if place.shown), key=lambda p: (p.randomized, p.position))
    series = {
        name: [(place.position, place.clicked / place.shown) for place in shown if place.randomized is randomized]
        for randomized, name in orders.items()
    }
    rows = [
        [place.position, orders[place.randomized], f"{place.shown:,}", f"{place.clicked:,}",
         number(place.clicked / place.shown)]
        for place in shown
    ]  # fmt: skip
    chart = line_chart(series, unit=0.01, sign=" %")
    return {"positions": chart, "position_has_random": bool(series[orders[True]]), "position_rows": rows}


def _quarantine(content: ReportContent) -> dict:
    ordered = sorted(content.quarantine, key=lambda refused: -refused.lines)
    return {
        "quarantine": bars({f"{refused.source}: {refused.reason}": refused.lines for refused in ordered}),
        "quarantine_rows": [[refused.source, refused.reason, f"{refused.lines:,}"] for refused in ordered],
    }


def _minus(text: str) -> str:
    """A minus sign in place of the hyphen, at which a line could break."""
    return text.replace("-", "\u2212")


def _count(value: int | None) -> str:
    return MISSING if value is None else f"{value:,}"


def _figure(value: float | None) -> str:
    return MISSING if value is None else f"{value:,.0f}" if abs(value) >= 1_000 else number(value)
