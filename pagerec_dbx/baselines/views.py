"""Page views and clicks as baselines read them."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.pipelines.gold import has_click, local_hour


def page_views_of(labelled: DataFrame) -> DataFrame:
    """One record per page view: page_view_id, user_hash, served_micros, hour, device, menu array<string>, clicked.

    Args:
        labelled: records of `labelled_page_views`. The hour is the viewer's where the offset is known, else UTC.
    """
    return labelled.select(
        "page_view_id",
        "user_hash",
        F.unix_micros("served_at").alias("served_micros"),
        local_hour().alias("hour"),
        "device",
        F.col("menu.row_id").alias("menu"),
        "clicked",
    )


def clicks_of(labelled: DataFrame, matches: DataFrame) -> DataFrame:
    """One record per clicked row of a page view: page_view_id, user_hash, row_id, position from 0, served_micros,
    clicked_micros, hour, device; the last two are the page view's.

    Args:
        labelled: records of `labelled_page_views`, which say what was clicked.
        matches: records of `click_matches`, which say when; the first time counts. A click that they do not hold has
            the time of its page view's first click.
    """
    pairs = F.transform(clicked_pairs(), lambda pair, place: pair.withField("position", place))
    clicked = (
        labelled.where(has_click())
        .select(
            "page_view_id",
            "user_hash",
            F.unix_micros("served_at").alias("served_micros"),
            F.unix_micros("clicked_at").alias("first_micros"),
            local_hour().alias("hour"),
            "device",
            F.explode(F.filter(pairs, lambda pair: pair["clicked"] == 1)).alias("row"),
        )
        .select("*", "row.row_id", "row.position")
    )
    times = matches.where(F.col("page_view_id").isNotNull()).groupBy("page_view_id", "row_id")
    known = times.agg(F.min(F.unix_micros("clicked_at")).alias("matched_micros"))
    timed = clicked.join(known, ["page_view_id", "row_id"], how="left")
    time = F.greatest("served_micros", F.coalesce("matched_micros", "first_micros", "served_micros"))
    columns = ("page_view_id", "user_hash", "row_id", "position", "served_micros")
    return timed.select(*columns, time.alias("clicked_micros"), "hour", "device")


def clicked_pairs() -> Column:
    """An array of (row_id, clicked) of labelled page views."""
    return F.arrays_zip(F.col("menu.row_id").alias("row_id"), F.col("clicked").alias("clicked"))


def shown_rows(page_views: DataFrame, *columns: str) -> DataFrame:
    """One record per row of a menu: row_id, position, clicked, and `columns` of the page view.

    Args:
        page_views: as `page_views_of`.
    """
    pair = F.arrays_zip(F.col("menu").alias("row_id"), F.col("clicked").alias("clicked"))
    return page_views.select(*columns, F.posexplode(pair).alias("position", "shown")).select(
        *columns, "position", "shown.*"
    )
