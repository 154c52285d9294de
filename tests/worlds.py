"""Small made-up data that several tests share."""

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

_PAGE_VIEWS = """
SELECT
  id AS page_view_id, 'keyed' AS join_method, 'service_logs' AS source, concat('q', id) AS request_id,
  concat('viewer ', id % 97) AS user_hash, served.at AS served_at, to_date(served.at) AS day,
  CAST(NULL AS INT) AS utc_offset_minutes, id % 10 = 0 AS randomized, 'tv' AS device, 'home' AS location,
  transform(sequence(1, 5), i -> named_struct(
    'title_id', concat('title ', (id + i) % 12),
    'watched_at', timestampadd(SECOND, -100 * i, served.at))) AS history,
  transform(sequence(0, 9), i -> named_struct(
    'row_id', concat('row ', (id + 7 * i) % 30), 'row_title', 'Row', 'position', CAST(i AS INT),
    'pinned', i = 0)) AS menu,
  transform(sequence(0, 9), i -> CAST(i = id % 12 % 7 AS INT)) AS clicked
FROM (SELECT id, named_struct('at', timestampadd(SECOND, id * 30, TIMESTAMP '2024-01-01 00:00:00')) AS served
      FROM range({count}))
"""


def labelled_page_views(spark: SparkSession, count: int) -> DataFrame:
    """One record per page view, one every 30 s, a click on each; the place that is clicked follows the history.

    A history of titles n+1 .. n+5 (modulo 12) goes with a click on place n modulo 12 modulo 7, so there is something
    to learn.
    """
    frame = spark.sql(_PAGE_VIEWS.format(count=count))
    first = F.expr("element_at(menu, CAST(id_place AS INT)).row_id")
    placed = frame.withColumn("id_place", F.col("page_view_id") % 12 % 7 + 1)
    return placed.withColumn("clicked_row_id", first).withColumn("clicked_at", F.col("served_at")).drop("id_place")
