"""Tables rewritten from one set of user hashes to another. Each function does nothing the second time."""

from collections.abc import Mapping

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.pipelines.lines import CLICK_IDENTITY, PAGE_VIEW_IDENTITY, id_of
from pagerec_dbx.schemas import BRONZE_EVENTS, BRONZE_PAGE_VIEWS, Table
from pagerec_dbx.stages.viewer_traces import hashes_in_raw
from pagerec_dbx.tables import Tables

_IDS = {"page_view_id": (BRONZE_PAGE_VIEWS, PAGE_VIEW_IDENTITY), "click_id": (BRONZE_EVENTS, CLICK_IDENTITY)}


def new_hashes(tables: Tables, hashes: Mapping[str, str]) -> DataFrame:
    """One record per viewer: old_hash, new_hash."""
    records = pd.DataFrame({"old_hash": list(hashes), "new_hash": list(hashes.values())}, dtype=object)
    return tables.spark.createDataFrame(records, "old_hash string, new_hash string")


def new_ids(tables: Tables, mapped: DataFrame) -> dict[str, DataFrame]:
    """By name of the id, one record per page view or click of bronze that is still by the old key: old_id, new_id.

    They are kept, because bronze is rewritten in the end.
    """
    return {name: _new_ids(tables, name, mapped).persist() for name in _IDS if tables.exists(_IDS[name][0])}


def _new_ids(tables: Tables, name: str, mapped: DataFrame) -> DataFrame:
    bronze, identity = _IDS[name]
    known = tables.read(bronze).where(F.col(name).isNotNull())
    moved = known.join(mapped, known["user_hash"] == mapped["old_hash"], how="inner")
    parts = ["new_hash" if part == "user_hash" else part for part in identity]
    return moved.select(F.col(name).alias("old_id"), id_of(*parts).alias("new_id")).distinct()


def rewrite_ids(tables: Tables, table: Table, ids: Mapping[str, DataFrame]) -> None:
    """Replace the ids of page views and clicks in a table that does not hold what they are made of."""
    for name, frame in ids.items():
        if name in table.column_names and not _holds_identity(table, name):
            tables.update_matching(table, frame, f"old.{name} = new.old_id", {name: "new.new_id"})


def rewrite_users(tables: Tables, table: Table, mapped: DataFrame) -> None:
    """Replace the user hashes of a table, and the ids that can be made of its own columns, in one commit."""
    values: dict[str, str | Column] = {"user_hash": "new.new_hash"}
    for name, (_, identity) in _IDS.items():
        if name in table.column_names and _holds_identity(table, name):
            parts = ["new.new_hash" if part == "user_hash" else f"old.{part}" for part in identity]
            values[name] = F.when(F.col(f"old.{name}").isNotNull(), id_of(*parts))
    tables.update_matching(table, mapped, "old.user_hash = new.old_hash", values)


def _holds_identity(table: Table, name: str) -> bool:
    return set(_IDS[name][1]) <= set(table.column_names)


def rewrite_raw(tables: Tables, table: Table, mapped: DataFrame) -> None:
    """Replace the hashes within the texts of refused lines."""
    texts = tables.read(table).where("raw IS NOT NULL").select("raw").distinct()
    told = texts.select("raw", F.explode(F.array_distinct(hashes_in_raw())).alias("old_hash"))
    pairs = (
        told.join(mapped, "old_hash")
        .groupBy("raw")
        .agg(F.collect_list(F.struct("old_hash", "new_hash")).alias("pairs"))
    )
    replaced = F.aggregate(
        "pairs", F.col("raw"), lambda text, pair: F.replace(text, pair["old_hash"], pair["new_hash"])
    )
    tables.update_matching(table, pairs.select("raw", replaced.alias("text")), "old.raw = new.raw", {"raw": "new.text"})
