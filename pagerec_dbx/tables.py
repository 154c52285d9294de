"""The only door to Delta: tables of a home, read and written under the schemas of `schemas`."""

import dataclasses
import datetime as dt
import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from delta.exceptions import (
    ConcurrentAppendException,
    ConcurrentTransactionException,
    ConcurrentWriteException,
    MetadataChangedException,
    ProtocolChangedException,
)
from delta.tables import DeltaTable
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming import StreamingQuery
from pyspark.sql.types import ArrayType, DataType, MapType, StructField, StructType, _parse_datatype_string

from pagerec_dbx.errors import ConcurrentWriteError, GrainError, MissingTableError, SchemaError
from pagerec_dbx.home import Home
from pagerec_dbx.schemas import Table

# What Delta raises where another commit came between; the classes have no base of their own.
_WRITTEN_MEANWHILE = (
    ConcurrentAppendException,
    ConcurrentTransactionException,
    ConcurrentWriteException,
    MetadataChangedException,
    ProtocolChangedException,
)

_PROPERTIES = {
    # Snapshots read a table's files as of a version; both features would hide deletions or names from other readers.
    "delta.enableDeletionVectors": "false",
    "delta.columnMapping.mode": "none",
}
_CONSTRAINT = "delta.constraints.sound"
_SMALL_FILE_BYTES = 16 * 2**20
_DELTAS_RETENTION_HOURS = 168
_SHORT_RETENTION = "spark.databricks.delta.retentionDurationCheck.enabled"


