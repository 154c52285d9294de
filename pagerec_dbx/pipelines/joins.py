"""Clicks to the page views they belong to: by request id, or by viewer and time; page views to labelled ones."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

REASONS = ("no_page", "before_page", "other_viewer", "row_not_offered")


def keyed_matches(page_views: DataFrame, clicks: DataFrame) -> DataFrame:
    """Clicks with a request_id and the page view of that request, of that viewer, with that row, served before.

    One record per click that has a request_id, in the columns of CLICK_MATCHES.
    """
    with_request = _clicks(clicks.where(F.col("request_id").isNotNull()), "request_id")
    candidates = with_request.join(_pages(page_views, "request_id"), "request_id", how="inner")
    passed = {
        "before_page": F.col("served_micros") <= F.col("clicked_micros"),
        "other_viewer": F.col("page_user") == F.col("user_hash"),
        "row_not_offered": F.col("position") >= 0,
    }
    return _matches(with_request, candidates, passed, "keyed")


def windowed_matches(page_views: DataFrame, clicks: DataFrame, window_seconds: float) -> DataFrame:
    """Clicks and the page view of the same viewer, served at most `window_seconds` before, with that row.

    One record per click, in the columns of CLICK_MATCHES. Page views fall into buckets of the window's length, so a
    click's page view lies in the click's own bucket or in the one before: an equi-join whatever a viewer's activity.
    """
    window = max(1, round(window_seconds * 1_000_000))  # microseconds
    clicks = _clicks(clicks)
    bucket = F.expr(f"clicked_micros div {window}")
    placed = clicks.withColumn("bucket", F.explode(F.array(bucket, bucket - 1)))
    pages = _pages(page_views).withColumnRenamed("page_user", "user_hash")
    pages = pages.withColumn("bucket", F.expr(f"served_micros div {window}"))
    waited = F.col("clicked_micros") - F.col("served_micros")
    in_window = placed.join(pages, ["user_hash", "bucket"], how="inner").where((waited >= 0) & (waited <= window))
    return _matches(clicks, in_window, {"row_not_offered": F.col("position") >= 0}, "windowed")


def _clicks(clicks: DataFrame, *more: str) -> DataFrame:
    micros = F.unix_micros("clicked_at").alias("clicked_micros")
    return clicks.select("click_id", "user_hash", "clicked_at", "row_id", micros, *more)


def _pages(page_views: DataFrame, *more: str) -> DataFrame:
    return page_views.select(
        "page_view_id",
        F.col("user_hash").alias("page_user"),
        "served_at",
        F.unix_micros("served_at").alias("served_micros"),
        F.col("menu")["row_id"].alias("row_ids"),
        *more,
    )


def _matches(clicks: DataFrame, candidates: DataFrame, passed: dict[str, Column], join_method: str) -> DataFrame:
    """For each click the best of its candidates, or the reason why it has none.

    Args:
        candidates: pairs of a click and a page view.
        passed: conditions on a pair by the reason that a click gets if no pair meets it and those before it.
    """
    position = (F.expr("array_position(row_ids, row_id)") - 1).cast("int")
    pairs = candidates.withColumn("position", position)
    so_far, reached = F.lit(True), []
    for condition in passed.values():
        so_far = so_far & condition
        reached.append(so_far)
    rank = F.struct(
        (-F.col("served_micros")).alias("latest"), F.array_join("row_ids", ",").alias("menu"), "page_view_id"
    )
    best = F.min(F.when(reached[-1], F.struct(rank.alias("rank"), "served_at", "position"))).alias("best")
    flags = [F.max(condition).alias(f"no_{reason}") for reason, condition in zip(passed, reached, strict=True)]
    judged = pairs.groupBy("click_id").agg(best, *flags)
    reason = F.when(F.col(f"no_{next(iter(passed))}").isNull(), "no_page")
    for name in passed:
        reason = reason.when(~F.col(f"no_{name}"), name)
    matched = clicks.join(judged, "click_id", how="left")
    return matched.select(
        "click_id",
        F.lit(join_method).alias("join_method"),
        "clicked_at",
        F.to_date(F.coalesce("best.served_at", "clicked_at")).alias("day"),
        "row_id",
        F.col("best.rank.page_view_id").alias("page_view_id"),
        F.col("best.served_at").alias("served_at"),
        F.col("best.position").alias("position"),
        reason.alias("reason"),
    )


def labelled_page_views(page_views: DataFrame, matches: DataFrame, few_clicks: bool = False) -> DataFrame:
    """Page views with what was clicked on them.

    One record per page view.

    Args:
        matches: the records of CLICK_MATCHES.
        few_clicks: they fit into memory, so that the page views, which are wide, stay where they are.
    """
    first = F.min(F.struct("clicked_at", "position", "row_id")).alias("first")
    labels = (
        matches.where(F.col("page_view_id").isNotNull())
        .groupBy("page_view_id")
        .agg(F.collect_set("row_id").alias("rows"), first)
    )
    labels = F.broadcast(labels) if few_clicks else labels
    none = F.array_repeat(F.lit(0), F.size("menu"))  # a look at each row is what costs, and most pages have no click
    labels_of_rows = F.transform("menu", lambda row: F.array_contains("rows", row["row_id"]).cast("int"))
    clicked = F.when(F.col("rows").isNull(), none).otherwise(labels_of_rows)
    return (
        page_views.join(labels, "page_view_id", how="left")
        .withColumn("join_method", F.when(F.col("source") == "service_logs", "keyed").otherwise("windowed"))
        .withColumn("day", F.to_date("served_at"))
        .withColumn("clicked", clicked)
        .withColumn("clicked_row_id", F.col("first.row_id"))
        .withColumn("clicked_at", F.col("first.clicked_at"))
    )
