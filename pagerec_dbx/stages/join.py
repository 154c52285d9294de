"""`pagerec join`: page views and clicks -> labelled page views, and how well the two fit."""

import collections
import dataclasses

from pyspark.sql import functions as F

from pagerec_dbx.config import JoinSettings
from pagerec_dbx.errors import NoExamplesError
from pagerec_dbx.pipelines import crosscheck, health, joins
from pagerec_dbx.progress import watch_spark
from pagerec_dbx.schemas import (
    CLICK_MATCHES,
    CLICKS,
    JOIN_HEALTH,
    LABELLED_PAGE_VIEWS,
    PAGE_VIEWS,
    QUARANTINE,
    REDUCTIONS,
)
from pagerec_dbx.tables import Tables, union_all


@dataclasses.dataclass(frozen=True)
class JoinResult:
    """What the joins found, over all days."""

    page_views: int
    page_views_with_click: int
    clicks: int
    clicks_matched: int
    match_rate: float | None  # of all clicks; None without clicks
    unmatched: dict[str, int]  # clicks by reason
    agreement: float | None  # share of page views that both joins label alike; None if there is none to compare


def join(tables: Tables, settings: JoinSettings) -> JoinResult:
    """Label every page view and measure the joins; what was there before is replaced.

    Raises:
        MissingTableError: nothing was ingested. NoExamplesError: there are no page views.
    """
    page_views, clicks = tables.read(PAGE_VIEWS), tables.read(CLICKS)
    if page_views.isEmpty():
        raise NoExamplesError("there are no page views to label", fix="Ingest service_logs/ or hashed_payloads/")
    for table in (REDUCTIONS, QUARANTINE):
        tables.create(table)
    with watch_spark(tables.spark, "joining"):
        tables.replace(CLICK_MATCHES, _matches(page_views, clicks, settings))
        tables.replace(LABELLED_PAGE_VIEWS, joins.labelled_page_views(page_views, tables.read(CLICK_MATCHES)))
        tables.replace(JOIN_HEALTH, _health(tables, settings))
    return _result(tables)


def _matches(page_views, clicks, settings: JoinSettings):
    """Service logs by request, hashed payloads by time; clicks with a request_id and clicks without one."""
    of_service = F.col("source") == "service_logs"
    keyed = joins.keyed_matches(page_views.where(of_service), clicks)
    without_request = clicks.where(F.col("request_id").isNull())
    windowed = joins.windowed_matches(page_views.where(~of_service), without_request, settings.window_seconds)
    return keyed.unionByName(windowed)


def _health(tables: Tables, settings: JoinSettings):
    matches = tables.read(CLICK_MATCHES)
    keyed = matches.where(F.col("join_method") == "keyed")
    compared = crosscheck.agreement(tables.read(PAGE_VIEWS), tables.read(CLICKS), keyed, settings.window_seconds)
    return union_all(
        [
            health.page_view_measures(tables.read(LABELLED_PAGE_VIEWS)),
            health.click_measures(matches, settings.menu_length),
            health.reduction_measures(tables.read(REDUCTIONS)),
            health.quarantine_measures(tables.read(QUARANTINE)),
            health.agreement_measures(compared),
        ]
    )


def _result(tables: Tables) -> JoinResult:
    """Sums over days of the measures of both joins; a few dozen records a day."""
    sums: dict[str, float] = collections.defaultdict(float)
    for row in tables.read(JOIN_HEALTH).where(F.col("join_method") == "all").collect():
        sums[row.measure] += row.value or 0.0
    disagreeing = sum(sums[f"disagreement_{cause}"] for cause in crosscheck.CAUSES)
    clicks, matched = sums["clicks"], sums["clicks_matched"]
    compared = sums["agreement_page_views"]
    return JoinResult(
        page_views=int(sums["page_views"]),
        page_views_with_click=int(sums["page_views_with_click"]),
        clicks=int(clicks),
        clicks_matched=int(matched),
        match_rate=matched / clicks if clicks else None,
        unmatched={reason: int(sums[f"unmatched_{reason}"]) for reason in joins.REASONS},
        agreement=1 - disagreeing / compared if compared else None,
    )
