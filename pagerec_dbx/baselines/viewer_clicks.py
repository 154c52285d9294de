"""What a viewer had clicked before a page view was served: strictly before, by the times of the clicks."""

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

_EARLIER = (Window.unboundedPreceding, -1)  # by microseconds: what happened at the page view's own instant is not known


def with_row_clicks(page_views: DataFrame, clicks: DataFrame) -> DataFrame:
    """The page views with `row_clicks`: which rows of the menu the viewer had clicked, how often, and when last.

    One record per page view; array<struct<position, clicks, last_micros>>, null where there is none.

    Args:
        page_views: page_view_id, user_hash, served_micros, menu.
        clicks: user_hash, row_id, clicked_micros.
    """
    own = clicks.select("user_hash", "row_id", "clicked_micros")
    shown = page_views.select(
        "page_view_id", "user_hash", "served_micros", F.posexplode("menu").alias("position", "row_id")
    )
    # Most rows on a menu were never clicked by its viewer: they are let go before anything is sorted.
    shown = shown.join(own.select("user_hash", "row_id").distinct(), ["user_hash", "row_id"], how="left_semi")
    events = shown.withColumnRenamed("served_micros", "micros").unionByName(
        own.withColumn("micros", F.col("clicked_micros")), allowMissingColumns=True
    )
    before = Window.partitionBy("user_hash", "row_id").orderBy("micros").rangeBetween(*_EARLIER)
    known = events.select(
        "page_view_id",
        "position",
        F.count("clicked_micros").over(before).alias("clicks"),
        F.max("clicked_micros").over(before).alias("last_micros"),
    ).where("page_view_id IS NOT NULL AND clicks > 0")
    listed = known.groupBy("page_view_id").agg(
        F.collect_list(F.struct("position", "clicks", "last_micros")).alias("row_clicks")
    )
    return page_views.join(listed, "page_view_id", how="left")


def row_clicks_from_arrow(batch: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray]:
    """Clicks and the microseconds of the last one, 0 and 0 where there is none; both aligned with the flattened menus.

    Args:
        batch: of `with_row_clicks`.
    """
    lists, sizes = batch.column("row_clicks"), menu_sizes(batch)
    count, last = np.zeros(sizes.sum(), np.int64), np.zeros(sizes.sum(), np.int64)
    found = lists.flatten()
    pages = np.repeat(np.arange(len(sizes)), lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False))
    places = (np.cumsum(sizes) - sizes)[pages] + found.field("position").to_numpy(zero_copy_only=False)
    count[places] = found.field("clicks").to_numpy(zero_copy_only=False)
    last[places] = found.field("last_micros").to_numpy(zero_copy_only=False)
    return count, last


def with_clicked_rows(page_views: DataFrame, clicks: DataFrame) -> DataFrame:
    """The page views with `clicked_rows`: all rows that the viewer had clicked, each once, in no order.

    One record per page view; an empty array where there is none.

    Args:
        page_views: page_view_id, user_hash, served_micros.
        clicks: user_hash, row_id, clicked_micros.
    """
    asked = page_views.select("user_hash", F.col("served_micros").alias("micros"), "page_view_id")
    own = clicks.join(page_views.select("user_hash").distinct(), "user_hash", how="left_semi")
    own = own.select("user_hash", F.col("clicked_micros").alias("micros"), "row_id")
    before = Window.partitionBy("user_hash").orderBy("micros").rangeBetween(*_EARLIER)
    events = asked.unionByName(own, allowMissingColumns=True)
    known = events.select("page_view_id", F.collect_set("row_id").over(before).alias("clicked_rows"))
    return page_views.join(known.where("page_view_id IS NOT NULL"), "page_view_id", how="inner")


def menu_sizes(batch: pa.RecordBatch) -> np.ndarray:
    """[page views] rows on each menu."""
    return batch.column("menu").value_lengths().to_numpy(zero_copy_only=False)
