"""What is done alike to the lines of every source on their way to bronze."""

import dataclasses
from collections.abc import Iterable

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.hashing import HashingKey
from pagerec_dbx.pipelines import parsing, projection
from pagerec_dbx.pipelines.mapping import Form, Mapping
from pagerec_dbx.pipelines.parsing import Plausible
from pagerec_dbx.pipelines.quarantine import identified

# What tells two records of bronze apart; `pagerec rekey` makes the ids anew from the same columns.
PAGE_VIEW_IDENTITY = ("source", "user_hash", "request_id", "served_at", "menu")
CLICK_IDENTITY = ("source", "user_hash", "request_id", "happened_at", "row_id", "row_position")


@dataclasses.dataclass(frozen=True)
class Reading:
    """What is the same for every line of a batch."""

    batch: int
    key: HashingKey
    plausible: Plausible
    max_line_bytes: int
    mapping: Mapping = Mapping()
    forgotten: frozenset[str] = frozenset()  # user hashes that no text may hold


def with_fields(lines: DataFrame, source: str, reading: Reading) -> DataFrame:
    """Lines (file, value) as file, line, `fields` and `fault`, which says why a line is no object of the source's form.

    Whatever the form, `fields` is a struct of the default one.
    """
    line, form = F.col("line"), reading.mapping.of(source)
    fields = projection.line_type(form)
    text = F.when(F.col("text_fault").isNull(), line)
    return (
        lines.select("file", F.col("value").alias("line"))
        .withColumn("text_fault", parsing.text_fault(line, reading.max_line_bytes))
        .withColumn("shape", parsing.parsed(text, fields))
        .withColumn("fault", F.coalesce("text_fault", parsing.json_fault(line, F.col("shape"), fields)))
        .withColumn("fields", projection.canonical(F.col("shape.line")[0], form))
    )


def identifier(field: Column, name: str, form: Form) -> Column:
    """A field of the line as an id."""
    path = form.place(name).path
    return parsing.identifier(field, F.col("line"), path[-1]) if path else field


def missing(needed: dict[str, Column]) -> Column:
    """The reason `missing_<name>` for the first of these that is null."""
    return F.coalesce(*(F.when(column.isNull(), f"missing_{name}") for name, column in needed.items()))


def nested(texts: dict[str, Column], form: Form) -> Column:
    """The reason `wrong_type` where one of these fields is an object or a list."""
    paths = {name: form.place(name).path for name in texts}
    return F.coalesce(
        F.lit(None).cast("string"),
        *(
            F.when(parsing.looks_nested(text) & projection.holds_nested(F.col("line"), paths[name]), "wrong_type")
            for name, text in texts.items()
            if paths[name]
        ),
    )


@dataclasses.dataclass(frozen=True)
class User:
    """Where a good line names its user; the id counts where both are given."""

    id: Column = dataclasses.field(default_factory=lambda: F.lit(None).cast("string"))
    hash: Column = dataclasses.field(default_factory=lambda: F.lit(None).cast("string"))


def finished(
    typed: DataFrame, source: str, faults: Iterable[Column], user: User, good: dict[str, Column], reading: Reading
) -> DataFrame:
    """Bronze columns: the good ones null where there is a fault, and the masked text null where there is none.

    Args:
        faults: reasons, null where all is well; the first that applies counts.
        good: the columns of a good line, user_hash apart.
    """
    is_good = F.col("reason").isNull()
    judged = typed.withColumn("reason", F.coalesce("fault", *faults))
    told = identified(
        F.when(~is_good, F.col("line")),
        F.when(is_good, user.id),
        reading.key,
        reading.mapping.id_keys(source),
        reading.forgotten,
    )
    return judged.withColumn("told", told).select(
        F.lit(source).alias("source"),
        "file",
        F.lit(reading.batch).cast("bigint").alias("batch"),
        (~is_good).alias("refused"),
        "reason",
        F.col("told.raw").alias("raw"),
        F.coalesce("told.user_hash", F.when(is_good, user.hash)).alias("user_hash"),
        *(F.when(is_good, column).alias(name) for name, column in good.items()),
    )


def id_of(*parts: str | Column) -> Column:
    """A 63-bit hash of columns that together identify a record; a null differs from every value."""
    marked = []
    for part in parts:
        column = F.col(part) if isinstance(part, str) else part
        marked += [column.isNull(), column]  # the hash passes over nulls, so that (null, a) would equal (a, null)
    return F.xxhash64(*marked).bitwiseAND(F.lit((1 << 63) - 1))
