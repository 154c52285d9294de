"""A page view with another history, menu, hour or device, and how a version would order it then."""

import dataclasses
from collections.abc import Mapping, Sequence

import pandas as pd
from pyspark.sql import functions as F

from pagerec_dbx.errors import UsageError
from pagerec_dbx.models.export import Ranker
from pagerec_dbx.notebooks.desk import NONE, unquote
from pagerec_dbx.notebooks.page_views import PageView, orders
from pagerec_dbx.notebooks.plots import BAD, GOOD, OPEN, figure
from pagerec_dbx.schemas import LABELLED_PAGE_VIEWS
from pagerec_dbx.scoring.request import LONGEST_MENU
from pagerec_dbx.workbench import Workbench

AS_IT_WAS = "as it was"
HOURS = [AS_IT_WAS, *map(str, range(24))]
_JUST_NOW = 60  # seconds before the page: when an added title was watched


def devices(bench: Workbench) -> list[str]:
    """AS_IT_WAS, and the devices of the page views, the most common first."""
    counted = bench.tables.read(LABELLED_PAGE_VIEWS).where("device <> ''").groupBy("device").count()
    ordered = counted.orderBy(F.desc("count"), "device").limit(100)
    return list(dict.fromkeys([AS_IT_WAS, *(record["device"] for record in ordered.collect())]))


def titles(page: PageView) -> list[str]:
    """NONE, and the titles of the history, newest first, each once."""
    return list(dict.fromkeys([NONE, *reversed(page.titles)]))


def rows(page: PageView) -> list[str]:
    """NONE, and the rows of the menu."""
    return [NONE, *page.rows]


def listed(text: str) -> list[str]:
    """What a text widget has, with commas between; one inside a name is written `%2C`."""
    return [unquote(part.strip()) for part in text.split(",") if part.strip()]


@dataclasses.dataclass(frozen=True)
class Edits:
    """What is other than it was.

    Attributes:
        add_titles: watched a minute before the page, the last one last.
        drop_titles: never watched.
        add_rows: offered at the end of the menu, not pinned.
        drop_rows: not offered; the others keep their order and their pins.
        hour: of the day where the viewer is, 0 to 23, or AS_IT_WAS.
        device: any text, or AS_IT_WAS.

    Raises:
        UsageError: the hour is none.
    """

    add_titles: Sequence[str] = ()
    drop_titles: Sequence[str] = ()
    add_rows: Sequence[str] = ()
    drop_rows: Sequence[str] = ()
    hour: str = AS_IT_WAS
    device: str = AS_IT_WAS

    def __post_init__(self):
        if self.hour not in HOURS:
            raise UsageError(
                "no hour of the day", wanted=f"0 to 23, or {AS_IT_WAS}", got=self.hour, fix="Set the widget `hour`"
            )


def edited(page: PageView, edits: Edits) -> PageView:
    """The page view as it might have been.

    Raises:
        UsageError: no row is left, a row is added that is there, or there are too many.
    """
    history = zip(page.titles, page.ages, strict=True)
    watched = [(title, age) for title, age in history if title not in edits.drop_titles]
    watched += [(title, _JUST_NOW) for title in edits.add_titles]
    offered = zip(page.rows, page.pinned, strict=True)
    menu = [(row, pin) for row, pin in offered if row not in edits.drop_rows]
    menu += [(row, False) for row in edits.add_rows]
    names = _require_menu([row for row, _ in menu])
    return dataclasses.replace(
        page,
        titles=tuple(title for title, _ in watched),
        ages=tuple(age for _, age in watched),
        rows=names,
        pinned=tuple(pin for _, pin in menu),
        clicked=page.clicked & set(names),
        hour=page.hour if edits.hour == AS_IT_WAS else int(edits.hour),
        device=page.device if edits.device == AS_IT_WAS else edits.device,
    )


def _require_menu(names: list[str]) -> tuple[str, ...]:
    """The rows of a page, or UsageError where they make none."""
    if not names:
        raise UsageError("no row is left on the page", fix="Drop fewer rows")
    twice = sorted({row for row in names if names.count(row) > 1})
    if twice:
        raise UsageError("a row would be twice on the page", got=", ".join(twice), fix="Add rows that are not there")
    if len(names) > LONGEST_MENU:
        raise UsageError(
            "the page has too many rows", wanted=f"at most {LONGEST_MENU}", got=str(len(names)), fix="Add fewer rows"
        )
    return tuple(names)


def moves(before: PageView, after: PageView, rankers: Mapping[str, Ranker]) -> pd.DataFrame:
    """One record a row and version, in the new order: its place as the page was and as it might have been, from 1.

    `moved` is the number of places it rises; empty for a row that is new or gone.
    """
    told = []
    for version, ranker in rankers.items():
        column = f"version {version}"
        was, now = (orders(page, {version: ranker}).set_index("row")[column] for page in (before, after))
        both = pd.DataFrame({"before": was, "after": now}).sort_values(["after", "before"])
        told.append(both.rename_axis("row").reset_index().assign(version=version))
    frame = pd.concat(told, ignore_index=True)
    frame[["before", "after"]] = frame[["before", "after"]].astype("Int64")
    return frame.assign(moved=frame.before - frame.after)[["version", "row", "before", "after", "moved"]]


def summary(moved: pd.DataFrame) -> str:
    """What the changes do, in a sentence a version."""
    told = []
    for version, group in moved.groupby("version", sort=False):
        shifted = group[(group.moved != 0) & group.moved.notna()]
        new, gone = int(group.before.isna().sum()), int(group.after.isna().sum())
        most = shifted.loc[shifted.moved.abs().idxmax()] if len(shifted) else None
        head = f"Version {version}: {len(shifted)} rows change places"
        if most is not None:
            head += f", {most.row} most ({abs(most.moved)} {'up' if most.moved > 0 else 'down'})"
        told.append(f"{head}; {new} new, {gone} gone.")
    return " ".join(told)


def moves_plot(moved: pd.DataFrame):
    """A bar a row: how many places it rises (green) or falls (red). Needs `moves`."""
    versions = list(moved.version.unique())
    most = max(int((moved.version == version).sum()) for version in versions)
    drawn = figure("moves", 5 * len(versions), 1.5 + 0.26 * most)
    for axes, version in zip(drawn.subplots(1, len(versions), squeeze=False)[0], versions, strict=True):
        group = moved[(moved.version == version) & moved.after.notna()]
        gains = group.moved.fillna(0).astype(int)
        labels = [f"{place}  {row}{' (new)' if new else ''}"
                  for place, row, new in zip(group.after, group.row, group.before.isna(), strict=True)]  # fmt: skip
        axes.barh(labels, gains, color=[GOOD if gain > 0 else BAD if gain < 0 else OPEN for gain in gains])
        axes.axvline(0, color="black", linewidth=0.8)
        axes.invert_yaxis()
        axes.set_title(f"version {version}: places gained, in the new order", loc="left", fontsize=10)
    return drawn
