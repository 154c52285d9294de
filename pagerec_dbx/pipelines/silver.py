"""Bronze to silver: page views, clicks, titles and rows, each reduced to one record."""

from collections.abc import Iterable

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pagerec_dbx.pipelines.event_lines import CLICK
from pagerec_dbx.schemas import PAGE_VIEWS

# What a log says of a page view; the other columns are derived from these.
LOGGED = (
    "page_view_id", "source", "request_id", "user_hash", "served_at", "utc_offset_minutes", "randomized",
    "device", "location", "history", "menu",
)  # fmt: skip
_DAY_MICROS = 86_400 * 1_000_000


def page_views(bronze: DataFrame) -> DataFrame:
    """Lines of one source with equal user_hash, request_id, served_at and menu become one.

    One record per page view, with `records`, the number of its lines; of several lines the one with the smallest
    canonical JSON. Page views are wide and seldom repeated: the ids alone tell which are, and only these are shuffled.

    Args:
        bronze: lines in the columns of BRONZE_PAGE_VIEWS, with every line of the days that they are of.
    """
    good = bronze.where(~F.col("refused")).select(*(name for name in PAGE_VIEWS.column_names if name != "records"))
    repeated = good.groupBy("page_view_id").agg(F.count("*").alias("records")).where(F.col("records") > 1)
    # Without the hint Spark shuffles the wide side before it learns how few ids there are.
    counted = good.join(F.broadcast(repeated), "page_view_id", how="left")
    single = counted.where(F.col("records").isNull()).withColumn("records", F.lit(1).cast("bigint"))
    several = counted.where(F.col("records").isNotNull())
    line = F.struct(canonical_json(LOGGED).alias("json"), F.struct(*counted.columns).alias("record"))
    smallest = several.groupBy("page_view_id").agg(F.min(line).alias("smallest"), F.max("late_titles").alias("late"))
    reduced = smallest.select("smallest.record.*", "late").withColumn("late_titles", F.col("late")).drop("late")
    return single.unionByName(reduced)


def canonical_json(columns: Iterable[str]) -> Column:
    """The columns as JSON: names in alphabetical order, no spaces, nulls written out, times in microseconds."""
    options = {"ignoreNullFields": "false", "timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'", "timeZone": "UTC"}
    return F.to_json(F.struct(*sorted(columns)), options)


def clicks(bronze: DataFrame, repeat_seconds: float) -> DataFrame:
    """Click records of one viewer on one row that repeat each other become one.

    One record per click, with `records`, the number of click records it stands for, on the day of the first. In order
    of (time, request_id with nulls last, source, click_id) a record starts a new click if it lies `repeat_seconds` or
    more after the one just before it, or if it has a request_id and the current click has another.
    """
    records = click_records(bronze)
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
        .withColumn("day", F.to_date("clicked_at"))
    )


def click_records(bronze: DataFrame) -> DataFrame:
    """One record per line that is a click, with its time in `micros`."""
    is_click = ~F.col("refused") & (F.col("event") == CLICK)
    return bronze.where(is_click).withColumn("micros", F.unix_micros("happened_at"))


def linked_midnights(bronze: DataFrame, repeat_seconds: float) -> DataFrame:
    """Midnights over which records of one click reach: the clicks of both days can only be reduced together.

    One record per day whose first clicks may be repeats of the last ones of the day before: day.
    """
    repeat = int(repeat_seconds * 1_000_000)
    since = F.pmod("micros", F.lit(_DAY_MICROS))
    sides = F.array(
        F.when(since < repeat, F.struct(F.col("day").alias("midnight"), F.col("micros").alias("after"))),
        F.when(
            since >= _DAY_MICROS - repeat,
            F.struct(F.date_add("day", 1).alias("midnight"), F.lit(None).cast("bigint").alias("after")),
        ),
    )
    near = click_records(bronze).select(
        "user_hash", "row_id", "micros", F.explode(F.array_compact(sides)).alias("side")
    )
    before = F.max(F.when(F.col("side.after").isNull(), F.col("micros")))
    gaps = near.groupBy("user_hash", "row_id", "side.midnight").agg((F.min("side.after") - before).alias("gap"))
    return gaps.where(F.col("gap") < repeat).select(F.col("midnight").alias("day")).distinct()


def attributes(bronze: DataFrame, files: DataFrame, source: str, key: str) -> DataFrame:
    """What the latest file says of each title or row; within a file the smallest JSON.

    One record per id.

    Args:
        files: file and modified_ns of every file.
        source: `titles` or `rows`.
        key: the name that the id gets.
    """
    good = bronze.where((F.col("source") == source) & ~F.col("refused"))
    dated = good.join(files.select("file", "modified_ns"), "file", how="inner")
    as_json = F.to_json(F.struct(F.map_entries("attributes"), F.map_entries("numbers")))
    # Maps have no order, so the records are told apart by their JSON.
    latest = F.max_by(F.struct("attributes", "numbers"), F.struct("modified_ns", "file", as_json)).alias("latest")
    return dated.groupBy(F.col("id").alias(key)).agg(latest).select(key, "latest.*")
