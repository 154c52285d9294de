"""`pagerec join`: page views and clicks -> labelled page views, and how well the two fit; only days that changed.

Which days those are the ledger says: each labelled day names the revisions of page views and clicks it was made from.
A click may belong to a page view of an earlier day, so a changed day reaches further, and how far is found out before
anything is written: the days are entered in the ledger as being rewritten, and a killed run does them all again.
"""

import collections
import dataclasses
import datetime as dt
from collections.abc import Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.config import JoinSettings
from pagerec_dbx.errors import NoExamplesError
from pagerec_dbx.ledger import Ledger
from pagerec_dbx.pipelines import crosscheck, health, joins
from pagerec_dbx.progress import watch_spark
from pagerec_dbx.schemas import CLICK_MATCHES, CLICKS, JOIN_HEALTH, LABELLED_PAGE_VIEWS, PAGE_VIEWS, QUARANTINE
from pagerec_dbx.stages.join_limits import parse_limits, require_limits
from pagerec_dbx.stages.refused_lines import REFUSED, measure_refused
from pagerec_dbx.tables import Tables, on_days, union_all

_SECONDS_A_DAY = 86_400
_MOST_CLICKS_IN_MEMORY = 1_000_000  # about 200 bytes each
Days = set[dt.date]


@dataclasses.dataclass(frozen=True)
class JoinResult:
    """What the joins found, over all days."""

    days: int  # rewritten by this run
    page_views: int
    page_views_with_click: int
    clicks: int
    clicks_matched: int
    match_rate: float | None  # of all clicks; None without clicks
    unmatched: dict[str, int]  # clicks by reason
    agreement: float | None  # share of page views that both joins label alike; None if there is none to compare


@dataclasses.dataclass(frozen=True)
class DayRange:
    """Days from the first to the last, both included; None leaves an end open."""

    first: dt.date | None = None
    last: dt.date | None = None

    def holds(self, day: dt.date) -> bool:
        return (self.first is None or self.first <= day) and (self.last is None or day <= self.last)


def join(tables: Tables, settings: JoinSettings, recompute: DayRange | None = None) -> JoinResult:
    """Label the page views of the days that changed, and measure the joins of those days.

    Args:
        recompute: label these days, whether they changed or not; of the others only those to which their clicks reach.

    Raises:
        MissingTableError: nothing was ingested. NoExamplesError: there are no page views.
        HomeError: the ledger of days is missing.
        SettingError: a limit is malformed. HealthError: a measure is past its limit; everything is written.
    """
    parse_limits(settings.health_limits)  # a malformed one is refused before the work and not after it
    if tables.read(PAGE_VIEWS).isEmpty():
        raise NoExamplesError("there are no page views to label", fix="Ingest service_logs/ or hashed_payloads/")
    ledger = Ledger(tables.home)
    ledger.require()
    made_from = _made_from(ledger, settings)
    stale = _stale(ledger, made_from, recompute)
    for table in (QUARANTINE, CLICK_MATCHES, LABELLED_PAGE_VIEWS, JOIN_HEALTH):
        tables.create(table)
    with watch_spark(tables.spark, "joining"):
        days = _rewrite(tables, ledger, made_from, stale, settings) if stale else set()
        measure_refused(tables, ledger)
    require_limits(tables.read(JOIN_HEALTH), settings.health_limits)
    return _result(tables, len(days))


def _made_from(ledger: Ledger, settings: JoinSettings) -> dict[dt.date, str]:
    """What each day's labels would be made from now: the revisions of its page views and clicks, and the settings."""
    views, clicks = ledger.revisions(PAGE_VIEWS), ledger.revisions(CLICKS)
    how = f"{settings.window_seconds:g} s, {settings.menu_length} rows"
    return {
        day: f"page views {views[day].revision if day in views else 0}, "
        f"clicks {clicks[day].revision if day in clicks else 0}, {how}"
        for day in views.keys() | clicks.keys()
    }


