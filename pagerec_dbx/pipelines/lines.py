"""What is done alike to the lines of every source on their way to bronze."""

import dataclasses
from collections.abc import Iterable, Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.hashing import HashingKey
from pagerec_dbx.pipelines import parsing
from pagerec_dbx.pipelines.parsing import Plausible
from pagerec_dbx.pipelines.quarantine import masked


@dataclasses.dataclass(frozen=True)
class Reading:
    """What is the same for every line of a batch."""

    batch: int
    key: HashingKey
    plausible: Plausible
    max_line_bytes: int


def with_fields(lines: DataFrame, fields: str, reading: Reading) -> DataFrame:
    """Lines (file, value) as file, line, `fields` (a struct) and `fault`, which says why they are no such object."""
    line = F.col("line")
    text = F.when(F.col("text_fault").isNull(), line)
    return (
        lines.select("file", F.col("value").alias("line"))
        .withColumn("text_fault", parsing.text_fault(line, reading.max_line_bytes))
        .withColumn("shape", parsing.parsed(text, fields))
        .withColumn("fault", F.coalesce("text_fault", parsing.json_fault(line, F.col("shape"), fields)))
        .withColumn("fields", F.col("shape.line")[0])
    )


def identifier(field: Column, name: str) -> Column:
    """A field of the line as an id."""
    return parsing.identifier(field, F.col("line"), name)


def missing(needed: Mapping[str, Column]) -> Column:
    """The reason `missing_<name>` for the first of these that is null."""
    return F.coalesce(*(F.when(column.isNull(), f"missing_{name}") for name, column in needed.items()))


def nested(texts: Mapping[str, Column]) -> Column:
    """The reason `wrong_type` where one of these fields is an object or a list."""
    return F.coalesce(
        *(F.when(parsing.nested(text, F.col("line"), name), "wrong_type") for name, text in texts.items())
    )


def finished(
    typed: DataFrame, source: str, faults: Iterable[Column], user: Column, good: Mapping[str, Column], reading: Reading
) -> DataFrame:
    """Bronze columns: the good ones null where there is a fault, and the masked text null where there is none.

    Args:
        faults: reasons, null where all is well; the first that applies counts.
        user: the user_hash of a good line.
        good: the other columns of a good line.
    """
    reason = F.col("reason")
    judged = typed.withColumn("reason", F.coalesce("fault", *faults)).withColumn(
        "masked", masked(F.when(reason.isNotNull(), F.col("line")), reading.key)
    )
    return judged.select(
        F.lit(source).alias("source"),
        "file",
        F.lit(reading.batch).cast("bigint").alias("batch"),
        reason.isNotNull().alias("refused"),
        "reason",
        F.col("masked.raw").alias("raw"),
        F.when(reason.isNull(), user).otherwise(F.col("masked.user_hash")).alias("user_hash"),
        *(F.when(reason.isNull(), column).alias(name) for name, column in good.items()),
    )


def id_of(*parts: str | Column) -> Column:
    """A 63-bit hash of columns that together identify a record; a null differs from every value."""
    marked = []
    for part in parts:
        column = F.col(part) if isinstance(part, str) else part
        marked += [column.isNull(), column]  # the hash passes over nulls, so that (null, a) would equal (a, null)
    return F.xxhash64(*marked).bitwiseAND(F.lit((1 << 63) - 1))
