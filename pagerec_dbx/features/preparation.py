"""One run of `prepare`: its cuts, its vocabulary version, its three snapshots; kept in the table `preparations`."""

import dataclasses
import datetime as dt
from collections.abc import Mapping
from pathlib import Path

from pyspark.sql import Row
from pyspark.sql import functions as F

from pagerec_dbx.errors import MissingTableError
from pagerec_dbx.home import Home
from pagerec_dbx.pipelines.order import Cuts, OrderKey
from pagerec_dbx.schemas import PREPARATIONS
from pagerec_dbx.tables import Tables, spark_schema


@dataclasses.dataclass(frozen=True)
class Preparation:
    """What `train` and `evaluate` need to know of one `prepare`; sizes of vocabularies include ids 0 and 1."""

    preparation_id: str
    prepared_at: dt.datetime
    labelled_table: str  # Delta's id of the table, which a table made anew does not share
    labelled_version: int
    examples_table: str
    examples_version: int
    vocabulary_version: int
    title_count: int
    row_count: int
    device_count: int
    location_count: int
    history_length: int
    menu_length: int  # of training and validation
    cuts: Cuts
    train_snapshot: str  # names of folders in the home's `snapshots`
    validation_snapshot: str
    holdout_snapshot: str  # also the id of the holdout in evaluations
    counts: Mapping[str, int]  # page views and clicked, recorded and left-out ones, by part
    shown_length: int = 0

    @property
    def holdout(self) -> str:
        """The holdout's id: evaluations on the same one can be compared."""
        return self.holdout_snapshot

    def folder_name(self, split: str) -> str:
        """The snapshot of `train`, `validation` or `holdout`, by the name of its folder."""
        names = {
            "train": self.train_snapshot,
            "validation": self.validation_snapshot,
            "holdout": self.holdout_snapshot,
        }
        return names[split]

    def folder(self, home: Home, split: str) -> Path:
        """The folder of a part's snapshot; `features.snapshot.open_snapshot` opens it."""
        return home.snapshots / self.folder_name(split)


def store_preparation(tables: Tables, preparation: Preparation) -> None:
    """Add the record of this run; the newest is the one that counts, also where it repeats an earlier one."""
    values = {field.name: getattr(preparation, field.name) for field in dataclasses.fields(preparation)}
    cuts = values.pop("cuts")
    values |= {"validation_start": _place(cuts.validation), "holdout_start": _place(cuts.holdout)}
    record = tuple(values[name] for name in PREPARATIONS.column_names)
    tables.append(PREPARATIONS, tables.spark.createDataFrame([record], spark_schema(PREPARATIONS)))


def _place(key: OrderKey) -> tuple:
    return key.served_at, key.request_id, key.page_view_id


def latest_preparation(tables: Tables) -> Preparation:
    """The last `prepare` of this home.

    Raises:
        MissingTableError: there was none.
    """
    found = preparations(tables, "true")
    if not found:
        raise MissingTableError(f"home {tables.home.name} has no preparation", fix="Run `pagerec prepare`")
    return found[0]


def preparations(tables: Tables, condition: str) -> list[Preparation]:
    """The preparations that meet an SQL condition, the newest first."""
    records = (
        tables.read(PREPARATIONS)
        .where(condition)
        .withColumn("prepared_micros", F.unix_micros("prepared_at"))
        .withColumn("validation_micros", F.unix_micros("validation_start.served_at"))
        .withColumn("holdout_micros", F.unix_micros("holdout_start.served_at"))
        .collect()  # one record a run of `prepare`: Spark takes two more jobs to sort them
    )
    newest_first = sorted(records, key=lambda record: (-record["prepared_micros"], record["preparation_id"]))
    return [_preparation(record) for record in newest_first]


def _preparation(record: Row) -> Preparation:
    # Times are read as microseconds: Spark would hand out datetimes in the time zone of this process.
    def key(part: str) -> OrderKey:
        place = record[f"{part}_start"]
        return OrderKey(record[f"{part}_micros"], place["request_id"], place["page_view_id"])

    names = {field.name for field in dataclasses.fields(Preparation)} & set(PREPARATIONS.column_names)
    values = {name: record[name] for name in names} | {"cuts": Cuts(key("validation"), key("holdout"))}
    values["prepared_at"] = OrderKey(record["prepared_micros"], None, 0).served_at
    return Preparation(**values)
