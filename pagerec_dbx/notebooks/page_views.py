"""One page view as an analyst looks at it: who, what was watched before, the menu, the clicks, and what rankers say."""

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from pagerec_dbx.errors import UsageError
from pagerec_dbx.models.export import Ranker
from pagerec_dbx.notebooks.plots import BAD, COLOURS, MARK, OPEN, figure
from pagerec_dbx.schemas import SHOWN
from pagerec_dbx.scoring.pages import Pages, rank_pages
from pagerec_dbx.workbench import Workbench

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclasses.dataclass(frozen=True)
class PageView:
    """One page view.

    Attributes:
        titles: watched before, oldest first.
        ages: seconds before the page view of each; 0 unknown.
        rows: of the menu, in page order.
        pinned: of each row, whether the page forces its place.
        clicked: row ids.
        shown: what the viewer was shown before, by field of `schemas.SHOWN`, most recent first.
    """

    page_view_id: int
    served_at: dt.datetime
    viewer: str
    randomized: bool
    titles: tuple[str, ...]
    ages: tuple[int, ...]
    rows: tuple[str, ...]
    pinned: tuple[bool, ...]
    clicked: frozenset[str]
    hour: int
    weekday: int
    device: str
    location: str
    shown: Mapping[str, tuple]

    def as_pages(self, ranker: Ranker) -> Pages:
        """As one page that fits a ranker."""
        length = ranker.config.history_length
        return Pages(
            names=np.array([self.page_view_id], object),
            history=_padded(self.titles[-length:], length, ""),
            history_age=_padded(self.ages[-length:], length, 0),
            menu=_padded(self.rows, len(self.rows), ""),
            pinned=np.array([self.pinned], bool),
            mask=np.ones((1, len(self.rows)), bool),
            hour=np.array([self.hour], np.int32),
            weekday=np.array([self.weekday], np.int32),
            device=np.array([self.device], object),
            location=np.array([self.location], object),
            shown=self._shown(ranker.config.shown_length),
        )

    def _shown(self, length: int) -> dict[str, np.ndarray]:
        row = SHOWN[0]
        return {name: _padded(self.shown.get(name, ())[:length], length, "" if name == row else 0) for name in SHOWN
                if length}  # fmt: skip


def _padded(values: Sequence, width: int, fill: object) -> np.ndarray:
    """[1, width]."""
    kind = object if fill == "" else np.int32
    return np.array([[*values, *[fill] * (width - len(values))]], kind)


def load_rankers(bench: Workbench, versions: Sequence[str]) -> dict[str, Ranker]:
    """The rankers of some versions, by their numbers.

    Raises:
        UsageError: none was chosen.
        UnknownVersionError: the registry holds no such version.
    """
    if not versions:
        raise UsageError("no version is chosen", fix="Set the widget `versions`; train one first where there is none")
    return {version: bench.registry.load(version) for version in versions}


def described(page: PageView) -> str:
    """Who saw what when, in a sentence."""
    place = f" on {page.device}" if page.device else ""
    clicked = ", ".join(row for row in page.rows if row in page.clicked) or "nothing"
    order = "in an order drawn at random, " if page.randomized else ""
    weekday = _WEEKDAYS[page.weekday] if page.weekday >= 0 else "an unknown day"
    return (
        f"On {page.served_at:%Y-%m-%d at %H:%M:%S} UTC ({weekday}, {page.hour} o'clock for the viewer) viewer "
        f"{page.viewer[:12]} saw {len(page.rows)} rows{place}, "
        f"{order}after watching {len(page.titles)} titles, and clicked {clicked}."
    )


def history(page: PageView, most: int = 20) -> pd.DataFrame:
    """The most recent titles, newest first, and how long before the page view each was watched."""
    watched = list(zip(page.titles, page.ages, strict=True))[::-1][:most]
    return pd.DataFrame([(title, _spoken(age)) for title, age in watched], columns=["title", "watched before the page"])


def _spoken(seconds: int) -> str:
    if not seconds:
        return "at an unknown time"
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}s"
    return f"{seconds} seconds"


