"""What the analysts' notebooks share: widgets that also work outside Databricks, and comparisons as table and plot.

A notebook gets its surroundings once, `desk = notebook.desk(globals())`, and asks `desk.widgets` and `desk.display`
from then on: the runtime's on Databricks, plain ones elsewhere (`python jobs/notebooks/compare.py home=demo`).
"""

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pagerec_dbx.errors import HomeError, UsageError
from pagerec_dbx.home import Home
from pagerec_dbx.schemas import COMPARISONS
from pagerec_dbx.spark import spark_session
from pagerec_dbx.tables import Tables

ALL = "all"  # the slice that is the whole; every baseline
NONE = "(none)"  # the only choice where nothing was compared yet
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


class Widgets:
    """`dbutils.widgets` without Databricks: the same calls, values given beforehand, choices checked."""

    def __init__(self, values: Mapping[str, str] | None = None):
        self._given = dict(values or {})
        self._values: dict[str, str] = {}

    def text(self, name: str, defaultValue: str = "", label: str = "") -> None:
        """A field for any text."""
        self._values[name] = self._given.get(name, defaultValue)

    def dropdown(self, name: str, defaultValue: str, choices: Sequence[str], label: str = "") -> None:
        """One of the choices.

        Raises:
            UsageError: the default or the given value is none of them.
        """
        for value in (defaultValue, self._given.get(name, defaultValue)):
            if value not in choices:
                raise UsageError(
                    f"widget `{name}` has no such choice", wanted=f"one of {list(choices)}", got=repr(value)
                )
        self._values[name] = self._given.get(name, defaultValue)

    def get(self, name: str) -> str:
        """The value of a widget.

        Raises:
            UsageError: the notebook made no such widget.
        """
        if name not in self._values:
            raise UsageError(f"no widget `{name}`", wanted=f"one of {sorted(self._values)}")
        return self._values[name]


@dataclasses.dataclass(frozen=True)
class Desk:
    """Where a notebook reads its choices and shows its results."""

    widgets: Any  # dbutils.widgets or Widgets
    display: Callable[[object], None]


def desk(surroundings: Mapping[str, Any]) -> Desk:
    """The runtime's widgets and display where the notebook's globals hold them, else plain ones."""
    dbutils: Any = surroundings.get("dbutils")
    widgets = dbutils.widgets if dbutils is not None else Widgets(_choices_of_command_line())
    return Desk(widgets, surroundings.get("display", show_plainly))


def _choices_of_command_line() -> dict[str, str]:
    pairs = (argument.partition("=") for argument in sys.argv[1:])
    return {name: value for name, equals, value in pairs if equals}


def show_plainly(result: object) -> None:
    """Print a frame; save a figure in the current folder and print where."""
    if hasattr(result, "savefig"):
        file = Path("notebook.png")
        result.savefig(file, dpi=120)
        print(f"figure saved as {file}")
    else:
        print(result.to_string(index=False) if isinstance(result, pd.DataFrame) else result)


def open_tables(name: str) -> Tables:
    """The tables of a home that exists; nothing is made.

    Raises:
        HomeError: there is no such home.
    """
    home = Home(name)
    if not home.in_catalog and not (home.folder / "home.json").exists():
        raise HomeError(f"{name} is no home", wanted="catalog.schema or a home's folder", fix="Set the widget `home`")
    return Tables(spark_session(log_file=home.logs / "spark.log"), home)


def read_comparisons(tables: Tables) -> pd.DataFrame:
    """All stored comparisons, newest first, as a frame of some hundred records a version; empty before the first."""
    if not tables.exists(COMPARISONS):
        return pd.DataFrame(columns=COMPARISONS.column_names)
    return tables.read(COMPARISONS).orderBy("compared_at", ascending=False).toPandas()


def choices(comparisons: pd.DataFrame, column: str, **chosen: str) -> list[str]:
    """What a column holds among the records with the chosen values, first seen first; NONE where there is nothing."""
    for name, value in chosen.items():
        comparisons = comparisons[comparisons[name] == value]
    return list(comparisons[column].unique()) or [NONE]


def chosen_comparisons(comparisons: pd.DataFrame, baseline: str = ALL, **chosen: str) -> pd.DataFrame:
    """One record per baseline, all of one holdout: that of the newest comparison with the chosen values.

    The largest difference comes first.
    """
    for name, value in chosen.items():
        comparisons = comparisons[comparisons[name] == value]
    newest = comparisons.sort_values("compared_at", ascending=False)
    newest = newest[newest.holdout.isin(newest.holdout.head(1))].drop_duplicates("baseline")
    if baseline != ALL:
        newest = newest[newest.baseline == baseline]
    return newest.sort_values("difference", ascending=False, ignore_index=True)


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
    from matplotlib.figure import Figure

    judged = comparisons.dropna(subset=["difference", "lower", "upper"]).iloc[::-1]
    figure = Figure(figsize=(8, 1.4 + 0.5 * len(judged)), layout="constrained")
    axes = figure.add_subplot()
    colours = [("#1a7f37" if lower > 0 else "#c93c37" if upper < 0 else "#6e7781")
               for lower, upper in zip(judged.lower, judged.upper, strict=True)]  # fmt: skip
    axes.hlines(judged.baseline, judged.lower, judged.upper, colors=colours, linewidth=3)
    axes.scatter(judged.difference, judged.baseline, c=colours, s=60, zorder=3)
    axes.axvline(0, color="black", linewidth=1)
    axes.set_xlabel("gain of the challenger, with its 95 % interval (green: better, red: worse, grey: not settled)")
    if len(judged):
        first = judged.iloc[0]
        axes.set_title(f"{first.metric} of version {first.challenger}, {first.protocol}, {first['slice']} pages")
    return figure
