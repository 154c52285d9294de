"""Whether a file of ids covers the viewers of a home, and what is done with refused lines that it does not cover."""

import dataclasses

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.errors import RekeyError
from pagerec_dbx.schemas import FORGOTTEN
from pagerec_dbx.stages.viewer_tables import hash_tables, text_tables
from pagerec_dbx.stages.viewer_traces import frame_of, hashes_in_raw
from pagerec_dbx.tables import Tables, union_all


@dataclasses.dataclass(frozen=True)
class Uncovered:
    """Hashes of the home that the file does not have."""

    viewers: int  # of good records
    refused: tuple[str, ...]  # of refused lines alone


def require_covered(tables: Tables, mapped: DataFrame, begun: bool, drop_refused: bool) -> Uncovered:
    """Refuse a file that lacks a viewer: of a hash nobody can tell the id, so it cannot be made by another key.

    Args:
        mapped: old_hash, new_hash.
        begun: an earlier run was stopped, so that some tables have the new hashes already.
        drop_refused: hashes that stand in refused lines alone may be lacking.

    Raises:
        RekeyError: a hash is lacking.
    """
    found = _uncovered(tables, mapped, begun)
    if found.viewers:
        raise RekeyError(
            f"{found.viewers:,} viewers of home {tables.home.name} are not in the file",
            wanted="the id of every viewer: a hash cannot be turned back into its id",
            got=f"a file without {found.viewers:,} of them",
            fix="Add their ids, or remove them with `pagerec forget` first",
        )
    if found.refused and not drop_refused:
        raise RekeyError(
            f"refused lines hold {len(found.refused):,} hashes that are not in the file",
            wanted="the id of every viewer: a hash cannot be turned back into its id",
            got="hashes that stand in no good record, of broken ids or of viewers with broken lines alone",
            fix="Add their ids, or let those lines go with --drop-refused",
        )
    return found


def _uncovered(tables: Tables, mapped: DataFrame, begun: bool) -> Uncovered:
    known = mapped.select(F.col("old_hash").alias("user_hash"))
    if begun:
        known = known.union(mapped.select("new_hash"))
    existing = [table for table in hash_tables() if tables.exists(table)]
    if not existing:
        return Uncovered(0, ())
    parts = []
    for table in existing:
        frame = tables.read(table)
        refused = F.col("reason").isNotNull() if table in text_tables() else F.lit(False)
        hashes = F.array("user_hash")
        named = F.concat(hashes, hashes_in_raw()) if table in text_tables() else hashes
        parts.append(frame.select(refused.alias("refused"), F.explode(named).alias("user_hash")))
    listed = union_all(parts).where("user_hash IS NOT NULL").groupBy("user_hash").agg(F.min("refused").alias("refused"))
    lacking = listed.join(known, "user_hash", how="left_anti").persist()
    try:
        viewers = lacking.where(~F.col("refused")).count()
        hashes_of_lines = [] if viewers else [row["user_hash"] for row in lacking.select("user_hash").collect()]
    finally:
        lacking.unpersist()
    return Uncovered(viewers, tuple(hashes_of_lines))


def drop_uncovered(tables: Tables, uncovered: Uncovered) -> int:
    """Remove the refused lines that hold one of these hashes; how many the quarantine had."""
    if not uncovered.refused:
        return 0
    listed = frame_of(tables.spark, "user_hash", uncovered.refused)
    dropped = 0
    for table in text_tables():
        if not tables.exists(table):
            continue
        told = F.explode(F.concat(F.array("user_hash"), hashes_in_raw())).alias("user_hash")
        lines = tables.read(table).where("raw IS NOT NULL").select("raw", told)
        texts = lines.join(F.broadcast(listed), "user_hash", how="left_semi").select("raw").distinct()
        dropped = max(dropped, tables.read(table).join(texts, "raw", how="left_semi").count())
        tables.delete_matching(table, texts, "raw")
    return dropped


def forgotten_not_covered(tables: Tables, mapped: DataFrame) -> int:
    """How many of the forgotten stay on the list by the old key, by which no line will be hashed any more."""
    if not tables.exists(FORGOTTEN):
        return 0
    carried = mapped.select(F.col("new_hash").alias("user_hash"))
    return tables.read(FORGOTTEN).join(carried, "user_hash", how="left_anti").count()
