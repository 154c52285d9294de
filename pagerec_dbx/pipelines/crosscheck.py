"""What the windowed join makes of the clicks whose page view is known, against the keyed join."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.pipelines.joins import windowed_matches

CAUSES = ("past_window", "two_pages_open", "repeated_page", "other")


def agreement(page_views: DataFrame, clicks: DataFrame, keyed: DataFrame, window_seconds: float) -> DataFrame:
    """Service-log page views with a click by either join, and whether both label them alike.

    One record per page view: day, agrees, cause (null if it agrees).

    Args:
        page_views: those that the window reaches from the clicks; the keyed join's may be older than that.
        keyed: the records of CLICK_MATCHES of the keyed join.
    """
    service = page_views.where(F.col("source") == "service_logs")
    with_request = clicks.where(F.col("request_id").isNotNull())
    windowed = windowed_matches(service, with_request, window_seconds)
    requests = service.select(F.col("page_view_id").alias("windowed_id"), F.col("request_id").alias("windowed_request"))
    # A click and its keyed page have the same request.
    asked = with_request.select("click_id", F.col("request_id").alias("keyed_request"))
    pairs = (
        keyed.select("click_id", "row_id", "clicked_at", *_matched("keyed"))
        .join(windowed.select("click_id", *_matched("windowed")), "click_id", how="inner")
        .join(asked, "click_id", how="inner")
        .join(requests, "windowed_id", how="left")
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


def _matched(join: str) -> list[Column]:
    return [F.col("page_view_id").alias(f"{join}_id"), F.col("served_at").alias(f"{join}_served_at")]


def _cause(window_seconds: float) -> Column:
    """The index in CAUSES of why a click's two page views differ; null if they do not."""
    waited = F.unix_micros("clicked_at") - F.unix_micros("keyed_served_at")
    both = F.col("keyed_id").isNotNull() & F.col("windowed_id").isNotNull()
    same_request = F.col("keyed_request") == F.col("windowed_request")
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
