"""`pagerec rekey`: a home whose user hashes, and the ids made of them, are those of another hashing key.

First it is made sure that the file covers every viewer; then a note is written, and only then anything is changed. A
table is rewritten in commits that do nothing the second time, bronze last, because the new ids of page views and clicks
are read off it; the home takes the new key when all tables have it.
"""

import datetime as dt
from collections.abc import Mapping

from pyspark.sql import DataFrame

from pagerec_dbx.errors import RekeyError
from pagerec_dbx.features.viewer_snapshots import all_snapshots, remove_unread, require_unread
from pagerec_dbx.progress import watch_spark
from pagerec_dbx.schemas import FORGOTTEN, Table
from pagerec_dbx.stages.rekey_cover import drop_uncovered, forgotten_not_covered, require_covered
from pagerec_dbx.stages.rekey_note import Move, begin_move, pending_move
from pagerec_dbx.stages.rekey_result import RekeyResult
from pagerec_dbx.stages.rekey_tables import new_hashes, new_ids, rewrite_ids, rewrite_raw, rewrite_users
from pagerec_dbx.stages.viewer_tables import cut_tables, every_table, hash_tables, id_tables, text_tables
from pagerec_dbx.stages.viewer_traces import counted
from pagerec_dbx.tables import Tables


def rekey(
    tables: Tables, hashes: Mapping[str, str], move: Move, now: dt.datetime, drop_refused: bool = False
) -> RekeyResult:
    """Replace every user hash of the tables, and every id that is made of one; the key itself is the caller's.

    Args:
        hashes: each viewer's hash by the old key -> by the new one.
        drop_refused: refused lines of users who are not in the file go, instead of being a reason to refuse.

    Raises:
        RekeyError: a viewer of the home is not in the file, another move is on its way, or an old hash is left.
        SnapshotError: a snapshot is being read; all of them have to go.
    """
    begun = pending_move(tables.home)
    if begun not in (None, move):
        raise _other_move(begun, move)
    with watch_spark(tables.spark, "rekey"):
        mapped = new_hashes(tables, hashes).persist()
        try:
            uncovered = require_covered(tables, mapped, begun is not None, drop_refused)
            require_unread(all_snapshots(tables.home.snapshots), now)
            begin_move(tables.home, move)
            snapshots = remove_unread(all_snapshots(tables.home.snapshots), now)
            dropped = drop_uncovered(tables, uncovered)
            _rewrite(tables, mapped)
            left_over = forgotten_not_covered(tables, mapped)
            _require_no_old(tables, hashes)
        finally:
            mapped.unpersist()
    return RekeyResult(move.new, len(hashes), len(rekeyed_tables(tables)), snapshots, dropped, left_over)


def rekeyed_tables(tables: Tables) -> list[Table]:
    """The home's tables that hold user hashes or ids made of them, in the order in which they are rewritten."""
    return [table for table in (FORGOTTEN, *id_tables(), *hash_tables()) if tables.exists(table)]  # bronze last


def _other_move(begun: Move, move: Move) -> RekeyError:
    what = "another key" if begun.new != move.new else "another file of ids"
    return RekeyError(
        f"a stopped `pagerec rekey` was given {what}",
        wanted=f"the key {begun.new} and the file that it began with",
        got=f"the key {move.new}",
        fix="Run it again with what it began with; afterwards the home can be moved once more",
    )


def _rewrite(tables: Tables, mapped: DataFrame) -> None:
    """Bring all tables to the new hashes."""
    for table in cut_tables():
        if tables.exists(table):
            tables.delete(table, "true")  # they name page views by their old ids, and snapshots that are gone
    ids = new_ids(tables, mapped)
    try:
        for table in rekeyed_tables(tables):
            if table in text_tables():
                rewrite_raw(tables, table, mapped)
            rewrite_ids(tables, table, ids)
            if table not in id_tables():
                rewrite_users(tables, table, mapped)
    finally:
        for frame in ids.values():
            frame.unpersist()


def _require_no_old(tables: Tables, hashes: Mapping[str, str]) -> None:
    found = counted(tables, every_table(), list(hashes))
    left = [f"{one.records:,} in `{name}`" for name, one in found.items() if one.records]
    if left:
        raise RekeyError(
            "hashes by the old key are left",
            wanted="none in any table",
            got=", ".join(left),
            fix="Run the same `pagerec rekey` again; if this stays, report it",
        )
