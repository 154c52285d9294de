"""A home in which every table of the schemas has records of three viewers, made from the columns alone.

So a table that is added to the schemas is in this world too. Viewer number n has page view 1000 + n and click 2000 + n;
on the second day bob clicks on a row of a page that was ann's.
"""

import dataclasses
import datetime as dt
import json
import urllib.parse
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_schema

from pagerec_dbx.hashing import user_hash
from pagerec_dbx.ledger import Ledger
from pagerec_dbx.schemas import (
    BRONZE_ATTRIBUTES,
    BRONZE_EVENTS,
    BRONZE_PAGE_VIEWS,
    CLICK_MATCHES,
    CLICKS,
    FORGOTTEN,
    PAGE_VIEWS,
    PREPARATIONS,
    QUARANTINE,
    Table,
)
from pagerec_dbx.tables import Tables, spark_schema

SECRET = "5c" * 32
ANN, BOB, CAT = ("ann@x.example", "bob@x.example", "cat@x.example")
VIEWERS = (ANN, BOB, CAT)
FIRST, SECOND = dt.date(2024, 1, 1), dt.date(2024, 1, 2)
# One of each class: by hash, in good records and in refused lines; by an id in the key; by an id inside a struct.
FEW = (PAGE_VIEWS, CLICKS, QUARANTINE, BRONZE_PAGE_VIEWS, BRONZE_EVENTS, CLICK_MATCHES, PREPARATIONS)
NOW = dt.datetime(2024, 1, 9, tzinfo=dt.UTC)
TRAIN, HOLDOUT, OTHERS = "train-v1-0123456789abcdef", "holdout-v1-0123456789abcdef", "train-v0-0123456789abcdef"


def hash_of(viewer: str, secret: str = SECRET) -> str:
    return user_hash(secret.encode(), viewer)


@dataclasses.dataclass(frozen=True)
class Given:
    """What the columns of one record hold by name; all others are made from their type."""

    number: int  # of the viewer
    values: dict

    def record(self, table: Table) -> tuple:
        return tuple(self._of_field(field) for field in spark_schema(table).fields)

    def _of_field(self, field: T.StructField):
        """A column that must not be null has a value also where the values say null."""
        value = self._value(field.name, field.dataType)
        return self._simple(field.name, field.dataType) if value is None and not field.nullable else value

    def _value(self, name: str, kind: T.DataType):
        if name in self.values:
            return self.values[name]
        if isinstance(kind, T.StructType):
            return tuple(self._value(field.name, field.dataType) for field in kind.fields)
        if isinstance(kind, T.ArrayType):
            return [self._value("element", kind.elementType)]
        if isinstance(kind, T.MapType):
            return {self._value("key", kind.keyType): self._value("value", kind.valueType)}
        return self._simple(name, kind)

    def _simple(self, name: str, kind: T.DataType):
        if isinstance(kind, T.StringType):
            return f"{name} {self.number}"
        if isinstance(kind, T.TimestampType):
            return dt.datetime.combine(self._value("day", T.DateType()), dt.time(12, self.number), dt.UTC)
        if isinstance(kind, T.DateType):
            return FIRST
        if isinstance(kind, T.BooleanType):
            return False
        return 0.5 if isinstance(kind, T.DoubleType) else 1


def of_viewer(viewer: str, **other) -> Given:
    number = VIEWERS.index(viewer) + 1
    values = {
        "user_hash": hash_of(viewer), "page_view_id": 1_000 + number, "click_id": 2_000 + number,
        "request_id": f"request {number}", "source": "service_logs", "reason": None, "raw": None,
    }  # fmt: skip
    return Given(number, values | other)


def refused(viewer: str | None, raw: str, **other) -> Given:
    nothing = {"page_view_id": None, "click_id": None, "day": FIRST}
    given = of_viewer(viewer or CAT, refused=True, reason="not_json", raw=raw, **nothing, **other)
    return given if viewer else Given(given.number, given.values | {"user_hash": None})


def records_of(table: Table) -> list[tuple]:
    good = [of_viewer(viewer) for viewer in VIEWERS]
    if table in (QUARANTINE, BRONZE_EVENTS, BRONZE_PAGE_VIEWS, BRONZE_ATTRIBUTES):
        lines = [refused(viewer, f'{{"user_id": "{hash_of(viewer)}", ') for viewer in VIEWERS]
        if table in (QUARANTINE, BRONZE_EVENTS):
            lines.append(refused(BOB, f'{{"user_id": "{hash_of(BOB)}", "user_id": "{hash_of(ANN)}"', file="two ids"))
        lines.append(refused(None, "#### ****", file="nobody's"))
        good = lines if table is QUARANTINE else [*good, *lines]
    if table is CLICKS:
        good.append(of_viewer(BOB, click_id=2_009, request_id="request 1", day=SECOND))
    return [given.record(table) for given in good]


