"""The stage `monitor`: a day of labelled page views against the training days of the version that serves."""

import dataclasses
import datetime as dt

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.config import JudgeSettings, MonitorSettings
from pagerec_dbx.errors import MissingTableError, NoExamplesError, OverlapError, RegistryError
from pagerec_dbx.evaluation.baselines import popularity_floor, row_counts
from pagerec_dbx.features.preparation import Preparation, preparations
from pagerec_dbx.features.vocabulary import load_vocabulary
from pagerec_dbx.home import is_simulated
from pagerec_dbx.monitoring.distributions import DAY, TRAINING, distributions
from pagerec_dbx.monitoring.limits import Sample, figure_measures, limit_of, psi_measure
from pagerec_dbx.monitoring.result import MonitorResult
from pagerec_dbx.monitoring.scored import SCORES, day_figures, sampled, score_distribution, scored
from pagerec_dbx.pipelines.cuts import TRAIN, at_or_after, keep_split
from pagerec_dbx.progress import watch_spark
from pagerec_dbx.registry.versions import CHAMPION
from pagerec_dbx.schemas import DRIFT, LABELLED_PAGE_VIEWS
from pagerec_dbx.scoring.batch import Loader
from pagerec_dbx.stages.conditions import sql_text
from pagerec_dbx.stages.grounds import resolve, serving
from pagerec_dbx.stages.ranker_loader import broadcast_ranker
from pagerec_dbx.stages.shown_before import with_shown_fields
from pagerec_dbx.tables import Tables, spark_schema, union_all
from pagerec_dbx.workbench import Workbench
from pagerec_dbx.workers import worker_errors


@dataclasses.dataclass(frozen=True)
class Compared:
    """The page views that are held against each other, records of `labelled_page_views`."""

    day: dt.date
    training: DataFrame  # before the validation cut
    later: DataFrame  # of the day; none that the version was trained or validated on
    before: DataFrame  # all before the first of these: what popularity is counted on
    training_page_views: int
    page_views: int
    viewers: int
    left_out: int  # page views of the day that the version was trained or validated on


def monitor_version(bench: Workbench, day: dt.date | None = None, version: str | None = None) -> MonitorResult:
    """Hold a day against the training days of a registered version, by itself the champion; stored in `drift`.

    Args:
        day: UTC; the newest of `labelled_page_views` unless given.
        version: number or alias.

    Raises:
        UnknownVersionError: no such version, or nobody serves.
        RegistryError, MissingTableError: it is not known on which days the version was trained.
        NoExamplesError, OverlapError: see `compared_page_views`.
    """
    serving(bench)  # aliases may have stayed behind in a crash
    known = bench.registry.version(resolve(bench, version or CHAMPION))
    preparation = _preparation_of(bench.tables, known.version, known.tags)
    with watch_spark(bench.tables.spark, "monitor"):
        compared = compared_page_views(bench.tables, known.version, preparation, day)
        load = broadcast_ranker(bench.tables, bench.registry, known.version)
        result = monitor(
            bench.tables, known.version, preparation, compared, load, bench.settings.monitor, bench.settings.judge,
            load.shown_length,
        )  # fmt: skip
        _store(bench.tables, result, bench.now())
    return result


def _preparation_of(tables: Tables, version: str, tags) -> Preparation:
    """The preparation that a version was trained on."""
    name = tags.get("preparation")
    if name is None:
        raise RegistryError(
            f"version {version} does not say what it was trained on", wanted="the tag `preparation`", fix="Train again"
        )
    found = preparations(tables, f"preparation_id = {sql_text(name)}")
    if not found:
        raise MissingTableError(
            f"the preparation {name} of version {version} is not in this home",
            wanted="a record of `preparations` that says which days it was trained on",
            fix="Name a version that was trained here",
        )
    return found[0]