def orders(page: PageView, rankers: Mapping[str, Ranker]) -> pd.DataFrame:
    """One record a row of the menu, in page order: place, whether pinned and clicked, and its place by each version."""
    frame = pd.DataFrame({"row": page.rows, "page": range(1, len(page.rows) + 1), "pinned": page.pinned})
    frame["clicked"] = frame.row.isin(page.clicked)
    for version, ranker in rankers.items():
        order = rank_pages(ranker, page.as_pages(ranker)).order[0]
        frame[f"version {version}"] = np.argsort(order) + 1
    return frame


def orders_plot(placed: pd.DataFrame):
    """A line a row from its place on the page to its place by each version; clicked rows stand out. Needs `orders`."""
    columns = ["page", *(name for name in placed.columns if name.startswith("version "))]
    drawn = figure("orders", 3 + 2.2 * len(columns), 1.5 + 0.24 * len(placed))
    axes = drawn.add_subplot()
    for record in placed.to_dict("records"):
        places = [record[name] for name in columns]
        strong = record["clicked"]
        axes.plot(columns, places, marker="o", color=BAD if strong else OPEN, linewidth=3 if strong else 1,
                  alpha=1.0 if strong else 0.45, zorder=3 if strong else 1)  # fmt: skip
        axes.annotate(record["row"], (len(columns) - 1, places[-1]), xytext=(8, 0), textcoords="offset points",
                      va="center", fontsize=8, weight="bold" if strong else "normal")  # fmt: skip
    axes.set_yticks(range(1, len(placed) + 1))
    axes.invert_yaxis()
    axes.margins(x=0.25)
    axes.set_ylabel("place on the page, 1 is the top")
    axes.set_title("where each row stands; clicked rows in red", loc="left", fontsize=10)
    return drawn


def parts(page: PageView, rankers: Mapping[str, Ranker], version: str) -> pd.DataFrame:
    """Why a version orders the page as it does: one record a row, in its order, one column a part of the score.

    Of each part the mean over the page's rows is taken off: what is the same for all rows moves none of them. `score`
    is their sum.

    Raises:
        UsageError: the version is not among those that were loaded.
    """
    if version not in rankers:
        raise UsageError(
            f"version {version} is not among those to be looked at",
            wanted=f"one of {', '.join(rankers)}",
            fix="Set the widget `why`, or add the version to `versions`",
        )
    ranker = rankers[version]
    pages = page.as_pages(ranker)
    found = {name: part[0].astype(float) for name, part in ranker.parts(pages.raw()).items()}
    frame = pd.DataFrame({name: part - part.mean() for name, part in found.items()})
    frame.insert(0, "row", page.rows)
    frame.insert(1, "clicked", frame.row.isin(page.clicked))
    frame["score"] = frame[list(found)].sum(axis=1)
    return frame.iloc[rank_pages(ranker, pages).order[0]].reset_index(drop=True)


def parts_plot(scored: pd.DataFrame):
    """A bar a row, made of the parts of its score; the dot is their sum. Needs `parts`."""
    names = [name for name in scored.columns if name not in ("row", "clicked", "score")]
    drawn = figure("parts", 10, 1.5 + 0.28 * len(scored))
    axes = drawn.add_subplot()
    labels = [f"{place}  {row}{'  (clicked)' if hit else ''}"
              for place, (row, hit) in enumerate(zip(scored.row, scored.clicked, strict=True), 1)]  # fmt: skip
    ends = {True: np.zeros(len(scored)), False: np.zeros(len(scored))}  # of the bars to the right and to the left
    for index, name in enumerate(names):
        values = scored[name].to_numpy()
        starts = np.where(values > 0, ends[True], ends[False])
        axes.barh(labels, values, left=starts, color=COLOURS[index % len(COLOURS)], label=name.replace("_", " "))
        ends = {True: ends[True] + np.maximum(values, 0), False: ends[False] + np.minimum(values, 0)}
    axes.scatter(scored.score, labels, color="black", s=18, zorder=3, label="score")
    axes.axvline(0, color=MARK, linewidth=0.8)
    axes.invert_yaxis()
    axes.legend(fontsize=8)
    axes.set_xlabel("parts of the score, each against its mean over the page")
    axes.set_title("why: rows in the version's order", loc="left", fontsize=10)
    return drawn
