"""The ledger: revisions rise, a day that is being rewritten is made from nothing yet."""

import datetime as dt

from pagerec_dbx.ledger import DayRecord, Ledger
from pagerec_dbx.schemas import CLICKS, PAGE_VIEWS

FIRST, SECOND = dt.date(2024, 1, 1), dt.date(2024, 1, 2)


def test_ledger_raises_the_revision_of_a_day_that_is_rewritten(tables):
    ledger = Ledger(tables)
    ledger.begin(CLICKS, [FIRST, SECOND])
    ledger.finish(CLICKS, {FIRST: "a", SECOND: "a"})
    ledger.begin(CLICKS, [SECOND])
    assert ledger.revisions(CLICKS) == {FIRST: DayRecord(1, "a"), SECOND: DayRecord(2, None)}
    ledger.finish(CLICKS, {SECOND: "b"})
    ledger.written(PAGE_VIEWS, {FIRST: "c"})
    assert Ledger(tables).revisions(CLICKS) == {FIRST: DayRecord(1, "a"), SECOND: DayRecord(2, "b")}
    assert ledger.revisions(PAGE_VIEWS) == {FIRST: DayRecord(1, "c")}
