"""Which page view an analyst looks at: days, viewers and page views to choose from, and the one that was chosen."""

import datetime as dt

from pyspark.sql import functions as F

from pagerec_dbx.errors import MissingTableError, UsageError
from pagerec_dbx.features.preparation import latest_preparation
from pagerec_dbx.notebooks.page_views import PageView
from pagerec_dbx.schemas import LABELLED_PAGE_VIEWS, SHOWN
from pagerec_dbx.scoring.batch import page_inputs
from pagerec_dbx.stages.shown_before import with_shown_fields
from pagerec_dbx.workbench import Workbench

VIEWERS, PAGES = 50, 200  # offered to choose from


def days(bench: Workbench) -> list[str]:
    """The days that have labelled page views, newest first.

    Raises:
        MissingTableError: nothing was joined yet.
    """
    found = bench.tables.read(LABELLED_PAGE_VIEWS).select("day").distinct().orderBy("day", ascending=False)
    return [str(record["day"]) for record in found.collect()]


def viewers(bench: Workbench, day: str) -> list[str]:
    """The hashes of the viewers with the most page views with a click on a day, 50 at most."""
    clicked = F.count_if(F.size("clicked") > 0)
    views = bench.tables.read(LABELLED_PAGE_VIEWS).where(F.col("day") == day)
    found = views.groupBy("user_hash").agg(clicked.alias("clicks"), F.count("*").alias("views"))
    ordered = found.orderBy(F.desc("clicks"), F.desc("views"), "user_hash").limit(VIEWERS)
    return [record["user_hash"] for record in ordered.collect()]


def page_views(bench: Workbench, day: str, viewer: str) -> list[str]:
    """A viewer's page views on a day as `time id`, those with a click first, 200 at most."""
    views = bench.tables.read(LABELLED_PAGE_VIEWS).where((F.col("day") == day) & (F.col("user_hash") == viewer))
    time = F.date_format("served_at", "HH:mm:ss").alias("time")
    ordered = views.orderBy(F.desc(F.size("clicked") > 0), "served_at", "page_view_id").limit(PAGES)
    return [f"{record['time']} {record['page_view_id']}" for record in ordered.select(time, "page_view_id").collect()]


def look_up(bench: Workbench, choice: str, viewer: str) -> PageView:
    """The page view of a choice of `page_views`, or of its bare id.

    Raises:
        UsageError: there is no such page view, or it is another viewer's.
        MissingTableError: nothing was joined yet.
    """
    number = choice.split(" ")[-1]
    if not number.lstrip("-").isdigit():
        raise UsageError("no page view", wanted="a page view's id", got=repr(choice), fix="Choose one from the widget")
    views = bench.tables.read(LABELLED_PAGE_VIEWS).where(F.col("page_view_id") == int(number))
    found = page_inputs(
        with_shown_fields(bench.tables, views, _shown_length(bench)), "user_hash", "randomized", "clicked"
    )
    record = found.withColumn("served_at", F.unix_micros("served_at")).first()
    if record is None:
        raise UsageError(f"no page view {number} in this home", fix="Choose one from the widget")
    if record["user_hash"] != viewer:
        raise UsageError(
            f"page view {number} is not of the viewer that is chosen",
            wanted=f"one of viewer {viewer[:12]}",
            got=f"one of viewer {record['user_hash'][:12]}",
            fix="Run the first two cells again, then choose a page view",
        )
    rows = tuple(record["rows"])
    return PageView(
        page_view_id=record["page_view_id"],
        served_at=dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=record["served_at"]),
        viewer=record["user_hash"],
        randomized=record["randomized"],
        titles=tuple(record["titles"]),
        ages=tuple(record["ages"]),
        rows=rows,
        pinned=tuple(record["pinned"]),
        clicked=frozenset(rows[place] for place in record["clicked"]),
        hour=record["hour"],
        weekday=record["weekday"],
        device=record["device"],
        location=record["location"],
        shown={name: tuple(record[name]) for name in SHOWN if name in found.columns},
    )


def _shown_length(bench: Workbench) -> int:
    """As many rows shown before as the latest preparation keeps; none before the first."""
    try:
        return latest_preparation(bench.tables).shown_length
    except MissingTableError:
        return 0
