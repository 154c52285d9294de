"""Refused lines day by day: counted once more when an ingest has refused some, and gone when they are old."""

import datetime as dt

import pytest

from pagerec_dbx.config import IngestSettings
from pagerec_dbx.ledger import Ledger
from pagerec_dbx.schemas import BRONZE_ATTRIBUTES, BRONZE_EVENTS, BRONZE_PAGE_VIEWS, JOIN_HEALTH, QUARANTINE
from pagerec_dbx.stages.refused_lines import KEPT, expire_quarantine, measure_refused
from pagerec_dbx.tables import Tables, spark_schema

FIRST = dt.datetime(2024, 1, 5, 23, 0, tzinfo=dt.UTC)
SECOND = FIRST + dt.timedelta(days=1)


def _refuse(tables: Tables, batch: int, at: dt.datetime, *reasons: str) -> None:
    """What a run that refuses lines leaves in the quarantine, in bronze and in the ledger."""
    lines = [("click_logs", reason, "text", "file", None, at, batch) for reason in reasons]
    tables.append(QUARANTINE, tables.spark.createDataFrame(lines, spark_schema(QUARANTINE)))
    known = {"source": "click_logs", "file": "file", "batch": batch, "refused": True, "raw": "text"}
    records = [tuple((known | {"reason": one}).get(name) for name in BRONZE_EVENTS.column_names) for one in reasons]
    tables.append(BRONZE_EVENTS, tables.spark.createDataFrame(records, spark_schema(BRONZE_EVENTS)))
    Ledger(tables.home).written(QUARANTINE, {at.date(): KEPT})


def _measured(tables: Tables) -> dict[tuple[str, str], float]:
    return {(str(row["day"]), row["measure"]): row["value"] for row in tables.read(JOIN_HEALTH).collect()}


@pytest.fixture
def tables(tables: Tables) -> Tables:
    """Two days with refused lines."""
    for table in (BRONZE_PAGE_VIEWS, BRONZE_ATTRIBUTES):
        tables.create(table)
    _refuse(tables, 1, FIRST, "not_json", "nul_byte")
    _refuse(tables, 2, SECOND, "not_json")
    return tables


def test_refused_lines_are_counted_when_some_have_come_and_only_then(tables):
    ledger = Ledger(tables.home)
    measure_refused(tables, ledger)
    both = {
        ("2024-01-05", "quarantined"): 2, ("2024-01-05", "quarantined_not_json"): 1,
        ("2024-01-05", "quarantined_nul_byte"): 1, ("2024-01-06", "quarantined"): 1,
        ("2024-01-06", "quarantined_not_json"): 1,
    }  # fmt: skip
    assert _measured(tables) == both
    version = tables.version(JOIN_HEALTH)
    measure_refused(tables, ledger)
    assert tables.version(JOIN_HEALTH) == version
    _refuse(tables, 3, SECOND, "not_json")
    measure_refused(tables, ledger)
    changed = {("2024-01-06", "quarantined"): 2, ("2024-01-06", "quarantined_not_json"): 2}
    assert _measured(tables) == both | changed


def test_refused_lines_go_with_their_day_when_it_is_old_and_stay_counted(tables):
    settings = IngestSettings(quarantine_days=30)
    ledger = Ledger(tables.home)
    measure_refused(tables, ledger)
    counted = _measured(tables)
    # The first day is over on the 6th; a line of its last hour has been kept for 30 days on February 5th.
    expire_quarantine(tables, settings, dt.datetime(2024, 2, 4, 23, 59, tzinfo=dt.UTC))
    assert tables.read(QUARANTINE).count() == tables.read(BRONZE_EVENTS).count() == 3
    expire_quarantine(tables, settings, dt.datetime(2024, 2, 5, tzinfo=dt.UTC))
    for table in (QUARANTINE, BRONZE_EVENTS):
        assert [row["batch"] for row in tables.read(table).collect()] == [2]
    version = tables.version(QUARANTINE)
    expire_quarantine(tables, settings, dt.datetime(2024, 2, 5, tzinfo=dt.UTC))
    measure_refused(tables, ledger)
    assert tables.version(QUARANTINE) == version and _measured(tables) == counted
