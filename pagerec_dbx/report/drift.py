"""The monitored days of the report: the newest day limit by limit, and the version's own metrics by day."""

from collections.abc import Sequence

from pagerec_dbx.figures import MISSING, number, signed
from pagerec_dbx.report.content import Monitored
from pagerec_dbx.report.plots import line_chart

HEAD = ("measure", "value", "95 % interval", "by chance", "limit", "training", "day", "page views", "viewers", "passed")
_CURVES = {"version": "ndcg", "popularity": "popularity_ndcg"}


def drift_part(monitored: Sequence[Monitored]) -> dict:
    """What the template's section on monitored days reads."""
    days = sorted({one.day for one in monitored})
    newest = [one for one in monitored if one.day == days[-1]]
    by_day = {
        name: [((one.day - days[0]).days, one.value) for one in monitored if one.measure == measure]
        for name, measure in _CURVES.items()
    }
    return {
        "drift_day": days[-1].isoformat() if days else "",
        "drift_first_day": days[0].isoformat() if days else "",
        "drift_version": newest[0].version if newest else "",
        "drift_failed": [one.reason.partition(": ")[2] for one in newest if not one.passed],
        "drift_head": list(HEAD),
        "drift_rows": [_row(one) for one in newest],
        "drift_chart": line_chart(by_day) if len(days) > 1 else None,
        "drift_by_day": [
            [one.day.isoformat(), one.measure, number(one.value), _limit(one), _word(one)] for one in monitored
        ],
    }


def _row(one: Monitored) -> list[str]:
    shown = signed if one.measure.startswith("gain_") else number
    interval = MISSING if one.lower is None else f"{shown(one.lower)} to {shown(one.upper)}"
    return [
        one.measure.replace("_", " "),
        shown(one.value),
        interval,
        number(one.expected_by_chance),
        _limit(one),
        _share(one.training_share),
        _share(one.day_share),
        f"{one.page_views:,}",
        f"{one.viewers:,}",
        _word(one),
    ]


def _limit(one: Monitored) -> str:
    return MISSING if one.limit is None else f"{one.limit:g}"


def _share(value: float | None) -> str:
    return MISSING if value is None else f"{value:.2%}"


def _word(one: Monitored) -> str:
    if one.limit is None:
        return MISSING
    return "yes" if one.passed else "NO"
