"""Log files to bronze: every line once, typed or refused."""

from collections.abc import Sequence

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pagerec_dbx.pipelines.attribute_lines import attribute_lines
from pagerec_dbx.pipelines.event_lines import click_log_lines, page_event_lines
from pagerec_dbx.pipelines.files import LogFile, read_lines
from pagerec_dbx.pipelines.lines import Reading
from pagerec_dbx.pipelines.page_view_lines import payload_lines, service_log_lines
from pagerec_dbx.schemas import BRONZE_ATTRIBUTES, BRONZE_EVENTS, BRONZE_PAGE_VIEWS, Table

_BRONZE = {
    "service_logs": (BRONZE_PAGE_VIEWS, service_log_lines),
    "hashed_payloads": (BRONZE_PAGE_VIEWS, payload_lines),
    "click_logs": (BRONZE_EVENTS, click_log_lines),
    "page_events": (BRONZE_EVENTS, page_event_lines),
    "titles": (BRONZE_ATTRIBUTES, lambda lines, reading: attribute_lines(lines, "titles", reading)),
    "rows": (BRONZE_ATTRIBUTES, lambda lines, reading: attribute_lines(lines, "rows", reading)),
}
BRONZE_TABLES = (BRONZE_PAGE_VIEWS, BRONZE_EVENTS, BRONZE_ATTRIBUTES)


def lines_of(source: str):
    """The function of (lines, reading) that makes bronze records of a source's lines."""
    return _BRONZE[source][1]


def bronze_frames(spark: SparkSession, files: Sequence[LogFile], reading: Reading) -> dict[Table, DataFrame]:
    """What each bronze table gets from these files.

    One record per line that is not blank.
    """
    frames: dict[Table, DataFrame] = {}
    for source, (table, read) in _BRONZE.items():
        of_source = [file for file in files if file.source == source]
        if of_source:
            lines = read(read_lines(spark, of_source), reading)
            frames[table] = frames[table].unionByName(lines) if table in frames else lines
    return frames


def refused(bronze: DataFrame, batch: int) -> DataFrame:
    """The refused lines of a batch: source, reason, raw, file, user_hash, batch.

    One record per refused line.
    """
    return bronze.where((F.col("batch") == batch) & F.col("reason").isNotNull()).select(
        "source", "reason", "raw", "file", "user_hash", "batch"
    )


def unreadable(spark: SparkSession, files: Sequence[LogFile], batch: int) -> DataFrame:
    """Files that could not be decompressed, as refused lines of no text.

    One record per file.
    """
    records = [(file.source, "unreadable_file", None, file.path, None, batch) for file in files]
    return spark.createDataFrame(
        records, "source string, reason string, raw string, file string, user_hash string, batch bigint"
    )


def counted(bronze: DataFrame, batch: int) -> DataFrame:
    """One record per file of a batch: file, good, quarantined."""
    good = F.col("reason").isNull()
    return (
        bronze.where(F.col("batch") == batch)
        .groupBy("file")
        .agg(F.count_if(good).alias("good"), F.count_if(~good).alias("quarantined"))
    )