def compared_page_views(tables: Tables, version: str, preparation: Preparation, day: dt.date | None = None) -> Compared:
    """The page views of the version's training days and, of a day, those that the version has not seen.

    Args:
        day: UTC; the newest unless given.

    Raises:
        NoExamplesError: there are no page views of that day, or of the training days.
        OverlapError: the version was trained or validated on all page views of the day.
    """
    labelled = tables.read(LABELLED_PAGE_VIEWS)
    chosen = day or labelled.agg(F.max("day")).first()[0]
    if chosen is None:
        raise NoExamplesError("there are no labelled page views", fix="Ingest logs and run `pagerec join`")
    on_day, unseen = F.col("day") == F.lit(chosen), at_or_after(preparation.cuts.holdout)
    counts = labelled.agg(
        F.count_if(on_day).alias("all"),
        F.count_if(on_day & unseen).alias("page_views"),
        F.countDistinct(F.when(on_day & unseen, F.col("user_hash"))).alias("viewers"),
        F.count_if(~at_or_after(preparation.cuts.validation)).alias("training"),
    ).first()
    _require_later(chosen, version, preparation, counts["all"], counts["page_views"])
    _require_training(counts["training"], version)
    return Compared(
        day=chosen,
        training=keep_split(labelled, preparation.cuts, TRAIN).drop("split"),
        later=labelled.where(on_day & unseen),
        before=labelled.where((F.col("day") <= F.lit(chosen)) & ~(on_day & unseen)),
        training_page_views=counts["training"],
        page_views=counts["page_views"],
        viewers=counts["viewers"],
        left_out=counts["all"] - counts["page_views"],
    )


def _require_later(day: dt.date, version: str, preparation: Preparation, found: int, unseen: int) -> None:
    if found == 0:
        raise NoExamplesError(
            f"there are no labelled page views of {day}", fix="Name another --day, or run `pagerec ingest` and `join`"
        )
    if unseen == 0:
        raise OverlapError(
            f"version {version} was trained or validated on the page views of {day}",
            wanted=f"a day with page views from {preparation.cuts.holdout.served_at.isoformat()} on",
            got=f"{found:,} page views, all before it",
            fix="Name a later --day, or ingest and join later logs",
        )


def _require_training(count: int, version: str) -> None:
    if count == 0:
        raise NoExamplesError(
            f"the page views that version {version} was trained on are no longer in `labelled_page_views`",
            fix="Ingest and join the logs of its training days again, or name another --version",
        )


def monitor(
    tables: Tables,
    version: str,
    preparation: Preparation,
    compared: Compared,
    load: Loader,
    settings: MonitorSettings,
    judge: JudgeSettings,
    shown_length: int = 0,
) -> MonitorResult:
    """Every measure of a day, held against its limit; nothing is stored.

    Args:
        load: gives the version's ranker; picklable, called once in each worker process.
        judge: how popularity is smoothed and how often viewers are resampled.
        shown_length: rows shown before that the ranker reads with each page view.

    Raises:
        ScoresError: the model's scores of a page cannot be ranked.
    """
    vocabulary = load_vocabulary(tables, preparation.vocabulary_version)
    found = distributions(_sides(compared.training, compared.later), vocabulary, settings.monitor_cells)
    sample = Sample(compared.page_views, compared.viewers, compared.training_page_views)
    measures = [psi_measure(name, found[name], sample, limit_of(name, settings)) for name in found]
    floor = popularity_floor(row_counts(compared.before), judge.popularity_smoothing)
    chosen = sampled(compared.training, compared.training_page_views, settings.monitor_sample)
    asked = with_shown_fields(tables, _sides(chosen, compared.later), shown_length, compared.day)
    pages = scored(asked, load, floor).persist()
    try:
        with worker_errors():
            scores = score_distribution(pages)
        sample = dataclasses.replace(sample, training_page_views=pages.where(F.col("side") == TRAINING).count())
        measures.append(psi_measure(SCORES, scores, sample, limit_of(SCORES, settings)))
        figures = day_figures(pages, judge.resamples, judge.seed)
    finally:
        pages.unpersist()
    return MonitorResult(
        day=compared.day,
        version=version,
        simulated=is_simulated(tables.home),
        page_views=compared.page_views,
        viewers=compared.viewers,
        left_out=compared.left_out,
        training_page_views=compared.training_page_views,
        measures=(*measures, *figure_measures(figures, settings.least_gain_over_popularity)),
    )


def _sides(training: DataFrame, later: DataFrame) -> DataFrame:
    """Both with the column `side`."""
    both = {TRAINING: training, DAY: later}
    return union_all(frame.withColumn("side", F.lit(side)) for side, frame in both.items())


def _store(tables: Tables, result: MonitorResult, now: dt.datetime) -> None:
    """In place of what was said of this day and version before."""
    same = {"day": result.day, "version": result.version, "monitored_at": now}
    rows = [dataclasses.asdict(measure) | same for measure in result.measures]
    records = [tuple(row[name] for name in DRIFT.column_names) for row in rows]
    condition = f"day = DATE'{result.day.isoformat()}' AND version = {sql_text(result.version)}"
    tables.replace_where(DRIFT, tables.spark.createDataFrame(records, spark_schema(DRIFT)), condition)
