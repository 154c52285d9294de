"""Impression history: the rows that a viewer was shown before and passed over."""

import dataclasses

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pagerec_dbx.pipelines.cuts import order_columns

PAGES = 10  # page views looked back on: it bounds the work on a viewer who has 100,000


@dataclasses.dataclass(frozen=True)
class Impressions:
    """What the impression history is made from, beside the page views themselves."""

    length: int  # rows that are kept of it
    matches: DataFrame  # the records of CLICK_MATCHES of the same page views: they have the time of every click


def with_impressions(page_views: DataFrame, impressions: Impressions) -> DataFrame:
    """The same page views with `impressions`: rows of the viewer's earlier page views that had not been clicked.

    Of the ten page views before this one in the order (served_at, request_id, page_view_id), the most recent first,
    each one's rows in page order; the first `length` of them. A row on several pages is there several times.

    A row is left out if any click on it, of that page view, came before this one was served. One that was clicked only
    later counts as passed over: at that moment it was, and nothing that came later may change the field.

    Args:
        page_views: records of `labelled_page_views`, with and without a click; a viewer's later ones change nothing.
    """
    earlier = _with_earlier(page_views, impressions)
    passed_over = F.flatten(F.transform(F.reverse("_earlier"), _passed_over))
    return earlier.withColumn("impressions", F.slice(passed_over, 1, impressions.length)).drop("_earlier")


def with_later_pages(page_views: DataFrame, impressions: Impressions) -> DataFrame:
    """The same page views with `later_pages`: how many of those that its impressions come from are not before it.

    It is 0 unless the window that looks back on them is wrong.
    """
    earlier = _with_earlier(page_views, impressions)
    later = F.filter("_earlier", lambda page: page["place"] >= _place())
    return earlier.withColumn("later_pages", F.size(later)).drop("_earlier")


def _with_earlier(page_views: DataFrame, impressions: Impressions) -> DataFrame:
    """Page views with `_earlier`: the ten before each of them, the oldest first, with their rows and clicks."""
    clicked = page_views.join(_first_clicks(impressions.matches), "page_view_id", how="left")
    # So many rows more than are kept as may go; `size` would say -1 where nobody clicked.
    most = impressions.length + F.coalesce(F.array_size("_clicks"), F.lit(0))
    rows = F.slice(F.col("menu.row_id"), F.lit(1), most).alias("rows")
    shown = F.struct(rows, F.col("_clicks").alias("clicks"), _place().alias("place"))
    before = Window.partitionBy("user_hash").orderBy(*order_columns()).rowsBetween(-PAGES, Window.currentRow - 1)
    shown_before = F.collect_list("_shown").over(before)
    return clicked.withColumn("_shown", shown).withColumn("_earlier", shown_before).drop("_shown", "_clicks")


def _first_clicks(matches: DataFrame) -> DataFrame:
    """One record per page view with a click: the first one on each of its rows."""
    on_pages = matches.where(F.col("page_view_id").isNotNull())
    first = on_pages.groupBy("page_view_id", "row_id").agg(F.min("clicked_at").alias("clicked_at"))
    return first.groupBy("page_view_id").agg(F.collect_list(F.struct("row_id", "clicked_at")).alias("_clicks"))


def _passed_over(page: Column) -> Column:
    """The rows of an earlier page that had not been clicked when this page view was served."""
    known = F.filter(page["clicks"], lambda click: click["clicked_at"] < F.col("served_at"))["row_id"]
    return F.filter(page["rows"], lambda row: ~F.coalesce(F.array_contains(known, row), F.lit(False)))


def _place() -> Column:
    """A page view's place in the order of page views, to compare."""
    name = F.col("request_id")
    return F.struct(F.unix_micros("served_at"), name.isNotNull(), F.coalesce(name, F.lit("")), "page_view_id")
