"""`pagerec forget`: viewers leave every table and every snapshot, and no replay of the logs brings them back.

The list of the forgotten is written first, so that from then on `ingest` refuses their lines; bronze is cleared last,
because a run that is killed finds in it the ids by which it clears the rest. Each step repeated does nothing more.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence

from pyspark.sql import functions as F

from pagerec_dbx.config import ForgetSettings
from pagerec_dbx.errors import ForgetError
from pagerec_dbx.features.viewer_snapshots import remove_unread, require_unread, snapshots_of
from pagerec_dbx.ledger import Ledger
from pagerec_dbx.progress import watch_spark
from pagerec_dbx.schemas import CLICKS, FORGOTTEN, PAGE_VIEWS, Table
from pagerec_dbx.stages.forget_result import ForgetResult, PurgeResult
from pagerec_dbx.stages.viewer_tables import (
    ID_NAMES,
    cut_tables,
    every_table,
    hash_tables,
    id_tables,
    key_id,
    text_tables,
)
from pagerec_dbx.stages.viewer_traces import Found, Traces, counted, find_traces, frame_of, texts_naming
from pagerec_dbx.tables import Tables, union_all

_UNREADABLE = "user_hash IS NULL AND raw IS NOT NULL"  # refused lines that could be anybody's


def forget(
    tables: Tables,
    hashes: Sequence[str],
    clock: Callable[[], dt.datetime],
    settings: ForgetSettings,
) -> ForgetResult:
    """Remove viewers from every table and snapshot, prove it, and keep their hashes on the list.

    Args:
        hashes: of the viewers, at least one, each once.
        clock: asked when the command begins and when everything is removed: old versions age from then on.

    Raises:
        SnapshotError: a snapshot that has to go is being read; before anything was changed, if it was by then.
        ForgetError: something of them is left.
    """
    with watch_spark(tables.spark, "forgetting"):
        traces, now = find_traces(tables, hashes), clock()
        folders = snapshots_of(tables.home.snapshots, traces.ids["page_view_id"], traces.hashes)
        require_unread(folders, now)
        _list(tables, hashes, now)
        snapshots = remove_unread(folders, now)
        found = counted(tables, _holding(), traces.marks())
        days = _touch_days(tables, traces)
        _remove(tables, traces, found)
        checked = require_gone(tables, traces)
        removed = {name: one.records for name, one in found.items() if one.records}
        ended = clock()
        _close(tables, hashes, ended, removed=bool(removed))
    return ForgetResult(
        viewers=len(hashes),
        viewers_known=traces.known,
        removed=removed,
        snapshots_removed=snapshots,
        tables_checked=checked,
        days_to_join=len(days),
        old_versions_until=ended + dt.timedelta(days=settings.history_days),
    )


def _holding() -> list[Table]:
    """All tables with records of viewers, in the order in which they are cleared."""
    return [*cut_tables(), *id_tables(), *hash_tables()]


def _list(tables: Tables, hashes: Sequence[str], now: dt.datetime) -> None:
    listed = frame_of(tables.spark, "user_hash", hashes).withColumn("forgotten_at", F.lit(now))
    tables.insert_new(FORGOTTEN, listed.withColumn("removed_at", F.lit(None).cast("timestamp")))


def _touch_days(tables: Tables, traces: Traces) -> set[dt.date]:
    """Let the next `join` measure the days of these viewers anew: clicks of others may have named their pages.

    Returns:
        The days that silver has and that are to be measured.
    """
    ledger = Ledger(tables.home)
    touched: set[dt.date] = set()
    for table, days in ((PAGE_VIEWS, traces.view_days), (CLICKS, traces.click_days)):
        records = ledger.revisions(table)
        held = days & records.keys()
        # By the rule by which they were made, so that the next `ingest` has no reason to make them again.
        ledger.written(table, {day: records[day].made_from for day in held})
        touched |= held
    return touched


def _remove(tables: Tables, traces: Traces, found: Mapping[str, Found]) -> None:
    """Clear the tables that have records of these viewers."""
    spark = tables.spark
    ids = {name: frame_of(spark, name, traces.ids[name], "bigint") for name in ID_NAMES}
    listed = frame_of(spark, "user_hash", traces.hashes)
    # A preparation reads old versions of the tables, in which they stand: `prepare` has to make another one.
    for table in cut_tables():
        if traces.ids["page_view_id"] and table.name in found:
            tables.delete(table, "true")
    for table in id_tables():
        if _any(found, table):
            tables.delete_matching(table, ids[key_id(table)], key_id(table))
    for table in hash_tables():
        if _any(found, table):
            tables.delete_matching(table, listed, "user_hash")
        if table.name in found and found[table.name].in_text_alone:
            tables.delete_matching(table, texts_naming(tables, table, listed), "raw")


def _any(found: Mapping[str, Found], table: Table) -> bool:
    return table.name in found and found[table.name].records > 0


def purge_unreadable(tables: Tables) -> PurgeResult:
    """Remove the refused lines in which no user could be read, from the quarantine and from bronze."""
    existing = [table for table in text_tables() if tables.exists(table)]
    if not existing:
        return PurgeResult(0)
    with watch_spark(tables.spark, "purging"):
        counts = [
            tables.read(table).where(_UNREADABLE).agg(F.count("*").alias("lines")).withColumn("name", F.lit(table.name))
            for table in existing
        ]
        found = {row["name"]: row["lines"] for row in union_all(counts).collect()}
        for table in existing:
            if found[table.name]:
                tables.delete(table, _UNREADABLE)
    # A line stands in bronze and in the quarantine, or, of a file that cannot be decompressed, in the quarantine alone.
    return PurgeResult(max(found.values()))


def require_gone(tables: Tables, traces: Traces) -> int:
    """Look for these viewers in every table of the home and in its snapshots; how many tables were looked through.

    Raises:
        ForgetError: something of them is left.
    """
    found = counted(tables, [table for table in every_table() if table is not FORGOTTEN], traces.marks())
    left = [f"{one.records:,} records of table `{name}`" for name, one in found.items() if one.records]
    folders = snapshots_of(tables.home.snapshots, traces.ids["page_view_id"], traces.hashes)
    left += [f"snapshot {folder.name}" for folder in folders]
    if left:
        raise ForgetError(
            "viewers who were to be forgotten are still there",
            wanted="no record of them",
            got=", ".join(left),
            fix="Run the same `pagerec forget` again; if this stays, report it",
        )
    return len(found)


def _close(tables: Tables, hashes: Sequence[str], now: dt.datetime, removed: bool) -> None:
    """Say of the listed viewers that they are gone, and since when: from then on their old versions age."""
    listed = frame_of(tables.spark, "user_hash", hashes).withColumn("now", F.lit(now))
    concerned = "old.user_hash = new.user_hash" if removed else "old.user_hash = new.user_hash AND removed_at IS NULL"
    tables.update_matching(FORGOTTEN, listed, concerned, {"removed_at": "new.now"})
