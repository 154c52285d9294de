"""Join health and the cross-check of both joins, as frames, a sentence and a figure."""

import pandas as pd
from matplotlib import dates
from matplotlib.axes import Axes

from pagerec_dbx.errors import UsageError
from pagerec_dbx.notebooks.plots import BAD, COLOURS, OPEN, figure
from pagerec_dbx.pipelines.crosscheck import CAUSES
from pagerec_dbx.schemas import JOIN_HEALTH
from pagerec_dbx.workbench import Workbench

METHODS = ("keyed", "windowed")
_WAITS = {"time_to_click_p50": "half", "time_to_click_p90": "9 of 10", "time_to_click_p99": "99 of 100"}
_POSITION = "click_share_position_"


def read_health(bench: Workbench) -> pd.DataFrame:
    """Every stored measure: day as text, join_method, measure, value.

    Some sixty records a day.

    Raises:
        MissingTableError: nothing was joined yet.
    """
    records = bench.tables.read(JOIN_HEALTH).orderBy("day", "join_method", "measure").toPandas()
    return records.assign(day=records.day.astype(str))


def days(health: pd.DataFrame) -> list[str]:
    """The days that have measures, newest first."""
    return sorted(health.day.unique(), reverse=True)


def between(health: pd.DataFrame, first: str, last: str, methods: list[str]) -> pd.DataFrame:
    """The measures from one day to another, both included, of some joins and of both together (`all`).

    Raises:
        UsageError: the days are the wrong way round, nobody of the joins is chosen, or nothing was measured then.
    """
    if first > last:
        raise UsageError("the first day is after the last one", got=f"{first} and {last}", fix="Swap the two widgets")
    if not set(methods) & set(METHODS):
        raise UsageError("no join is chosen", wanted=" or ".join(METHODS), fix="Set the widget `methods`")
    chosen = health[health.day.between(first, last) & health.join_method.isin([*methods, "all"])]
    if chosen.empty:
        raise UsageError(f"nothing was measured from {first} to {last}", fix="Choose other days")
    return chosen


def summary(health: pd.DataFrame) -> str:
    """How many clicks were matched, and on how many page views both joins agree, in a sentence."""
    own = health[health.join_method.isin(METHODS)]
    clicks, matched = (own[own.measure == name].value.sum() for name in ("clicks", "clicks_matched"))
    days_told = f"From {health.day.min()} to {health.day.max()}"
    told = f"{days_told} {matched:,.0f} of {clicks:,.0f} clicks were matched"
    told += f" ({matched / clicks:.1%})." if clicks else "."
    compared = _of_both(health, "agreement_page_views").sum()
    if not compared:
        return told + " No page view had clicks of both joins to compare."
    differ = sum(_of_both(health, f"disagreement_{cause}").sum() for cause in CAUSES)
    agree = f"on {1 - differ / compared:.1%} of {compared:,.0f} page views"
    return f"{told} The windowed join, tried on the clicks whose page is known, labels as the keyed one {agree}."


def measures(health: pd.DataFrame) -> pd.DataFrame:
    """One record a join and measure, one column a day; empty where a measure does not exist."""
    wide = health.pivot_table(index=["join_method", "measure"], columns="day", values="value", aggfunc="first")
    return wide.round(4).reset_index().rename_axis(columns=None)


def health_plot(health: pd.DataFrame):
    """Four plots: clicks matched and joins agreeing by day, why clicks were lost, why joins differ, how long a click
    takes; as one matplotlib figure."""
    drawn = figure("joins", 11, 7)
    ((rates, losses), (causes, waits)) = drawn.subplots(2, 2)
    _rates(rates, health)
    _bars(losses, _lost(health), "clicks without a page view, by join and reason", BAD)
    differ = {cause.replace("_", " "): _of_both(health, f"disagreement_{cause}").sum() for cause in CAUSES}
    _bars(causes, differ, "page views that the two joins label differently, by cause", OPEN)
    _waits(waits, health)
    return drawn


def _of_both(health: pd.DataFrame, measure: str) -> pd.Series:
    return health[(health.join_method == "all") & (health.measure == measure)].value


def _lost(health: pd.DataFrame) -> dict[str, float]:
    lost = health[health.measure.str.startswith("unmatched_") & health.join_method.isin(METHODS)]
    sums = lost.groupby(["join_method", "measure"]).value.sum()
    return {f"{method}: {name.removeprefix('unmatched_').replace('_', ' ')}": value
            for (method, name), value in sums.items() if value}  # fmt: skip


def _rates(axes: Axes, health: pd.DataFrame) -> None:
    lines = [(method, "match_rate", f"clicks matched, {method} join") for method in METHODS]
    lines.append(("all", "agreement", "page views that both joins label alike"))
    for colour, (method, measure, label) in zip(COLOURS, lines, strict=False):
        line = health[(health.join_method == method) & (health.measure == measure)]
        if len(line):
            axes.plot(pd.to_datetime(line.day), 100 * line.value, marker="o", color=colour, label=label)
    _dated(axes, "matched and agreed, by day", "%")


def _waits(axes: Axes, health: pd.DataFrame) -> None:
    for colour, (measure, label) in zip(COLOURS, _WAITS.items(), strict=False):
        line = health[(health.join_method == "all") & (health.measure == measure)]
        if len(line):
            axes.plot(
                pd.to_datetime(line.day),
                line.value,
                marker="o",
                color=colour,
                label=f"{label} of the clicks came within",
            )
    _dated(axes, "from the page to the click", "seconds")


def _dated(axes: Axes, title: str, unit: str) -> None:
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_ylabel(unit)
    axes.xaxis.set_major_locator(dates.AutoDateLocator(minticks=1, maxticks=8))
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(axes.xaxis.get_major_locator()))
    if axes.lines:
        axes.legend(fontsize=8)


def _bars(axes: Axes, amounts: dict[str, float], title: str, colour: str) -> None:
    ordered = sorted(amounts.items(), key=lambda item: item[1])
    bars = axes.barh([name for name, _ in ordered], [value for _, value in ordered], color=colour)
    axes.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize=8)
    axes.margins(x=0.12)
    axes.set_title(title, loc="left", fontsize=10)
    if not ordered:
        axes.text(0.5, 0.5, "none", ha="center", va="center", transform=axes.transAxes)
