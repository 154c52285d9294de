"""The windowed join against DuckDB's ASOF join, on the same tables, each result counted and none kept."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlparse

import duckdb

from pagerec_dbx.home import Home
from pagerec_dbx.pipelines.joins import windowed_matches
from pagerec_dbx.schemas import CLICKS, PAGE_VIEWS
from pagerec_dbx.spark import spark_session
from pagerec_dbx.tables import Tables

WINDOW_SECONDS = 120.0
REPEATS = 3

# ASOF takes the latest page view not after the click; for "whose menu holds the row" each row is a record of its own.
_ASOF = """
WITH pages AS (
  SELECT user_hash, served_at, unnest(list_transform(menu, lambda row: row.row_id)) AS row_id
  FROM read_parquet({pages}) WHERE source <> 'service_logs'
), clicks AS (
  SELECT user_hash, clicked_at, row_id FROM read_parquet({clicks}) WHERE request_id IS NULL
)
SELECT count(*) FROM clicks ASOF JOIN pages
ON clicks.user_hash = pages.user_hash AND clicks.row_id = pages.row_id AND clicks.clicked_at >= pages.served_at
WHERE clicks.clicked_at - pages.served_at <= INTERVAL '{seconds} seconds'
"""


def compared_with_asof(home_folder: Path) -> str:
    """Medians of seconds, the ratio, and how many clicks each matched: the two must agree.

    Raises:
        RuntimeError: they match another number of clicks.
    """
    spark = spark_session(log_file=home_folder / "logs" / "spark.log")
    tables = Tables(spark, Home(str(home_folder)))
    page_views = tables.read(PAGE_VIEWS).where("source <> 'service_logs'")
    clicks = tables.read(CLICKS).where("request_id IS NULL")
    query = _ASOF.format(pages=_files(page_views), clicks=_files(clicks), seconds=int(WINDOW_SECONDS))
    matches = windowed_matches(page_views, clicks, WINDOW_SECONDS).where("page_view_id IS NOT NULL")
    with duckdb.connect() as connection:
        by_duckdb, duckdb_seconds = _timed(lambda: connection.execute(query).fetchone()[0])
    by_spark, spark_seconds = _timed(matches.count)
    if by_spark != by_duckdb:
        raise RuntimeError(f"the windowed join matches {by_spark:,} clicks, DuckDB's ASOF join {by_duckdb:,}")
    ratio = spark_seconds / duckdb_seconds
    return (
        f"Windowed join: {by_spark:,} clicks matched in {spark_seconds:.1f} s, by DuckDB's ASOF join in "
        f"{duckdb_seconds:.1f} s: {ratio:.1f} times as long (goal: at most 3; medians of {REPEATS})."
    )


def _timed(run: Callable[[], int]) -> tuple[int, float]:
    seconds = []
    for _ in range(REPEATS):
        started = time.monotonic()
        found = run()
        seconds.append(time.monotonic() - started)
    return found, statistics.median(seconds)


def _files(frame) -> str:
    paths = [unquote(urlparse(file).path).replace("'", "''") for file in frame.inputFiles()]
    return "[" + ", ".join(f"'{path}'" for path in paths) + "]"
