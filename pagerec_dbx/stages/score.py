"""Stage `score`: the champion, or a version by name, ranks the page views of a time range."""

import dataclasses
import datetime as dt

from pyspark.sql import functions as F

from pagerec_dbx.config import parse_time
from pagerec_dbx.errors import SettingError, UsageError
from pagerec_dbx.progress import watch_spark
from pagerec_dbx.schemas import PAGE_VIEWS, RANKED_MENUS
from pagerec_dbx.scoring.batch import Loader, ranked_menus
from pagerec_dbx.stages.conditions import sql_text
from pagerec_dbx.stages.grounds import resolve, serving
from pagerec_dbx.stages.ranker_loader import broadcast_ranker
from pagerec_dbx.stages.shown_before import with_shown_fields
from pagerec_dbx.tables import Tables
from pagerec_dbx.workbench import Workbench
from pagerec_dbx.workers import worker_errors

Moment = dt.date | dt.datetime


@dataclasses.dataclass(frozen=True)
class ScoreResult:
    """What `pagerec score` wrote."""

    version: str
    page_views: int


def score_version(bench: Workbench, version: str, from_: str | None = None, to: str | None = None) -> ScoreResult:
    """Rank stored page views with a registered version.

    Args:
        from_: ISO 8601 time of the first page view; None for no limit.
        to: ISO 8601 time before which page views are ranked; None for no limit.

    Raises:
        UsageError: no such time, or an empty range.
        UnknownVersionError: no such version, or nobody serves.
    """
    begin, end = (None if text is None else _moment(name, text) for name, text in (("--from", from_), ("--to", to)))
    serving(bench)  # aliases may have stayed behind in a crash
    load = broadcast_ranker(bench.tables, bench.registry, resolve(bench, version))
    return score(bench.tables, load.version, load, begin, end, load.shown_length)


def _moment(name: str, text: str) -> dt.datetime:
    try:
        return parse_time(name, text)
    except SettingError as error:
        raise UsageError(f"{name} is no time", wanted=error.wanted, got=error.got) from error


def score(
    tables: Tables,
    version: str,
    load: Loader,
    from_: Moment | None = None,
    to: Moment | None = None,
    shown_length: int = 0,
) -> ScoreResult:
    """Rank the page views served in [from_, to) into `ranked_menus`, in place of this version's earlier rankings there.

    Args:
        tables: of the home.
        version: written beside each ranking.
        load: gives the version's ranker; picklable, called once in each worker process.
        from_: first moment, UTC where it has no offset; a date is its first moment; None for no limit.
        to: the first moment no longer included.
        shown_length: rows shown before that the ranker reads with each page view.

    Raises:
        UsageError: the range ends before it begins.
        MissingTableError: nothing was ingested yet; or the ranker reads what was shown before and `join` has not run.
        ScoresError: the model's scores of a page cannot be ranked.
    """
    begin, end = _instant(from_), _instant(to)
    if begin is not None and end is not None and begin >= end:
        raise UsageError(
            "the time range is empty", wanted="--from before --to", got=f"--from {begin} --to {end}", fix="Swap them"
        )
    views = tables.read(PAGE_VIEWS)
    views = views if begin is None else views.where(F.col("served_at") >= F.lit(begin))
    views = views if end is None else views.where(F.col("served_at") < F.lit(end))
    views = with_shown_fields(tables, views, shown_length, None if end is None else end.date())
    # Of each day one task writes one file, unless the day is too large for one: then it is divided.
    rebalanced = "SELECT /*+ REBALANCE(day) */ * FROM {ranked}"
    ranked = tables.spark.sql(rebalanced, ranked=ranked_menus(views, version, load))
    written = _condition(version, begin, end)
    with worker_errors(), watch_spark(tables.spark, "score"):
        tables.replace_where(RANKED_MENUS, ranked, written)
    return ScoreResult(version, tables.read(RANKED_MENUS).where(written).count())


def _instant(moment: Moment | None) -> dt.datetime | None:
    """A date's first moment; a time without an offset is UTC."""
    return None if moment is None else parse_time("from", moment)


def _condition(version: str, begin: dt.datetime | None, end: dt.datetime | None) -> str:
    """The records that the run replaces, as SQL; with `day`, so that Delta reads no other partitions."""
    parts = [f"version = {sql_text(version)}"]
    if begin is not None:
        parts += [f"served_at >= TIMESTAMP '{begin.isoformat()}'", f"day >= DATE '{begin.date()}'"]
    if end is not None:
        parts += [f"served_at < TIMESTAMP '{end.isoformat()}'", f"day <= DATE '{end.date()}'"]
    return " AND ".join(parts)
