"""What the tables of a home hold of some viewers: their ids, their days, and how many records.

Each question is one job over all tables: what they have in common is put together first, and looked up once.
"""

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

_VIEW_DAY, _CLICK_DAY, _REQUEST = "view day", "click day", "request"
# What is told of a viewer beside ids: table -> (kind, column).
_TOLD = {
    PAGE_VIEWS: ((_VIEW_DAY, "day"), (_REQUEST, "request_id")),
    BRONZE_PAGE_VIEWS: ((_VIEW_DAY, "day"), (_REQUEST, "request_id")),
    CLICKS: ((_CLICK_DAY, "day"),),
    BRONZE_EVENTS: ((_CLICK_DAY, "day"),),
}
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
    parts = [_told(tables, table) for table in hash_tables() if tables.exists(table)]
    told: dict[str, set[str]] = {kind: set() for kind in ("user_hash", *ID_NAMES, _VIEW_DAY, _CLICK_DAY, _REQUEST)}
    if parts and hashes:
        listed = F.broadcast(frame_of(tables.spark, "user_hash", hashes))
        theirs = union_all(parts).join(listed, "user_hash", how="left_semi")
        for row in theirs.select(F.explode("told").alias("told")).select("told.*").distinct().collect():
            told[row["kind"]].add(row["text"])
    return Traces(
        hashes=tuple(hashes),
        known=len(told["user_hash"]),
        ids={name: tuple(sorted(map(int, told[name]))) for name in ID_NAMES},
        view_days=frozenset(map(dt.date.fromisoformat, told[_VIEW_DAY])),
        click_days=frozenset(map(dt.date.fromisoformat, told[_CLICK_DAY])) | _asked_days(tables, told[_REQUEST]),
    )


def _told(tables: Tables, table: Table) -> DataFrame:
    """One record per record of a table: user_hash, told array<struct<kind, text>>."""
    own = [(name, name) for name in ("user_hash", *ID_NAMES) if name in table.column_names]
    pairs = [
        F.struct(F.lit(kind).alias("kind"), F.col(column).cast("string").alias("text"))
        for kind, column in (*own, *_TOLD.get(table, ()))
    ]
    told = F.filter(F.array(*pairs), lambda pair: pair["text"].isNotNull())
    return tables.read(table).select("user_hash", told.alias("told"))


def _asked_days(tables: Tables, requests: Iterable[str]) -> frozenset[dt.date]:
    """The days of clicks, whoever's, that name one of these requests."""
    listed = sorted(requests)
    if not listed or not tables.exists(CLICKS):
        return frozenset()
    named = F.broadcast(frame_of(tables.spark, "request_id", listed))
    asked = tables.read(CLICKS).join(named, "request_id", how="left_semi")
    return frozenset(row["day"] for row in asked.select("day").distinct().collect())


def frame_of(spark: SparkSession, name: str, values: Iterable, kind: str = "string") -> DataFrame:
    """Values of the driver as a frame of one column."""
    return spark.createDataFrame(pd.DataFrame({name: list(values)}, dtype=object), f"{name} {kind}")


# --- counting ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Found:
    """How many records of one table hold a mark."""

    records: int
    in_text_alone: int  # of them, within the text of a refused line and in no column


def counted(tables: Tables, of: Iterable[Table], marks: Sequence[str]) -> dict[str, Found]:
    """How many records of each table hold one of these marks, in any column that is a text or an id.

    Tables that do not exist are left out.
    """
    names = [table for table in of if tables.exists(table)]
    found = {table.name: Found(0, 0) for table in names}
    if not found or not marks:
        return found
    listed = frame_of(tables.spark, "mark", marks)
    listed = F.broadcast(listed) if len(marks) <= _MOST_BROADCAST else listed
    marked = union_all([_marked(tables, table) for table in names])
    exploded = marked.select("name", "number", F.explode("marks").alias("one")).select("name", "number", "one.*")
    records = exploded.join(listed, "mark", how="left_semi").groupBy("name", "number").agg(F.min("text").alias("text"))
    counts = records.groupBy("name").agg(F.count("*").alias("records"), F.count_if("text").alias("in_text_alone"))
    return found | {row["name"]: Found(row["records"], row["in_text_alone"]) for row in counts.collect()}


def _marked(tables: Tables, table: Table) -> DataFrame:
    """One record per record of a table: name, number, marks array<struct<mark, text>>.

    All that could stand for a viewer is a mark: texts, ids, and the hashes within a refused line (`text`).
    """
    columns = [F.col(name) for name in text_columns(table)]
    columns += [_mark(name, F.col(path)) for path, name in id_paths(table).items()]
    marks = F.transform(F.array(*columns), lambda mark: _struct(mark, False))
    if "raw" in table.column_names:
        marks = F.concat(marks, F.transform(hashes_in_raw(), lambda mark: _struct(mark, True)))
    number = F.monotonically_increasing_id().alias("number")  # a record with several marks counts once
    return tables.read(table).select(F.lit(table.name).alias("name"), number, marks.alias("marks"))


def _struct(mark: Column, in_text: bool) -> Column:
    return F.struct(mark.alias("mark"), F.lit(in_text).alias("text"))


def hashes_in_raw() -> Column:
    """The hashes that stand in the text of a refused line; an empty array where there is none."""
    return F.coalesce(F.regexp_extract_all("raw", F.lit(HASH), F.lit(0)), F.array().cast("array<string>"))


def _mark(name: str, value):
    return F.concat(F.lit(f"{name} "), value.cast("string")) if isinstance(value, Column) else f"{name} {value}"


def texts_naming(tables: Tables, table: Table, listed: DataFrame) -> DataFrame:
    """The different texts of refused lines in which a listed user_hash stands: raw."""
    told = tables.read(table).where("raw IS NOT NULL").select("raw", F.explode(hashes_in_raw()).alias("user_hash"))
    return told.join(F.broadcast(listed), "user_hash", how="left_semi").select("raw").distinct()
