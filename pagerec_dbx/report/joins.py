"""The join figures of the report: from measures by day to totals, bars and a curve."""

from collections import defaultdict
from collections.abc import Iterable

from pagerec_dbx.figures import MISSING, number
from pagerec_dbx.pipelines.crosscheck import CAUSES
from pagerec_dbx.report.content import Health
from pagerec_dbx.report.plots import bars, line_chart

_METHODS = ("keyed", "windowed")
_SUMMED = ("page_views", "clicks_matched", "duplicate_page_views", "duplicate_clicks", "clicks_past_menu_kept")
_UNMATCHED = "unmatched_"
_POSITION = "click_share_position_"
_WAITS = {"half": "time_to_click_p50", "9 of 10": "time_to_click_p90", "99 of 100": "time_to_click_p99"}


def joins_part(health: Iterable[Health]) -> dict:
    """What the template's section on joins reads."""
    records = sorted(
        (one for one in health if one.value is not None), key=lambda one: (one.day, one.join_method, one.measure)
    )
    totals = _totals(records)
    lost = {
        f"{method}: {measure.removeprefix(_UNMATCHED).replace('_', ' ')}": value
        for (method, measure), value in totals.items()
        if measure.startswith(_UNMATCHED) and method in _METHODS and value
    }
    days = sorted({one.day for one in records})
    rates = {method: _by_day(records, days, method, "match_rate") for method in _METHODS}
    agreement = {"labelled alike": _by_day(records, days, "all", "agreement")}
    waits = {name: _by_day(records, days, "all", measure) for name, measure in _WAITS.items()}
    causes = bars({cause.replace("_", " "): _sum(records, f"disagreement_{cause}") for cause in CAUSES})
    compared = _sum(records, "agreement_page_views")
    alike = compared - sum(bar.value for bar in causes)
    methods = [method for method in _METHODS if any(one.join_method == method for one in records)]
    measures = [measure for measure in _SUMMED if any((method, measure) in totals for method in methods)]
    unmatched = bars(lost)
    return {
        "join_head": ["join", "matched", *(measure.replace("_", " ") for measure in measures)],
        "join_rows": [[method, _percent(_rate(totals, [method])), *(_whole(totals.get((method, measure)))
                       for measure in measures)] for method in methods],
        "unmatched": unmatched,
        "unmatched_rows": [[bar.label, f"{bar.value:,.0f}"] for bar in unmatched],
        "match_chart": line_chart(rates, unit=0.01, sign=" %") if len(days) > 1 else None,
        "agreement": f"{alike / compared:.1%}" if compared else None,
        "agreement_views": f"{compared:,.0f}",
        "agreement_chart": line_chart(agreement, unit=0.01, sign=" %") if len(days) > 1 else None,
        "causes": [bar for bar in causes if bar.value],
        "cause_rows": [[bar.label, f"{bar.value:,.0f}"] for bar in causes],
        "wait_chart": line_chart(waits, sign=" s") if len(days) > 1 else None,
        **_positions_part(records),
        "first_day": days[0].isoformat() if days else "",
        "health_rows": [[one.day.isoformat(), one.join_method, one.measure, _shown(one.value)] for one in records],
    }  # fmt: skip


def _positions_part(records: list[Health]) -> dict:
    """The share of the clicks on each position, all days and both joins, in page order; a day weighs by its clicks."""
    clicks = {one.day: one.value for one in records if (one.join_method, one.measure) == ("all", "clicks_matched")}
    sums: dict[str, float] = defaultdict(float)
    for one in records:
        if one.join_method == "all" and one.measure.startswith(_POSITION):
            sums[one.measure.removeprefix(_POSITION)] += one.value * clicks.get(one.day, 0.0)
    total = sum(sums.values())
    shares = {f"position {place}": 100 * clicked / total for place, clicked in sums.items()} if total else {}
    ordered = sorted(bars(shares), key=lambda bar: bar.label)
    return {"health_positions": ordered, "health_position_rows": [[bar.label, f"{bar.value:.1f} %"] for bar in ordered]}


def _by_day(records: Iterable[Health], days: list, method: str, measure: str) -> list[tuple[int, float]]:
    """A measure as points (number of the day, value)."""
    return [(days.index(one.day), one.value) for one in records if (one.join_method, one.measure) == (method, measure)]


def _sum(records: Iterable[Health], measure: str) -> float:
    return sum(one.value for one in records if (one.join_method, one.measure) == ("all", measure))


def match_rate(health: Iterable[Health]) -> float | None:
    """Matched clicks of both joins over all their clicks; None without clicks."""
    return _rate(_totals(one for one in health if one.value is not None), _METHODS)


def _totals(records: Iterable[Health]) -> dict[tuple[str, str], float]:
    """Counts summed over the days; shares and quantiles cannot be."""
    totals: dict[tuple[str, str], float] = defaultdict(float)
    for one in records:
        if one.measure in _SUMMED or one.measure.startswith(_UNMATCHED):
            totals[one.join_method, one.measure] += one.value
    return totals


def _rate(totals: dict[tuple[str, str], float], methods: Iterable[str]) -> float | None:
    methods = tuple(methods)
    matched = sum(
        value for (method, measure), value in totals.items() if method in methods and measure == "clicks_matched"
    )
    lost = sum(
        value for (method, measure), value in totals.items() if method in methods and measure.startswith(_UNMATCHED)
    )
    return matched / (matched + lost) if matched + lost else None


def _percent(share: float | None) -> str:
    return MISSING if share is None else f"{share:.1%}"


def _whole(value: float | None) -> str:
    return MISSING if value is None else f"{value:,.0f}"


def _shown(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else number(value)
