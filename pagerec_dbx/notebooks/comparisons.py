"""Stored comparisons of a challenger with everybody it was held against, as frames, a sentence and figures."""

import pandas as pd
from pyspark.sql import functions as F

from pagerec_dbx.notebooks.desk import NONE
from pagerec_dbx.notebooks.plots import figure, side_colours
from pagerec_dbx.schemas import COMPARISONS
from pagerec_dbx.workbench import Workbench

ALL = "all"  # the slice that is the whole; every baseline
SHOWN = [
    "baseline",
    "protocol",
    "metric",
    "slice",
    "measured",
    "value_challenger",
    "value_baseline",
    "difference",
    "lower",
    "upper",
    "pages",
    "viewers",
]


def read_comparisons(bench: Workbench) -> pd.DataFrame:
    """All stored comparisons as a frame of some hundred records a version; empty before the first.

    The newest comes first; those of one comparison, which share their time, by their key.
    """
    found = bench.tables.read_or_empty(COMPARISONS)
    return found.orderBy(F.desc("compared_at"), *COMPARISONS.key).toPandas()


def choices(comparisons: pd.DataFrame, column: str, **chosen: str | None) -> list[str]:
    """What a column holds among the records with the chosen values, first seen first; NONE where there is nothing."""
    return list(_with(comparisons, **chosen)[column].unique()) or [NONE]


def slices(comparisons: pd.DataFrame, challenger: str | None) -> list[str]:
    """The slices in which a challenger was held against anybody: the whole first, the others by their names."""
    return sorted(choices(comparisons, "slice", challenger=challenger), key=lambda name: (name != ALL, name))


def chosen_comparisons(comparisons: pd.DataFrame, baseline: str = ALL, **chosen: str) -> pd.DataFrame:
    """One record per baseline, all of one holdout: that of the newest comparison with the chosen values.

    The largest difference comes first.
    """
    newest = _newest(comparisons, "baseline", **chosen)
    return newest if baseline == ALL else _with(newest, baseline=baseline).reset_index(drop=True)


def _newest(comparisons: pd.DataFrame, one_per: str, **chosen: str) -> pd.DataFrame:
    """One record per value of a column, of the holdout of the newest comparison with the chosen values.

    The largest difference comes first.
    """
    found = _with(comparisons, **chosen).sort_values("compared_at", ascending=False, kind="stable")
    newest = found[found.holdout.isin(found.holdout.head(1))].drop_duplicates(one_per)
    return newest.sort_values("difference", ascending=False, ignore_index=True)


def _with(comparisons: pd.DataFrame, **chosen: str | None) -> pd.DataFrame:
    """The records that have the chosen values, by column."""
    for name, value in chosen.items():
        comparisons = comparisons[comparisons[name] == value]
    return comparisons


def readable(comparisons: pd.DataFrame) -> pd.DataFrame:
    """The columns that a reader needs, rounded."""
    return comparisons[SHOWN].round(4)


def summary(comparisons: pd.DataFrame) -> str:
    """What the intervals say, in a sentence."""
    if comparisons.empty:
        return (
            "Nothing was compared for this choice yet: run `pagerec compare --challenger VERSION` or choose otherwise."
        )
    judged = comparisons[comparisons.lower.notna()]
    groups = {
        "better than": judged[judged.lower > 0],
        "worse than": judged[judged.upper < 0],
        "not settled against": judged[(judged.lower <= 0) & (judged.upper >= 0)],
    }
    parts = [f"{word} {', '.join(group.baseline)}" for word, group in groups.items() if len(group)]
    first = comparisons.iloc[0]
    return (
        f"By {first.metric}, version {first.challenger} is {'; '.join(parts) or 'held against nothing measured here'}."
    )


def forest_plot(comparisons: pd.DataFrame):
    """The challenger's gain over each baseline with its interval, as a matplotlib figure."""
    return _forest("gains", comparisons, "baseline", _title(comparisons, "slice", "pages"))


def slices_of(comparisons: pd.DataFrame, **chosen: str) -> pd.DataFrame:
    """One record a slice of the newest holdout, against one baseline; the largest difference comes first."""
    return _newest(comparisons, "slice", **chosen)


def slices_plot(slices: pd.DataFrame):
    """The challenger's gain over one baseline in each slice with its interval. Needs `slices_of`."""
    return _forest("slices", slices, "slice", _title(slices, "baseline", "as baseline, by slice"))


def _title(comparisons: pd.DataFrame, column: str, words: str) -> str:
    if comparisons.empty:
        return "nothing was compared for this choice"
    first = comparisons.iloc[0]
    return f"{first.metric} of version {first.challenger}, {first.protocol}, {first[column]} {words}"


def _forest(name: str, comparisons: pd.DataFrame, labels: str, title: str):
    judged = comparisons.dropna(subset=["difference", "lower", "upper"]).iloc[::-1]
    drawn = figure(name, 8, 1.4 + 0.4 * max(1, len(judged)))
    axes = drawn.add_subplot()
    colours = side_colours(judged.lower, judged.upper)
    axes.hlines(judged[labels], judged.lower, judged.upper, colors=colours, linewidth=3)
    axes.scatter(judged.difference, judged[labels], c=colours, s=60, zorder=3)
    axes.axvline(0, color="black", linewidth=1)
    axes.set_xlabel("gain of the challenger, with its 95 % interval (green: better, red: worse, grey: not settled)")
    axes.set_title(title, loc="left", fontsize=10)
    return drawn
