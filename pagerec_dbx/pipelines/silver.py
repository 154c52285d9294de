"""Bronze to silver: page views, clicks, titles and rows, each reduced to one record."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pagerec_dbx.pipelines.event_lines import CLICK
from pagerec_dbx.pipelines.page_view_lines import is_late
from pagerec_dbx.schemas import PAGE_VIEWS


def page_views(bronze: DataFrame) -> DataFrame:
    """Lines of one source with equal user_hash, request_id, served_at and menu become one.

    One record per page view, without what its history holds from the page view on; of several lines the one with the
    smallest canonical JSON. Only lines that are repeated are shuffled whole: which these are, their ids alone tell.
    """
    columns = PAGE_VIEWS.column_names
    good = bronze.where(F.col("reason").isNull()).select(*columns)
    repeated = good.groupBy("page_view_id").count().where(F.col("count") > 1).select("page_view_id")
    single = good.join(repeated, "page_view_id", how="left_anti")
    several = good.join(repeated, "page_view_id", how="left_semi")
    smallest = F.min(F.struct(canonical_json(columns).alias("json"), F.struct(*columns).alias("record")))
    reduced = several.groupBy("page_view_id").agg(smallest.alias("smallest")).select("smallest.record.*")
    views = single.select(*columns).unionByName(reduced)
    return views.withColumn("history", F.filter("history", lambda watched: ~is_late(watched)))


def canonical_json(columns: list[str]) -> Column:
    """The columns as JSON: names in alphabetical order, no spaces, nulls written out, times in microseconds."""
    options = {"ignoreNullFields": "false", "timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'", "timeZone": "UTC"}
    return F.to_json(F.struct(*sorted(columns)), options)


def clicks(bronze: DataFrame, repeat_seconds: float) -> DataFrame:
    """Click records of one viewer on one row that repeat each other become one.

    One record per click, with `records`, the number of click records it stands for. In order of (time, request_id with
    nulls last, source, click_id) a record starts a new click if it lies `repeat_seconds` or more after the one just
    before it, or if it has a request_id and the current click has another.
    """
    records = bronze.where(F.col("reason").isNull() & (F.col("event") == CLICK)).withColumn(
        "micros", F.unix_micros("happened_at")
    )
    order = ["micros", F.col("request_id").asc_nulls_last(), "source", "click_id"]
    of_row = Window.partitionBy("user_hash", "row_id").orderBy(*order)
    before = of_row.rowsBetween(Window.unboundedPreceding, -1)
    late = F.col("micros") - F.lag("micros").over(of_row) >= int(repeat_seconds * 1_000_000)
    # Records without a gap between them are one session. Inside it the current click's request_id is always the last
    # one seen: the first that comes is taken over by the click without one, any other starts a click of its own.
    request = F.when(F.col("request_id").isNotNull(), F.struct("session", "request_id"))
    last = F.last(request, ignorenulls=True).over(before)
    other_request = (last["session"] == F.col("session")) & (last["request_id"] != F.col("request_id"))
    numbered = (
        records.withColumn("session", F.count_if(F.coalesce(late, F.lit(False))).over(of_row))
        .withColumn("starts", F.lag("session", 1, -1).over(of_row) != F.col("session"))
        .withColumn("starts", F.col("starts") | F.coalesce(other_request, F.lit(False)))
        .withColumn("number", F.count_if("starts").over(of_row))
    )
    first = F.max(F.when(F.col("starts"), F.struct("click_id", "source", "happened_at", "row_position"))).alias("first")
    return (
        numbered.groupBy("user_hash", "row_id", "number")
        .agg(first, F.max("request_id").alias("request_id"), F.count("*").alias("records"))
        .select("user_hash", "row_id", "request_id", "records", "first.*")
        .withColumnRenamed("happened_at", "clicked_at")
    )


def attributes(bronze: DataFrame, files: DataFrame, source: str, key: str) -> DataFrame:
    """What the latest file says of each title or row; within a file the smallest JSON.

    One record per id.

    Args:
        files: the records of INGESTED_FILES.
        source: `titles` or `rows`.
        key: the name that the id gets.
    """
    good = bronze.where((F.col("source") == source) & F.col("reason").isNull())
    dated = good.join(files.select("file", "modified_ns"), "file", how="inner")
    as_json = F.to_json(F.struct(F.map_entries("attributes"), F.map_entries("numbers")))
    # Maps have no order, so the records are told apart by their JSON.
    latest = F.max_by(F.struct("attributes", "numbers"), F.struct("modified_ns", "file", as_json)).alias("latest")
    return dated.groupBy(F.col("id").alias(key)).agg(latest).select(key, "latest.*")


def reductions(bronze_page_views: DataFrame, reduced_clicks: DataFrame) -> DataFrame:
    """How much silver left out: duplicate_page_views, late_history_titles, duplicate_clicks.

    One record per day, join_method, measure.
    """
    of_views = (
        bronze_page_views.where(F.col("reason").isNull())
        .groupBy("page_view_id", F.to_date("served_at").alias("day"), "source")
        .agg((F.count("*") - 1).alias("duplicate_page_views"), F.max("late_titles").alias("late_history_titles"))
        .withColumn("join_method", F.when(F.col("source") == "service_logs", "keyed").otherwise("windowed"))
    )
    of_clicks = reduced_clicks.select(
        F.to_date("clicked_at").alias("day"),
        F.when(F.col("request_id").isNotNull(), "keyed").otherwise("windowed").alias("join_method"),
        (F.col("records") - 1).alias("duplicate_clicks"),
    )
    return _summed(of_views, ["duplicate_page_views", "late_history_titles"]).unionByName(
        _summed(of_clicks, ["duplicate_clicks"])
    )


def _summed(frame: DataFrame, measures: list[str]) -> DataFrame:
    sums = frame.groupBy("day", "join_method").agg(*(F.sum(name).cast("double").alias(name) for name in measures))
    return sums.unpivot(["day", "join_method"], measures, "measure", "value")
