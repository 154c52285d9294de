"""Labelled page views -> examples: what a ranker may know of a page view, and what was clicked."""

import dataclasses
from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from pagerec_dbx.errors import LeakageError, NoExamplesError
from pagerec_dbx.pipelines.ages import age_seconds
from pagerec_dbx.pipelines.cuts import SPLITS, with_split
from pagerec_dbx.pipelines.order import Cuts
from pagerec_dbx.pipelines.shown import Shown, with_later_pages, with_shown
from pagerec_dbx.schemas import EXAMPLES, SHOWN
from pagerec_dbx.tables import conform

_DAY = 86_400  # seconds
_THURSDAY = 3  # 1970-01-01 was one; Monday is 0


def examples_from_labelled(labelled: DataFrame, history_length: int, shown: Shown | None = None) -> DataFrame:
    """One record per page view with a click, in the columns of `examples`.

    Args:
        labelled: records of `labelled_page_views`; for what was shown before with all earlier ones of the same viewers.
        history_length: the most recent titles kept, oldest first.
        shown: the clicks of these page views, and how many rows shown before are kept; without it the columns `shown_*`
            are null.

    Returns:
        Tokens, not ids; the menu whole. `hour` and `weekday` (Monday 0) are the viewer's where the offset is known,
        else UTC. `history_age` is in whole seconds before the page view, at least 1, and 0 where no time is known.
    """
    page_views = _without_shown(labelled) if shown is None else with_shown(labelled, shown)
    shortened = page_views.where(has_click()).withColumn("recent", most_recent("history", history_length))
    columns = shortened.select(
        "page_view_id", "request_id", "user_hash", "served_at", "day", "randomized", "device", "location",
        F.col("recent.title_id").alias("history"),
        F.transform("recent.watched_at", age_seconds).alias("history_age"),
        F.col("menu.row_id").alias("menu"),  # by fields, so that only these are read
        F.col("menu.pinned").cast("array<tinyint>").alias("pinned"),
        F.col("clicked").cast("array<tinyint>").alias("clicked"),
        local_hour().alias("hour"),
        local_weekday().alias("weekday"),
        *SHOWN,
    )  # fmt: skip
    return conform(columns, EXAMPLES)


def leaks_from_labelled(labelled: DataFrame, history_length: int, shown: Shown | None = None) -> DataFrame:
    """What examples would know of their own future, which their columns no longer show.

    One record per page view with a click: day, late_titles (titles kept that were watched at or after the page was
    served: an age has no negative values), later_pages (page views that the rows shown before come from and that are
    not before it). Both are 0 unless an earlier stage is at fault.

    Args:
        labelled, history_length, shown: as of `examples_from_labelled`.
    """
    nothing = F.lit(0).alias("later_pages")
    page_views = labelled.select("*", nothing) if shown is None else with_later_pages(labelled, shown)
    watched = most_recent("history", history_length)["watched_at"]
    late = F.filter(watched, lambda moment: moment >= F.col("served_at"))  # entries without a time are trusted
    return page_views.where(has_click()).select("day", F.size(late).alias("late_titles"), "later_pages")


def local_hour() -> Column:
    """0 to 23, the viewer's where the page view knows the offset, else UTC."""
    return F.floor(F.pmod(_local_seconds(), F.lit(_DAY)) / 3_600).cast("int")


def local_weekday() -> Column:
    """0 (Monday) to 6, on the same clock."""
    return F.pmod(F.floor(_local_seconds() / _DAY) + _THURSDAY, F.lit(7)).cast("int")


def _local_seconds() -> Column:
    # Arithmetic on the clock's number and not F.hour, which answers in the session's time zone.
    return F.unix_seconds("served_at") + 60 * F.coalesce(F.col("utc_offset_minutes"), F.lit(0))


def _without_shown(page_views: DataFrame) -> DataFrame:
    kinds = {column.name: column.type for column in EXAMPLES.columns}
    return page_views.withColumns({name: F.lit(None).cast(kinds[name]) for name in SHOWN})


def has_click() -> Column:
    """True for page views on which at least one row was clicked."""
    return F.array_contains("clicked", 1)


def most_recent(name: str, length: int) -> Column:
    """The last `length` entries of an array column, all where there are fewer."""
    return F.slice(name, F.greatest(F.size(name) - length + 1, F.lit(1)), F.lit(length))


@dataclasses.dataclass(frozen=True)
class SplitCounts:
    """What one part of the labelled page views holds."""

    page_views: int
    clicked: int  # page views with a click


def count_splits(labelled: DataFrame, cuts: Cuts) -> dict[str, SplitCounts]:
    """Page views of each part, with and without a click, after a look for what a ranker must not know.

    Raises:
        LeakageError: a history holds what was watched at or after its page view, or a click came before its page view.
        NoExamplesError: a part without a single click.
    """
    late = F.array_max("history.watched_at") >= F.col("served_at")  # entries without a time are trusted
    early = F.col("clicked_at") < F.col("served_at")
    records = (
        with_split(labelled, cuts)
        .groupBy("split")
        .agg(
            F.count("*").alias("all"),
            F.count_if(has_click()).alias("clicked"),
            F.count_if(late).alias("late"),
            F.count_if(early).alias("early"),
        )
        .collect()  # at most one record a split
    )
    _require_none(
        records,
        "late",
        "have a history entry watched at or after the page was served",
        "only entries watched strictly before",
        "silver drops such entries",
    )
    _require_none(
        records,
        "early",
        "are labelled with a click from before the page was served",
        "only clicks on the page itself",
        "the joins look at no such page view",
    )
    counts = {record["split"]: SplitCounts(record["all"], record["clicked"]) for record in records}
    return {split: _require_clicks(split, counts.get(split, SplitCounts(0, 0))) for split in SPLITS}


def _require_none(records: Sequence[Row], name: str, what: str, wanted: str, why_not: str) -> None:
    leaking = sum(record[name] for record in records)
    if leaking:
        raise LeakageError(
            f"{leaking:,} labelled page views {what}",
            wanted=wanted,
            fix=f"Run `pagerec ingest` and `pagerec join --from --to` again: {why_not}",
        )


def _require_clicks(split: str, counts: SplitCounts) -> SplitCounts:
    if counts.clicked == 0:
        raise NoExamplesError(
            f"the {split} part has no page view with a click",
            wanted="at least one click in each of train, validation and holdout",
            got=f"{counts.page_views:,} page views without a click",
            fix="Move the cuts (holdout_from, validation_from or the fractions) or ingest more logs",
        )
    return counts