@dataclasses.dataclass(frozen=True)
class Tables:
    """The tables of one home."""

    spark: SparkSession
    home: Home

    def exists(self, table: Table) -> bool:
        if self.home.in_catalog:
            return self.spark.catalog.tableExists(self._address(table))
        return DeltaTable.isDeltaTable(self.spark, self._address(table))

    def read(self, table: Table, version: int | None = None) -> DataFrame:
        """The whole table, at a version if one is given.

        Raises:
            MissingTableError: no earlier stage has made it.
            SchemaError: another version of the package made it.
        """
        self.require(table)
        reader = self.spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", version)
        frame = reader.table(self._address(table)) if self.home.in_catalog else reader.load(self._address(table))
        _require_own_schema(frame.schema, table)
        return frame

    def read_or_empty(self, table: Table, version: int | None = None) -> DataFrame:
        """As `read`; a table that no stage has made yet has no records.

        Raises:
            SchemaError: another version of the package made it.
        """
        if self.exists(table):
            return self.read(table, version)
        return self.spark.createDataFrame([], spark_schema(table))

    def require(self, table: Table) -> None:
        """Raise MissingTableError unless the table exists."""
        if not self.exists(table):
            raise MissingTableError(
                f"table `{table.name}` does not exist in home {self.home.name}",
                fix="Run the stages before this one: ingest, join, prepare, train, evaluate, compare",
            )

    def version(self, table: Table) -> int:
        """The newest version of a table."""
        self.require(table)
        return int(self._delta(table).history(1).select("version").first()[0])

    def identity(self, table: Table) -> str:
        """Delta's own id of a table; one that is deleted and made anew gets another."""
        self.require(table)
        return str(self._delta(table).detail().select("id").first()[0])

    def append(self, table: Table, frame: DataFrame) -> None:
        """Add records."""
        self._save(self._writer(table, frame).mode("append"), table)

    def append_stream(self, table: Table, frame: DataFrame, checkpoint: Path) -> StreamingQuery:
        """Start to add what a stream has; the query ends by itself. Each of its batches is written once.

        Delta keeps the number of the last batch under the query's id, which lies in the checkpoint.
        """
        self.create(table)
        writer = conform(frame, table).writeStream.format("delta").outputMode("append").trigger(availableNow=True)
        writer = writer.option("checkpointLocation", str(checkpoint)).queryName(checkpoint.name)
        address = self._address(table)
        return writer.toTable(address) if self.home.in_catalog else writer.start(address)

    def delete(self, table: Table, condition: Column | str) -> None:
        """Remove the records that meet a condition."""
        self._delta(table).delete(condition)

    def delete_matching(self, table: Table, keys: DataFrame, on: str) -> None:
        """Remove the records whose column `on` is among those of a frame with that one column."""
        self._delta(table).alias("old").merge(keys.alias("gone"), f"old.{on} = gone.{on}").whenMatchedDelete().execute()

    def update(self, table: Table, condition: Column, values: dict[str, Column]) -> None:
        """Change columns of the records that meet a condition."""
        self._delta(table).update(condition, values)

    def update_matching(
        self, table: Table, frame: DataFrame, condition: str, values: Mapping[str, str | Column]
    ) -> None:
        """Change columns of the records (`old`) that one record of a frame (`new`) matches."""
        merge = self._delta(table).alias("old").merge(frame.alias("new"), condition)
        merge.whenMatchedUpdate(set=dict(values)).execute()

    def vacuum(self, table: Table, hours: float) -> None:
        """Delete the files that only versions replaced more than `hours` ago need, and what killed runs left.

        Delta refuses less than a week unless it is told to: no command is at work here, the home's lock says so, but
        somebody who reads an old version in a notebook may lose its files.
        """
        if hours >= _DELTAS_RETENTION_HOURS:
            self._delta(table).vacuum(hours)
            return
        before = self.spark.conf.get(_SHORT_RETENTION, "true")
        self.spark.conf.set(_SHORT_RETENTION, "false")
        try:
            self._delta(table).vacuum(hours)
        finally:
            self.spark.conf.set(_SHORT_RETENTION, before)

    def replace(self, table: Table, frame: DataFrame) -> None:
        """Put these records in place of all that were there, in one commit."""
        self._save(self._writer(table, frame).mode("overwrite"), table)

    def replace_where(self, table: Table, frame: DataFrame, condition: str) -> None:
        """Put these records in place of those that meet an SQL condition, in one commit."""
        self.create(table)
        self._save(self._writer(table, frame).mode("overwrite").option("replaceWhere", condition), table)

    def replace_days(self, table: Table, frame: DataFrame, days: Collection[dt.date]) -> None:
        """Put these records in place of those of some days, in one commit; they must all be of those days."""
        if days:
            self.replace_where(table, frame, on_days(days))

    def insert_new(self, table: Table, frame: DataFrame) -> None:
        """Add the records whose key the table does not hold; one that it holds stays as it is.

        Raises:
            ConcurrentWriteError: somebody else wrote to the table meanwhile; nothing was added.
        """
        same_key = " AND ".join(f"old.{name} <=> new.{name}" for name in table.key)
        new = require_unique(conform(frame, table), table.key, table.name)
        try:
            self.create(table)
            merge = self._delta(table).alias("old").merge(new.alias("new"), same_key)
            merge.whenNotMatchedInsertAll().execute()
        except _WRITTEN_MEANWHILE as error:
            raise ConcurrentWriteError(
                f"somebody else wrote to `{table.name}` at the same time", fix="Try again: nothing was added"
            ) from error

    def create(self, table: Table) -> None:
        """Make an empty table, with its constraints, unless it exists; all that writes comes by here first.

        Raises:
            SchemaError: it exists, and another version of the package made it.
        """
        if self.exists(table):
            _require_own_schema(self._delta(table).toDF().schema, table)
            if self.home.in_catalog:
                self._constrain(table)  # a process may have died between the two statements
            return
        builder = DeltaTable.createIfNotExists(self.spark)
        address = self._address(table)
        builder = builder.tableName(address) if self.home.in_catalog else builder.location(address)
        builder = builder.addColumns(spark_schema(table)).comment(f"One record per {table.grain}.")
        for name, value in _PROPERTIES.items():
            builder = builder.property(name, value)
        if table.partition_by:
            builder = builder.partitionedBy(*table.partition_by)
        if table.checks and not self.home.in_catalog:
            # As Delta keeps a constraint; to add it afterwards takes a commit and a look at the table.
            builder = builder.property(_CONSTRAINT, _sound(table))
        builder.execute()
        if self.home.in_catalog:  # which may reserve such properties for itself
            self._constrain(table)

    def _constrain(self, table: Table) -> None:
        """Give a table its constraint unless it has it."""
        if table.checks and _CONSTRAINT not in self._delta(table).detail().select("properties").first()[0]:
            self.spark.sql(f"ALTER TABLE {self._address(table)} ADD CONSTRAINT sound CHECK ({_sound(table)})")

    def compact(self, table: Table, by: str | None = None, most_files: int = 64) -> bool:
        """Put small files together where there are many; the records stay the same.

        Args:
            by: a column by which the records of one file stay near each other, for Delta's statistics.

        Returns:
            Whether there were too many: more than `most_files`, of less than 16 MiB on average.
        """
        detail = self._delta(table).detail().select("numFiles", "sizeInBytes").first()
        many = detail["numFiles"] > most_files and detail["sizeInBytes"] < detail["numFiles"] * _SMALL_FILE_BYTES
        if many:
            optimize = self._delta(table).optimize()
            optimize.executeZOrderBy(by) if by else optimize.executeCompaction()
        return many

    def _writer(self, table: Table, frame: DataFrame):
        self.create(table)
        return conform(frame, table).write.format("delta")

    def _save(self, writer, table: Table) -> None:
        if self.home.in_catalog:
            writer.saveAsTable(self._address(table))
        else:
            writer.save(self._address(table))

    def _delta(self, table: Table) -> DeltaTable:
        by = DeltaTable.forName if self.home.in_catalog else DeltaTable.forPath
        return by(self.spark, self._address(table))

    def _address(self, table: Table) -> str:
        return self.home.table_address(table.name)


