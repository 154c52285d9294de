"""What a viewer was shown before: the rows of earlier page views, where they stood, how long ago, and what was clicked.

The fields are lists of equal length, one place for each row shown (`schemas.SHOWN`).
"""

import dataclasses

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pagerec_dbx.pipelines.ages import age_seconds
from pagerec_dbx.pipelines.cuts import order_columns
from pagerec_dbx.schemas import SHOWN

PAGES = 10  # page views looked back on: it bounds the work on a viewer who has 100,000

_KEYS = ("page_view_id", "user_hash", "request_id", "served_at")


@dataclasses.dataclass(frozen=True)
class Shown:
    """What the fields are made from, beside the page views themselves."""

    length: int  # rows that are kept, at least 1
    matches: DataFrame  # the records of CLICK_MATCHES of the same page views: they have the time of every click


def with_shown(page_views: DataFrame, shown: Shown) -> DataFrame:
    """The same page views with the rows that the viewer was shown on earlier ones.

    Of the ten page views before this one in the order (served_at, request_id, page_view_id), the most recent first,
    each one's rows in page order; the first `length` of them. A row on several pages is there several times.

    `shown_clicked` is 1 if any click on the row, of that page view, came before this one was served. A row that was
    clicked only later has 0: at that moment it was passed over, and nothing that came later may change a field.

    Args:
        page_views: records of `labelled_page_views`, with and without a click; a viewer's later ones change nothing.

    Returns:
        shown_row array<string>, shown_position array<int> from 1, shown_clicked array<tinyint>, shown_age array<int> in
        whole seconds between the two page views, at least 1.
    """
    return _with_fields(page_views.withColumn("_rows", _first_rows(shown.length)), shown)


def with_shown_before(page_views: DataFrame, labelled: DataFrame, shown: Shown) -> DataFrame:
    """Page views to be ranked with the same fields, made from the labelled page views before each of them.

    A page view that is not labelled yet counts among the ten and adds no rows: nobody knows what was clicked on it.

    Args:
        page_views: records of `page_views` or `labelled_page_views`.
        labelled: records of `labelled_page_views`; later ones change nothing.
    """
    rows = _first_rows(shown.length)
    own_viewers = page_views.select("user_hash").distinct()
    known = labelled.select(*_KEYS, rows.alias("_rows")).join(own_viewers, "user_hash", how="left_semi")
    no_rows = F.array().cast("array<string>")
    unlabelled = page_views.select(*_KEYS, no_rows.alias("_rows")).join(
        labelled.select("page_view_id"), "page_view_id", how="left_anti"
    )
    fields = _with_fields(known.unionByName(unlabelled), shown).select("page_view_id", *SHOWN)
    return page_views.join(fields, "page_view_id", how="inner")


def with_later_pages(page_views: DataFrame, shown: Shown) -> DataFrame:
    """The same page views with `later_pages`: how many of those that the fields come from are not before it.

    It is 0 unless the window that looks back on them is wrong.
    """
    earlier = _with_earlier(page_views.withColumn("_rows", _first_rows(shown.length)), shown)
    later = F.filter("_earlier", lambda page: page["place"] >= _place())
    return earlier.withColumn("later_pages", F.size(later)).drop("_earlier")


def _first_rows(length: int) -> Column:
    """More rows of one page than are kept of all pages are never needed."""
    return F.slice(F.col("menu.row_id"), 1, length)


def _with_fields(page_views: DataFrame, shown: Shown) -> DataFrame:
    """Page views with `_rows` -> without it, and with the fields."""

    def is_needed(page: Column, index: Column) -> Column:
        """The pages since then leave places free: of menus of 40 rows and 20 places one page of ten is looked at."""
        since = F.slice("_earlier", 1, index)
        return F.aggregate(since, F.lit(0), lambda places, one: places + F.size(one["rows"])) < shown.length

    rows = F.flatten(F.transform(F.filter("_earlier", is_needed), _rows_of))
    kept = _with_earlier(page_views, shown).withColumn("_kept", F.slice(rows, 1, shown.length)).drop("_earlier")
    return kept.withColumns({name: F.col("_kept")[name] for name in SHOWN}).drop("_kept")


def _with_earlier(page_views: DataFrame, shown: Shown) -> DataFrame:
    """Page views with `_rows` -> with `_earlier`: the ten before each of them, latest first, with rows and clicks."""
    clicked = page_views.join(_first_clicks(shown.matches), "page_view_id", how="left")
    page = F.struct(F.col("_rows").alias("rows"), F.col("_clicks").alias("clicks"), _place().alias("place"))
    before = Window.partitionBy("user_hash").orderBy(*order_columns()).rowsBetween(-PAGES, Window.currentRow - 1)
    earlier = F.reverse(F.collect_list("_page").over(before))
    return clicked.withColumn("_page", page).withColumn("_earlier", earlier).drop("_page", "_clicks", "_rows")


def _first_clicks(matches: DataFrame) -> DataFrame:
    """One record per page view with a click: the first one on each of its rows."""
    on_pages = matches.where(F.col("page_view_id").isNotNull())
    first = on_pages.groupBy("page_view_id", "row_id").agg(F.min("clicked_at").alias("clicked_at"))
    return first.groupBy("page_view_id").agg(F.collect_list(F.struct("row_id", "clicked_at")).alias("_clicks"))


def _rows_of(page: Column) -> Column:
    """The rows of an earlier page as this page view sees them, structs of the fields."""

    def seen(row: Column, index: Column) -> Column:
        fields = (row, index + 1, _clicked_before(page, row), age_seconds(page["place"]["served_at"]))
        return F.struct(*(field.alias(name) for field, name in zip(fields, SHOWN, strict=True)))

    return F.transform(page["rows"], seen)


def _clicked_before(page: Column, row: Column) -> Column:
    """1 if a row of an earlier page had been clicked there when this page view was served, else 0."""
    known = F.exists(
        page["clicks"], lambda click: (click["row_id"] == row) & (click["clicked_at"] < F.col("served_at"))
    )
    return F.coalesce(known, F.lit(False)).cast("tinyint")


def _place() -> Column:
    """A page view's place in the order of page views, to compare."""
    name = F.col("request_id")
    return F.struct("served_at", name.isNotNull(), F.coalesce(name, F.lit("")), "page_view_id")
