"""The table `examples`, kept up with `labelled_page_views` day by day."""

import dataclasses
import datetime as dt
import hashlib
from collections.abc import Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.errors import LeakageError, UnfinishedTableError
from pagerec_dbx.ledger import Ledger
from pagerec_dbx.pipelines.gold import examples_from_labelled, leaks_from_labelled
from pagerec_dbx.pipelines.shown import Shown
from pagerec_dbx.schemas import CLICK_MATCHES, EXAMPLES, LABELLED_PAGE_VIEWS
from pagerec_dbx.tables import Tables, on_days

FORMAT = 3  # raised whenever the same page views give other examples
_NOTHING = "no page views"  # what a day is made from that `labelled_page_views` no longer has


@dataclasses.dataclass(frozen=True)
class Renewed:
    """The version of `examples` that fits the labelled page views, and what had to be written for it."""

    table: str  # Delta's id of the table
    version: int
    days: tuple[dt.date, ...]  # days that were made again


def renew_examples(
    tables: Tables, labelled: DataFrame, labelled_version: int, history_length: int, shown_length: int
) -> Renewed:
    """Make the examples of those days again whose labelled page views or settings are others than they were made from.

    A day is said to be begun before the one commit that writes, and to be finished after it: a run that is killed in
    between makes its days again. With what was shown before a day depends on all days before it.

    Args:
        labelled: `labelled_page_views` at that version.

    Raises:
        UnfinishedTableError: `join` was killed while it rewrote some of the days.
        MissingTableError: what was shown before is wanted, and the clicks of the page views are not there.
        LeakageError: some examples would know of their own future; nothing is written.
    """
    tables.create(EXAMPLES)
    table = tables.identity(EXAMPLES)
    settings = f"{history_length}/{shown_length}/{FORMAT}/{_digest(tables.identity(LABELLED_PAGE_VIEWS), table)}"
    wanted = {day: f"{revision}/{settings}" for day, revision in _revisions(tables, labelled, labelled_version).items()}
    ledger = Ledger(tables.home)
    held = {day: record.made_from for day, record in ledger.revisions(EXAMPLES).items()}
    stale = stale_days(wanted, held, onward=shown_length > 0)
    if stale:
        needed, shown = _needed(tables, labelled, stale, shown_length)
        _require_no_leaks(leaks_from_labelled(needed, history_length, shown).where(on_days(stale)))
        made = examples_from_labelled(needed, history_length, shown).where(on_days(stale))
        ledger.begin(EXAMPLES, stale)
        if len(stale) == len(wanted.keys() | held.keys()):
            tables.replace(EXAMPLES, made)  # spares the comparison of every record with the condition
        else:
            tables.replace_where(EXAMPLES, made, on_days(stale))
        ledger.finish(EXAMPLES, {day: wanted.get(day, _NOTHING) for day in stale})
    return Renewed(table, tables.version(EXAMPLES), tuple(stale))


def stale_days(wanted: Mapping[dt.date, str], held: Mapping[dt.date, str | None], onward: bool) -> list[dt.date]:
    """The days to make again, in order: those made from something else, those unfinished, those without page views now.

    Args:
        wanted: what each day should be made from.
        held: what each day was made from, None where a run was killed.
        onward: every day after a stale one is stale too.
    """
    days = sorted(wanted.keys() | held.keys())
    stale = [day for day in days if held.get(day) != wanted.get(day, _NOTHING)]
    return [day for day in days if day >= stale[0]] if onward and stale else stale


def _revisions(tables: Tables, labelled: DataFrame, version: int) -> dict[dt.date, str]:
    """Which state of each day of `labelled_page_views` this is; without a ledger each version is a new one of all."""
    held = Ledger(tables.home).revisions(LABELLED_PAGE_VIEWS)
    unfinished = sorted(day for day, record in held.items() if record.made_from is None)
    if unfinished:
        raise UnfinishedTableError(
            f"`join` was stopped while it rewrote {len(unfinished)} days of `labelled_page_views`",
            got=", ".join(map(str, unfinished[:5])),
            fix="Run `pagerec join`, which goes on where it stopped",
        )
    if held:
        return {day: str(record.revision) for day, record in held.items()}
    return {record["day"]: f"v{version}" for record in labelled.select("day").distinct().collect()}


def _needed(
    tables: Tables, labelled: DataFrame, days: list[dt.date], shown_length: int
) -> tuple[DataFrame, Shown | None]:
    """The page views that the examples of some days are made from; their clicks if what was shown before is wanted."""
    if not shown_length:
        return labelled.where(on_days(days)), None
    until = F.col("day") <= days[-1]  # of both: a matched click is on the day of its page view
    return labelled.where(until), Shown(shown_length, tables.read(CLICK_MATCHES).where(until))


def _require_no_leaks(leaks: DataFrame) -> None:
    names = ("late_titles", "later_pages")
    late, later = leaks.agg(*(F.count_if(F.col(name) > 0) for name in names)).first()
    if late:
        raise LeakageError(
            f"{late:,} examples have a history entry watched at or after the page was served",
            wanted="only entries watched strictly before",
            fix="Run `pagerec ingest` and `pagerec join --from --to` again: silver drops such entries",
        )
    if later:
        raise LeakageError(
            f"the rows shown before of {later:,} examples come from page views that are not before theirs",
            wanted="only page views before it in the order of the cuts",
            fix="Report this; shown_length=0 leaves them out",
        )


def _digest(*texts: str) -> str:
    return hashlib.sha256("/".join(texts).encode("utf-8")).hexdigest()[:8]