def make_world(tables: Tables, of: Sequence[Table]) -> None:
    """Fill some tables of the home, the ledger and the snapshots; nobody is forgotten in it yet."""
    tables.home.key_file.write_text(SECRET)
    for table in of:
        if table is not FORGOTTEN:
            write_table(Path(tables.home.table_address(table.name)), table, records_of(table))
    ledger = Ledger(tables.home)
    ledger.written(PAGE_VIEWS, {FIRST: "run 1"})
    ledger.written(CLICKS, dict.fromkeys((FIRST, SECOND), "repeats within 2 s"))
    write_snapshot(tables.home.snapshots / TRAIN, [ANN, BOB])
    write_snapshot(tables.home.snapshots / HOLDOUT, [ANN], user_hash=[hash_of(ANN)])
    write_snapshot(tables.home.snapshots / OTHERS, [BOB, CAT])


def write_table(folder: Path, table: Table, records: list[tuple]) -> None:
    """A Delta table of one version, written by hand: Spark takes a minute for all of them."""
    schema, names = spark_schema(table), table.column_names
    groups: dict[tuple, list[dict]] = {}
    for record in records:
        values = dict(zip(names, record, strict=True))
        groups.setdefault(tuple(_partition(values[name]) for name in table.partition_by), []).append(values)
    stored = to_arrow_schema(T.StructType([field for field in schema.fields if field.name not in table.partition_by]))
    metadata = {
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, table.name)), "format": {"provider": "parquet", "options": {}},
        "schemaString": schema.json(), "partitionColumns": list(table.partition_by), "configuration": {},
    }  # fmt: skip
    actions = [{"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}, {"metaData": metadata}]
    (folder / "_delta_log").mkdir(parents=True)
    for number, (partition, group) in enumerate(groups.items()):
        path = folder / f"part-{number}.parquet"
        pq.write_table(pa.Table.from_pylist(group, stored), path)
        actions.append({"add": {
            "path": path.name, "partitionValues": dict(zip(table.partition_by, partition, strict=True)),
            "size": path.stat().st_size, "modificationTime": 0, "dataChange": True,
        }})  # fmt: skip
    text = "".join(json.dumps(action) + "\n" for action in actions)
    (folder / "_delta_log" / f"{0:020d}.json").write_text(text)


def _partition(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def write_snapshot(folder: Path, viewers: list[str], **columns) -> None:
    """The columns by which viewers are found in a snapshot, and a manifest."""
    part = folder / "row_group=0" / "part-0.parquet"
    part.parent.mkdir(parents=True)
    ids = [1_000 + VIEWERS.index(viewer) + 1 for viewer in viewers]
    pq.write_table(pa.table({"page_view_id": pa.array(ids, pa.int64()), **columns}), part)
    (folder / "manifest.json").write_text("{}")


# --- looking for a viewer, by brute force -----------------------------------------------------------------------------


def traces_of(viewer: str, secret: str = SECRET) -> tuple[str, ...]:
    """The hash, the page view and the click of a viewer as they stand in the text of a record."""
    number = VIEWERS.index(viewer) + 1
    return hash_of(viewer, secret), str(1_000 + number), str(2_000 + number)


def content(tables: Tables) -> dict[str, list[str]]:
    """Every record of every table that lies in the home, as text; found in the folders, without Spark and schemas."""
    folders = sorted((tables.home.folder / "tables").iterdir())
    return {folder.name: sorted(_records(folder)) for folder in folders}


def _records(folder: Path) -> Iterator[str]:
    """The records of a Delta table's newest version, which has too few commits for a checkpoint."""
    files: dict[str, dict] = {}
    logs = sorted((folder / "_delta_log").glob("*.json"))
    assert logs and logs[0].stem == f"{0:020d}" and not list((folder / "_delta_log").glob("*.parquet"))
    for log in logs:
        for action in map(json.loads, log.read_text().splitlines()):
            if "remove" in action:
                files.pop(action["remove"]["path"], None)
            if "add" in action:
                files[action["add"]["path"]] = action["add"]["partitionValues"]
    for name, partition in files.items():
        for record in pq.ParquetFile(folder / urllib.parse.unquote(name)).read().to_pylist():
            yield json.dumps(record | partition, default=str, sort_keys=True)


def naming(found: dict[str, list[str]], *texts: str) -> dict[str, int]:
    """How many records of each table hold one of these texts."""
    counts = {name: sum(any(text in record for text in texts) for record in records) for name, records in found.items()}
    return {name: count for name, count in counts.items() if count}


def files_naming(folder: Path, text: str) -> list[Path]:
    """Parquet files in which a text stands in some column, old versions of the tables included."""
    return [path for path in sorted(folder.rglob("*.parquet")) if "_delta_log" not in path.parts and
            text in str(pq.ParquetFile(path).read().to_pylist())]  # fmt: skip
