"""What the tables and snapshots of a home hold of some viewers: their ids, their days, and how many records."""

import dataclasses
import datetime as dt
from collections.abc import Iterable, Sequence

import pandas as pd
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from pagerec_dbx.pipelines.quarantine import HASH
from pagerec_dbx.schemas import BRONZE_EVENTS, BRONZE_PAGE_VIEWS, CLICKS, PAGE_VIEWS, Table
from pagerec_dbx.stages.viewer_tables import ID_NAMES, hash_tables, id_paths, text_columns
from pagerec_dbx.tables import Tables, union_all

_DAYS = {"view_day": (PAGE_VIEWS, BRONZE_PAGE_VIEWS), "click_day": (CLICKS, BRONZE_EVENTS)}
_MOST_BROADCAST = 2_000_000  # texts of about 100 bytes


@dataclasses.dataclass(frozen=True)
class Traces:
    """What stands for some viewers; a few thousand ids a viewer, so they are held here and not in a frame.

    A frame would be worked out again from tables from which the viewers are gone by then.
    """

    hashes: tuple[str, ...]
    known: int  # of them are named by a record
    ids: dict[str, tuple[int, ...]]  # page_view_id and click_id
    view_days: frozenset[dt.date]  # of their page views
    click_days: frozenset[dt.date]  # of their clicks, and of all clicks on pages with their request ids

    def marks(self) -> list[str]:
        """Every hash and id as the text that `counted` looks for."""
        return [*self.hashes, *(_mark(name, one) for name, ids in self.ids.items() for one in ids)]


def find_traces(tables: Tables, hashes: Sequence[str]) -> Traces:
    """The ids and days of all records that name one of these viewers."""
    listed = frame_of(tables.spark, "user_hash", hashes)
    existing = {table: theirs(tables, table, listed) for table in hash_tables() if tables.exists(table)}
    parts = [_told(existing[table], kind, F.col(kind)) for table in existing for kind in ("user_hash", *ID_NAMES)
             if kind in table.column_names]  # fmt: skip
    for kind, of in _DAYS.items():
        parts += [_told(existing[table], kind, F.col("day")) for table in of if table in existing]
    if BRONZE_PAGE_VIEWS in existing and tables.exists(CLICKS):
        requests = existing[BRONZE_PAGE_VIEWS].select("request_id").where("request_id IS NOT NULL").distinct()
        asked = tables.read(CLICKS).join(requests, "request_id", how="left_semi")
        parts.append(_told(asked, "click_day", F.col("day")))
    told: dict[str, set[str]] = {kind: set() for kind in ("user_hash", *ID_NAMES, *_DAYS)}
    for row in union_all(parts).distinct().collect() if parts else ():
        told[row["kind"]].add(row["text"])
    return Traces(
        hashes=tuple(hashes),
        known=len(told["user_hash"]),
        ids={name: tuple(sorted(map(int, told[name]))) for name in ID_NAMES},
        view_days=frozenset(map(dt.date.fromisoformat, told["view_day"])),
        click_days=frozenset(map(dt.date.fromisoformat, told["click_day"])),
    )


def theirs(tables: Tables, table: Table, listed: DataFrame) -> DataFrame:
    """The records of a table whose user_hash is listed."""
    return tables.read(table).join(F.broadcast(listed), "user_hash", how="left_semi")


def _told(frame: DataFrame, kind: str, column: Column) -> DataFrame:
    known = frame.where(column.isNotNull())
    return known.select(F.lit(kind).alias("kind"), column.cast("string").alias("text"))


def frame_of(spark: SparkSession, name: str, values: Iterable, kind: str = "string") -> DataFrame:
    """Values of the driver as a frame of one column."""
    return spark.createDataFrame(pd.DataFrame({name: list(values)}, dtype=object), f"{name} {kind}")


# --- counting ---------------------------------------------------------------------------------------------------------


def counted(tables: Tables, of: Iterable[Table], marks: Sequence[str]) -> dict[str, int]:
    """How many records of each table hold one of these marks, in any column that is a text or an id.

    One job over all tables. Tables that do not exist are left out.
    """
    listed = frame_of(tables.spark, "mark", marks)
    listed = F.broadcast(listed) if len(marks) <= _MOST_BROADCAST else listed
    counts = [_count(tables, table, listed) for table in of if tables.exists(table)]
    return {row["name"]: row["records"] for row in union_all(counts).collect()} if counts else {}


def _count(tables: Tables, table: Table, listed: DataFrame) -> DataFrame:
    # The number is given before the marks are taken apart: a record with several of them counts once.
    marked = tables.read(table).select(F.monotonically_increasing_id().alias("number"), marks_of(table).alias("marks"))
    found = marked.select("number", F.explode("marks").alias("mark")).join(listed, "mark", how="left_semi")
    return found.agg(F.countDistinct("number").alias("records")).select(F.lit(table.name).alias("name"), "records")


def marks_of(table: Table) -> Column:
    """All that could stand for a viewer in a record: its texts, the hashes within a refused line, its ids."""
    marks = F.array(
        *(F.col(name) for name in text_columns(table)),
        *(_mark(name, F.col(path)) for path, name in id_paths(table).items()),
    )
    return F.concat(marks, hashes_in_raw()) if "raw" in table.column_names else marks


def hashes_in_raw() -> Column:
    """The hashes that stand in the text of a refused line; an empty array where there is none."""
    return F.coalesce(F.regexp_extract_all("raw", F.lit(HASH), F.lit(0)), F.array().cast("array<string>"))


def _mark(name: str, value):
    return F.concat(F.lit(f"{name} "), value.cast("string")) if isinstance(value, Column) else f"{name} {value}"


def texts_naming(tables: Tables, table: Table, listed: DataFrame) -> DataFrame:
    """The different texts of refused lines in which a listed hash stands: raw."""
    told = tables.read(table).where("raw IS NOT NULL").select("raw", F.explode(hashes_in_raw()).alias("user_hash"))
    return told.join(F.broadcast(listed), "user_hash", how="left_semi").select("raw").distinct()
