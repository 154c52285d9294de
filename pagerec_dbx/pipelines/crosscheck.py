"""What the windowed join makes of the clicks whose page view is known, against the keyed join."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.pipelines.joins import windowed_matches

CAUSES = ("past_window", "two_pages_open", "repeated_page", "other")


def agreement(page_views: DataFrame, clicks: DataFrame, keyed: DataFrame, window_seconds: float) -> DataFrame:
    """Service-log page views with a click by either join, and whether both label them alike.

    One record per page view: day, agrees, cause (null if it agrees).

    Args:
        keyed: the records of CLICK_MATCHES of the keyed join.
    """
    service = page_views.where(F.col("source") == "service_logs")
    with_request = clicks.where(F.col("request_id").isNotNull())
    windowed = windowed_matches(service, with_request, window_seconds)
    pages = service.select("page_view_id", "served_at", "request_id")
    pairs = (
        keyed.select("click_id", "row_id", "clicked_at", F.col("page_view_id").alias("keyed_id"))
        .join(windowed.select("click_id", F.col("page_view_id").alias("windowed_id")), "click_id", how="inner")
        .join(_named(pages, "keyed"), "keyed_id", how="left")
        .join(_named(pages, "windowed"), "windowed_id", how="left")
        .withColumn("cause", _cause(window_seconds))
    )
    placed = _placed(pairs, "keyed").unionByName(_placed(pairs, "windowed"))
    return (
        placed.groupBy("page_view_id")
        .agg(
            F.min("day").alias("day"),
            (F.sort_array(F.collect_set("keyed_row")) == F.sort_array(F.collect_set("windowed_row"))).alias("agrees"),
            F.min("cause").alias("cause"),
        )
        .select("day", "agrees", F.when(~F.col("agrees"), F.array(*map(F.lit, CAUSES))[F.col("cause")]).alias("cause"))
    )


def _named(pages: DataFrame, join: str) -> DataFrame:
    return pages.select(*(F.col(name).alias(f"{join}_{name.removeprefix('page_view_')}") for name in pages.columns))


def _cause(window_seconds: float):
    """The index in CAUSES of why a click's two page views differ; null if they do not."""
    waited = F.unix_micros("clicked_at") - F.unix_micros("keyed_served_at")
    both = F.col("keyed_id").isNotNull() & F.col("windowed_id").isNotNull()
    same_request = F.col("keyed_request_id") == F.col("windowed_request_id")
    return (
        F.when(F.col("keyed_id").eqNullSafe(F.col("windowed_id")), None)
        .when(waited > int(window_seconds * 1_000_000), 0)
        .when(both & ~same_request, 1)
        .when(both, 2)
        .otherwise(3)
    )


def _placed(pairs: DataFrame, join: str) -> DataFrame:
    """The clicks that one of the joins gave a page view."""
    rows = {name: F.col("row_id") if name == join else F.lit(None).cast("string") for name in ("keyed", "windowed")}
    return pairs.where(F.col(f"{join}_id").isNotNull()).select(
        F.col(f"{join}_id").alias("page_view_id"),
        F.to_date(f"{join}_served_at").alias("day"),
        "cause",
        *(column.alias(f"{name}_row") for name, column in rows.items()),
    )