def _stale(ledger: Ledger, made_from: Mapping[dt.date, str], recompute: DayRange | None) -> Days:
    if recompute is not None:
        return {day for day in made_from if recompute.holds(day)}
    held = ledger.revisions(LABELLED_PAGE_VIEWS)
    return {day for day, source in made_from.items() if day not in held or held[day].made_from != source}


def _rewrite(
    tables: Tables, ledger: Ledger, made_from: Mapping[dt.date, str], stale: Days, settings: JoinSettings
) -> Days:
    """Match the clicks that the changed days can have changed, and rewrite the days on which they are or were."""
    page_views, clicks, old = tables.read(PAGE_VIEWS), tables.read(CLICKS), tables.read(CLICK_MATCHES)
    known = set(made_from)
    click_days = _click_days(page_views, clicks, stale, known, settings.window_seconds)
    matches = _matches(page_views, clicks, click_days, known, settings.window_seconds).persist()
    try:
        rematched = old.where(on_days(click_days, "to_date(clicked_at)"))
        days = stale | _days(matches) | _days(rematched)
        # Days outside of a named range that wait for a join of their own: written without it they would be said to be
        # up to date, and lack the clicks that nobody has matched anew.
        waiting = (days & _stale(ledger, made_from, None)) - stale
        if waiting:
            return _rewrite(tables, ledger, made_from, stale | waiting, settings)
        ledger.begin(LABELLED_PAGE_VIEWS, days)
        others = old.where(on_days(days)).where(f"NOT {on_days(click_days, 'to_date(clicked_at)')}")
        tables.replace_days(CLICK_MATCHES, others.unionByName(matches), days)
    finally:
        matches.unpersist()
    _label(tables, page_views, days)
    measured = (days | _around(click_days, settings.window_seconds, -1)) & known
    condition = f"{on_days(measured)} AND measure NOT LIKE '{REFUSED}%'"
    tables.replace_where(JOIN_HEALTH, _health(tables, measured, known, settings), condition)
    ledger.finish(LABELLED_PAGE_VIEWS, {day: made_from.get(day, "nothing") for day in days})
    return days


def _label(tables: Tables, page_views: DataFrame, days: Days) -> None:
    """Write the labelled page views of these days, as many days at a time as their clicks fit into memory."""
    matched = tables.read(CLICK_MATCHES).where(on_days(days)).where(F.col("page_view_id").isNotNull())
    clicks = dict.fromkeys(days, 0) | {row["day"]: row["count"] for row in matched.groupBy("day").count().collect()}
    for group in grouped_days(clicks, _MOST_CLICKS_IN_MEMORY):
        few_clicks = sum(clicks[day] for day in group) <= _MOST_CLICKS_IN_MEMORY
        of_days = on_days(group)
        labelled = joins.labelled_page_views(page_views.where(of_days), matched.where(of_days), few_clicks)
        tables.replace_days(LABELLED_PAGE_VIEWS, labelled, group)


def grouped_days(clicks: Mapping[dt.date, int], most: int) -> list[list[dt.date]]:
    """The days in order, in as few groups as hold at most `most` clicks each; a day that has more is alone."""
    groups: list[list[dt.date]] = []
    held = 0
    for day in sorted(clicks):
        held += clicks[day]
        if not groups or held > most:
            groups.append([])
            held = clicks[day]
        groups[-1].append(day)
    return groups


def _click_days(page_views: DataFrame, clicks: DataFrame, stale: Days, known: Days, window_seconds: float) -> Days:
    """Days whose clicks may belong to a page view of the changed days: by time, or by request id on any later day."""
    if stale == known:
        return stale
    requests = page_views.where(on_days(stale)).select("request_id").where(F.col("request_id").isNotNull())
    by_request = clicks.join(requests.distinct(), "request_id", how="left_semi")
    return (_around(stale, window_seconds, 1) & known) | _days(by_request)


