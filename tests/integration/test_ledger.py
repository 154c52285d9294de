"""The ledger of days: what was begun and not finished is never taken for made."""

import datetime as dt

import pytest

from pagerec_dbx.config import JoinSettings
from pagerec_dbx.errors import HomeError
from pagerec_dbx.ledger import FILE, DayRecord, Ledger
from pagerec_dbx.schemas import BRONZE_PAGE_VIEWS, CLICKS, EXAMPLES, INGESTED_FILES, LABELLED_PAGE_VIEWS, PAGE_VIEWS
from pagerec_dbx.stages.ingest_run import NOTE, recorded
from pagerec_dbx.stages.join import join
from tests.viewer_world import make_world

FIRST, SECOND, THIRD = (dt.date(2024, 1, number) for number in (1, 2, 3))


def test_ledger_counts_revisions_and_says_what_a_day_is_made_from(tables):
    ledger = Ledger(tables.home)
    assert ledger.revisions(EXAMPLES) == {}
    ledger.begin(EXAMPLES, [FIRST, SECOND])
    assert ledger.revisions(EXAMPLES) == {FIRST: DayRecord(1, None), SECOND: DayRecord(1, None)}
    ledger.finish(EXAMPLES, {FIRST: "a", SECOND: "b"})
    ledger.begin(EXAMPLES, [SECOND, THIRD])
    ledger.begin(EXAMPLES, [SECOND])  # a run that was killed, and its successor
    ledger.finish(EXAMPLES, {SECOND: "c"})
    wanted = {FIRST: DayRecord(1, "a"), SECOND: DayRecord(3, "c"), THIRD: DayRecord(1, None)}
    assert ledger.revisions(EXAMPLES) == wanted
    assert ledger.revisions(LABELLED_PAGE_VIEWS) == {}


def test_ledger_of_one_table_leaves_the_others_alone(tables):
    ledger = Ledger(tables.home)
    for table in (LABELLED_PAGE_VIEWS, EXAMPLES):
        ledger.begin(table, [FIRST])
        ledger.finish(table, {FIRST: table.name})
    ledger.begin(EXAMPLES, [FIRST])
    assert ledger.revisions(LABELLED_PAGE_VIEWS) == {FIRST: DayRecord(1, "labelled_page_views")}


def test_ledger_writes_nothing_for_no_days(tables):
    ledger = Ledger(tables.home)
    ledger.begin(EXAMPLES, [])
    ledger.finish(EXAMPLES, {})
    assert ledger.revisions(EXAMPLES) == {}


def test_ledger_written_is_begun_and_finished_at_once(tables):
    ledger = Ledger(tables.home)
    ledger.written(EXAMPLES, {FIRST: "a"})
    ledger.written(EXAMPLES, {FIRST: "b"})
    assert ledger.revisions(EXAMPLES) == {FIRST: DayRecord(2, "b")}


def test_tables_without_their_ledger_are_refused(tables):
    """With an empty one the next run would take every day but its own for days that never were."""
    make_world(tables, (PAGE_VIEWS, CLICKS, BRONZE_PAGE_VIEWS, INGESTED_FILES))
    assert recorded(tables).last == 1
    (tables.home.folder / FILE).unlink()
    for command in (lambda: recorded(tables), lambda: join(tables, JoinSettings())):
        with pytest.raises(HomeError, match=f"{FILE} is missing beside tables"):
            command()
    (tables.home.folder / NOTE).write_text('{"files": []}')  # a first run that was killed before it wrote one goes on
    assert recorded(tables).last == 1


def test_a_malformed_ledger_is_refused(tables):
    (tables.home.folder / FILE).write_text('{"examples": {"yesterday": [1, null]}}')
    with pytest.raises(HomeError, match=f"{FILE} is malformed"):
        Ledger(tables.home).revisions(EXAMPLES)
