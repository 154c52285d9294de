"""Log files to bronze: every line once, typed or refused."""

from collections.abc import Sequence

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pagerec_dbx.pipelines.attribute_lines import attribute_lines
from pagerec_dbx.pipelines.event_lines import click_log_lines, page_event_lines
from pagerec_dbx.pipelines.files import LogFile
from pagerec_dbx.pipelines.lines import Reading
from pagerec_dbx.pipelines.page_view_lines import payload_lines, service_log_lines
from pagerec_dbx.schemas import BRONZE_ATTRIBUTES, BRONZE_EVENTS, BRONZE_PAGE_VIEWS, Table

_READERS = {
    "service_logs": service_log_lines,
    "hashed_payloads": payload_lines,
    "click_logs": click_log_lines,
    "page_events": page_event_lines,
    "titles": lambda lines, reading: attribute_lines(lines, "titles", reading),
    "rows": lambda lines, reading: attribute_lines(lines, "rows", reading),
}
_TABLES = {
    "service_logs": BRONZE_PAGE_VIEWS,
    "hashed_payloads": BRONZE_PAGE_VIEWS,
    "click_logs": BRONZE_EVENTS,
    "page_events": BRONZE_EVENTS,
    "titles": BRONZE_ATTRIBUTES,
    "rows": BRONZE_ATTRIBUTES,
}
BRONZE_TABLES = (BRONZE_PAGE_VIEWS, BRONZE_EVENTS, BRONZE_ATTRIBUTES)


def table_of(source: str) -> Table:
    """The bronze table that holds the lines of a source."""
    return _TABLES[source]


def typed_lines(lines: DataFrame, source: str, reading: Reading) -> DataFrame:
    """Lines (file, value) of one source in the columns of its bronze table.

    One record per line.
    """
    return _READERS[source](lines, reading)


def refused(bronze: DataFrame, batch: int) -> DataFrame:
    """The refused lines of a batch: source, reason, raw, file, user_hash, batch.

    One record per refused line.
    """
    return bronze.where((F.col("batch") == batch) & F.col("refused")).select(
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
    return (
        bronze.where(F.col("batch") == batch)
        .groupBy("file")
        .agg(F.count_if(~F.col("refused")).alias("good"), F.count_if("refused").alias("quarantined"))
    )
