"""The ledger of days: what was begun and not finished is never taken for made."""

import datetime as dt

from pagerec_dbx.ledger import DayRecord, Ledger
from pagerec_dbx.schemas import EXAMPLES, LABELLED_PAGE_VIEWS

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
