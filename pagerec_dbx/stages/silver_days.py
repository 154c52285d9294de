"""Bronze to silver, day by day: only the days of which a run has read lines are made anew.

Days of clicks that were reduced by another rule than the one that is set now are made anew too: all follow one rule.
"""

import datetime as dt
from collections.abc import Callable

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.ledger import Ledger
from pagerec_dbx.pipelines import silver
from pagerec_dbx.schemas import BRONZE_EVENTS, BRONZE_PAGE_VIEWS, CLICKS, FORGOTTEN, PAGE_VIEWS, Table
from pagerec_dbx.tables import Tables, on_days

Days = set[dt.date]


def rewrite_touched_days(tables: Tables, run: int, repeat_seconds: float) -> None:
    """Bring `page_views` and `clicks` up to date with the lines of a run, and all clicks with the rule for repeats.

    Repeated, it does the same again.
    """
    ledger = Ledger(tables.home)
    half_forgotten = _half_forgotten(tables)
    views, events = (_without(half_forgotten, tables.read(table)) for table in (BRONZE_PAGE_VIEWS, BRONZE_EVENTS))
    view_days = _days(views.where((F.col("batch") == run) & ~F.col("refused")))
    click_days = _days(silver.click_records(events).where(F.col("batch") == run))
    click_days = with_linked_days(events, click_days, set(ledger.revisions(CLICKS)), repeat_seconds)
    _rewrite(tables, ledger, PAGE_VIEWS, views, view_days, f"run {run}", silver.page_views)
    _rewrite_clicks(tables, ledger, events, click_days | days_of_another_rule(ledger, repeat_seconds), repeat_seconds)


def rewrite_days_of_another_rule(tables: Tables, repeat_seconds: float) -> None:
    """Reduce the clicks anew that were reduced by another rule, where a run has nothing to read."""
    ledger = Ledger(tables.home)
    days = days_of_another_rule(ledger, repeat_seconds)
    if days:
        events = _without(_half_forgotten(tables), tables.read(BRONZE_EVENTS))
        _rewrite_clicks(tables, ledger, events, days, repeat_seconds)


def days_of_another_rule(ledger: Ledger, repeat_seconds: float) -> Days:
    """Days of clicks whose repeats were told by another rule, and those of which a stopped run left it open."""
    rule = _rule(repeat_seconds)
    return {day for day, record in ledger.revisions(CLICKS).items() if record.made_from != rule}


def _rule(repeat_seconds: float) -> str:
    return f"repeats within {repeat_seconds:g} s"


def _rewrite_clicks(tables: Tables, ledger: Ledger, events: DataFrame, days: Days, repeat_seconds: float) -> None:
    reduce = lambda lines: silver.clicks(lines, repeat_seconds)  # noqa: E731
    _rewrite(tables, ledger, CLICKS, events, days, _rule(repeat_seconds), reduce)


def _half_forgotten(tables: Tables) -> DataFrame | None:
    """Viewers whom a stopped `forget` has not removed to the end: it clears bronze last. None if there are none."""
    if not tables.exists(FORGOTTEN):
        return None
    begun = tables.read(FORGOTTEN).where(F.col("removed_at").isNull()).select("user_hash")
    return None if begun.isEmpty() else begun


def _without(viewers: DataFrame | None, lines: DataFrame) -> DataFrame:
    return lines if viewers is None else lines.join(F.broadcast(viewers), "user_hash", how="left_anti")


def _rewrite(
    tables: Tables, ledger: Ledger, table: Table, bronze: DataFrame, days: Days, made_from: str,
    reduce: Callable[[DataFrame], DataFrame],
) -> None:  # fmt: skip
    tables.create(table)
    if days:
        # Begun first: a run that is stopped before it has finished, and taken up with another rule, finds all its days.
        ledger.begin(table, days)
        tables.replace_days(table, reduce(bronze.where(on_days(days))), days)
        ledger.finish(table, dict.fromkeys(days, made_from))


def with_linked_days(events: DataFrame, days: Days, held: Days, repeat_seconds: float) -> Days:
    """These days, and those days of the table with which they share a click that reaches over midnight.

    A click of many records, each a repeat of the one before, may reach over several days; so this looks again from
    each day that it adds.

    Args:
        events: the lines of BRONZE_EVENTS.
        held: the days that the table has; the others have no click that could change.
    """
    found, new = set(days), set(days)
    while new:
        beside = {day + dt.timedelta(step) for day in new for step in (-1, 1)} & held
        if not beside - found:
            break
        midnights = _days(silver.linked_midnights(events.where(on_days(beside | new)), repeat_seconds))
        before = {midnight: midnight - dt.timedelta(1) for midnight in midnights}
        linked = {day for pair in before.items() if found & set(pair) for day in pair}
        new = linked & held - found
        found |= new
    return found


def _days(frame: DataFrame) -> Days:
    return {record["day"] for record in frame.select("day").distinct().collect()}