def _matches(page_views: DataFrame, clicks: DataFrame, days: Days, known: Days, window_seconds: float) -> DataFrame:
    """Service logs by request, hashed payloads by time; clicks with a request_id and clicks without one."""
    of_days = clicks.where(on_days(days))
    keyed, unkeyed = of_days.where(F.col("request_id").isNotNull()), of_days.where(F.col("request_id").isNull())
    of_service = F.col("source") == "service_logs"
    requested = page_views.where(of_service)
    if days != known:
        # The request ids alone say on which days the pages are; the menus are read of those days only.
        asked = requested.select("day", "request_id").join(
            keyed.select("request_id").distinct(), "request_id", "left_semi"
        )
        requested = requested.where(on_days(_days(asked)))
    near = page_views.where(~of_service).where(on_days(_around(days, window_seconds, -1) & known))
    return joins.keyed_matches(requested, keyed).unionByName(joins.windowed_matches(near, unkeyed, window_seconds))


def _around(days: Days, window_seconds: float, direction: int) -> Days:
    """These days and those that the window reaches from them, forward or back."""
    reach = int(window_seconds // _SECONDS_A_DAY) + 1
    return {day + dt.timedelta(direction * step) for day in days for step in range(reach + 1)}


def _days(frame: DataFrame) -> Days:
    return {record["day"] for record in frame.select("day").distinct().collect()}


# --- health -----------------------------------------------------------------------------------------------------------


def _health(tables: Tables, days: Days, known: Days, settings: JoinSettings) -> DataFrame:
    """The measures of some days, quarantined lines apart."""
    of_days = on_days(days)
    page_views, clicks = tables.read(PAGE_VIEWS), tables.read(CLICKS)
    labelled, matches = tables.read(LABELLED_PAGE_VIEWS).where(of_days), tables.read(CLICK_MATCHES)
    return union_all(
        [
            health.join_measures(labelled, matches.where(of_days), settings.menu_length),
            health.position_measures(labelled),
            health.reduction_measures(page_views.where(of_days), clicks.where(of_days)),
            health.agreement_measures(_agreement(page_views, clicks, matches, days, known, settings).where(of_days)),
        ]
    )


def _agreement(
    page_views: DataFrame, clicks: DataFrame, matches: DataFrame, days: Days, known: Days, settings: JoinSettings
) -> DataFrame:
    """The cross-check of some days: of the clicks whose page view either join may find there.

    A click by request may belong to a page of any earlier day, of which the match says all that is needed.
    """
    keyed = matches.where(F.col("join_method") == "keyed")
    if days == known:
        return crosscheck.agreement(page_views, clicks, keyed, settings.window_seconds)
    later = _around(days, settings.window_seconds, 1) & known
    concerned = keyed.where(f"{on_days(days)} OR {on_days(later, 'to_date(clicked_at)')}")
    click_days = later | _days(concerned.select(F.to_date("clicked_at").alias("day")))
    of_clicks = clicks.where(on_days(click_days)).join(concerned.select("click_id"), "click_id", how="left_semi")
    near = _around(days | click_days, settings.window_seconds, -1) & known
    return crosscheck.agreement(page_views.where(on_days(near)), of_clicks, concerned, settings.window_seconds)


def _result(tables: Tables, days: int) -> JoinResult:
    """Sums over days of the measures of both joins; a few dozen records a day."""
    sums: dict[str, float] = collections.defaultdict(float)
    for row in tables.read(JOIN_HEALTH).where(F.col("join_method") == "all").collect():
        sums[row.measure] += row.value or 0.0
    disagreeing = sum(sums[f"disagreement_{cause}"] for cause in crosscheck.CAUSES)
    clicks, matched = sums["clicks"], sums["clicks_matched"]
    compared = sums["agreement_page_views"]
    return JoinResult(
        days=days,
        page_views=int(sums["page_views"]),
        page_views_with_click=int(sums["page_views_with_click"]),
        clicks=int(clicks),
        clicks_matched=int(matched),
        match_rate=matched / clicks if clicks else None,
        unmatched={reason: int(sums[f"unmatched_{reason}"]) for reason in joins.REASONS},
        agreement=1 - disagreeing / compared if compared else None,
    )