def _sound(table: Table) -> str:
    return " AND ".join(f"({condition})" for condition in table.checks)


@functools.cache
def spark_schema(table: Table) -> StructType:
    """The table's columns as Spark types, NOT NULL where the table requires it."""
    columns = [(column, _parse_datatype_string(column.type)) for column in table.columns]
    return StructType([StructField(column.name, kind, nullable=not column.required) for column, kind in columns])


def conform(frame: DataFrame, table: Table) -> DataFrame:
    """Select the table's columns in order; types must be equal, nothing is cast.

    Raises:
        SchemaError: a column is missing or has another type.
    """
    got = {field.name: field.dataType for field in frame.schema.fields}
    faults = [
        f"{field.name} {_plain(field.dataType).simpleString()} (got {_name(got.get(field.name))})"
        for field in spark_schema(table).fields
        if field.name not in got or _plain(got[field.name]) != _plain(field.dataType)
    ]
    if faults:
        raise SchemaError(f"records do not fit table `{table.name}`", wanted="; ".join(faults))
    return frame.select(*table.column_names)


def _require_own_schema(got: StructType, table: Table) -> None:
    """Raise SchemaError unless a table has the columns and types that this version of the package gives it."""
    wanted = {field.name: _plain(field.dataType) for field in spark_schema(table).fields}
    found = {field.name: _plain(field.dataType) for field in got.fields}
    faults = [name for name in wanted | found if wanted.get(name) != found.get(name)]
    if faults:
        raise SchemaError(
            f"table `{table.name}` was made by another version of pagerec",
            wanted="; ".join(f"{name} {_name(wanted.get(name))}" for name in faults),
            got="; ".join(f"{name} {_name(found.get(name))}" for name in faults),
            fix="Use the version that made it, or start a new home and ingest the logs again",
        )


def _name(kind: DataType | None) -> str:
    return "no such column" if kind is None else kind.simpleString()


def _plain(kind: DataType) -> DataType:
    """The type without its nullability, which Spark changes at will."""
    if isinstance(kind, ArrayType):
        return ArrayType(_plain(kind.elementType))
    if isinstance(kind, MapType):
        return MapType(_plain(kind.keyType), _plain(kind.valueType))
    if isinstance(kind, StructType):
        return StructType([StructField(field.name, _plain(field.dataType)) for field in kind.fields])
    return kind


def require_unique(frame: DataFrame, key: Sequence[str], name: str) -> DataFrame:
    """The same records, or an error that shows keys with several.

    Raises:
        GrainError: several records share one key.
    """
    counted = frame.groupBy(*key).agg(F.count(F.lit(1)).alias("_records"))
    repeated = counted.where(F.col("_records") > 1).select(*key).take(3)
    if repeated:
        keys = ", ".join(str(tuple(record)) for record in repeated)
        raise GrainError(f"`{name}` has several records for one ({', '.join(key)})", got=keys, fix="Reduce them first")
    return frame


def on_days(days: Collection[dt.date], column: str = "day") -> str:
    """The SQL condition that a date is one of these days; none of no days."""
    listed = ", ".join(f"DATE'{day.isoformat()}'" for day in sorted(days))
    return f"{column} IN ({listed})" if days else "false"


def union_all(frames: Iterable[DataFrame]) -> DataFrame:
    """Frames of equal columns as one."""
    first, *others = frames
    for other in others:
        first = first.unionByName(other)
    return first
