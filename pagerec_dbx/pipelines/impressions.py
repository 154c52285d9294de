"""Impression history: the rows that a viewer was shown before and passed over."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pagerec_dbx.pipelines.cuts import order_columns

PAGES = 10  # page views looked back on: it bounds the work on a viewer who has 100,000


def with_impressions(page_views: DataFrame, length: int) -> DataFrame:
    """The same page views with `impressions`: rows of the viewer's earlier page views that had not been clicked.

    Of the ten page views before this one in the order (served_at, request_id, page_view_id), the most recent first,
    each one's rows in page order; the first `length` of them. A row on several pages is there several times.

    What was clicked only after this page view was served counts as passed over: at that moment it was. The time of a
    page view's first click is the only one that is known, so its further clicks count as passed over too.

    Args:
        page_views: records of `labelled_page_views`, with and without a click; a viewer's later ones change nothing.
    """
    # One row more than are kept, because one of them may have been clicked.
    shown = F.struct(F.slice(F.col("menu.row_id"), 1, length + 1).alias("rows"), "clicked_row_id", "clicked_at")
    before = Window.partitionBy("user_hash").orderBy(*order_columns()).rowsBetween(-PAGES, Window.currentRow - 1)
    earlier = page_views.withColumn("_shown", shown).withColumn("_earlier", F.collect_list("_shown").over(before))
    passed_over = F.flatten(F.transform(F.reverse("_earlier"), _passed_over))
    return earlier.withColumn("impressions", F.slice(passed_over, 1, length)).drop("_shown", "_earlier")


def _passed_over(page: Column) -> Column:
    """The rows of an earlier page that had not been clicked when this page view was served."""
    known = F.coalesce(page["clicked_at"] < F.col("served_at"), F.lit(False))
    return F.filter(page["rows"], lambda row: ~(known & row.eqNullSafe(page["clicked_row_id"])))
