"""The stage `baselines`: fitted before the holdout of the latest preparation and measured on it -> `evaluations`."""

import dataclasses
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.baselines.protocol import Baseline, Fitted, Past
from pagerec_dbx.baselines.views import clicks_of, page_views_of
from pagerec_dbx.config import JudgeSettings
from pagerec_dbx.evaluation.baselines import FLOORS, all_floors, row_counts
from pagerec_dbx.evaluation.entries import FIGURES
from pagerec_dbx.evaluation.looks import Looks, looks_at, note_look
from pagerec_dbx.evaluation.offline import SCORES, evaluate_floors, evaluate_scores
from pagerec_dbx.evaluation.pages import holdout_pages, read_truth, with_truth
from pagerec_dbx.evaluation.protocols import BASELINE_PREFIX, METRICS, PROTOCOLS, SPLIT
from pagerec_dbx.features.leases import reading
from pagerec_dbx.features.preparation import Preparation, latest_preparation
from pagerec_dbx.features.snapshot import open_snapshot
from pagerec_dbx.home import is_simulated
from pagerec_dbx.pipelines.cuts import at_or_after
from pagerec_dbx.pipelines.gold import has_click
from pagerec_dbx.pipelines.shown import Shown, with_shown
from pagerec_dbx.progress import say, watch_spark
from pagerec_dbx.registry.runs import Runs
from pagerec_dbx.schemas import CLICK_MATCHES, EVALUATIONS, EXAMPLES, LABELLED_PAGE_VIEWS, ROWS, SHOWN
from pagerec_dbx.stages.conditions import judged_records
from pagerec_dbx.stages.floor_records import with_known_expected
from pagerec_dbx.tables import Tables
from pagerec_dbx.workers import worker_errors

_SHOWN_ROWS = 100  # of the page views before, as many as are looked back on


@dataclasses.dataclass(frozen=True)
class Measured:
    """Means over the page views of the holdout under one protocol; every page view weighs alike."""

    name: str  # `baseline:als`, `floor:random`, ...
    protocol: str
    pages: int
    viewers: int
    metrics: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class BaselinesResult:
    """What `pagerec baselines` answers: those asked for, and the floors beside them."""

    holdout: str
    simulated: bool
    measured: tuple[Measured, ...]
    runs: Mapping[str, str]  # of those that were trained: name -> run id
    seconds: Mapping[str, float]  # of each, to fit and to measure it
    looks: Looks  # at this holdout so far, these among them

    def to_json(self) -> dict:
        return {**dataclasses.asdict(self), "split": SPLIT}

    def to_text(self) -> str:
        """A table for each protocol, the best of `ndcg` first."""
        simulated = ", SIMULATED" if self.simulated else ""
        lines = []
        for protocol in PROTOCOLS:
            mine = [one for one in self.measured if one.protocol == protocol]
            mine.sort(key=lambda one: -one.metrics["ndcg"])
            if mine:
                count = f"{mine[0].pages:,} page views of {mine[0].viewers:,} viewers"
                lines.append(f"{protocol} protocol, {SPLIT}: {count}{simulated}")
                lines.append(f"  {'':<32}" + "".join(f"{name:>17}" for name in METRICS))
                lines += [_line(one) for one in mine]
        return "\n".join([*lines, self.looks.to_text()])


def _line(one: Measured) -> str:
    return f"  {one.name:<32}" + "".join(f"{one.metrics[name]:>17.4f}" for name in METRICS)


@dataclasses.dataclass(frozen=True)
class _Ground:
    """What all baselines of one call share."""

    preparation: Preparation
    inputs: Mapping[str, int]  # Delta tables read, with the version
    past: Past
    asked: DataFrame  # the page views of the holdout, as `page_views_of`
    clicks: DataFrame  # all of the log
    pages: DataFrame  # the page views of the holdout, as `holdout_pages`


def baselines(
    tables: Tables, runs: Runs, chosen: Mapping[str, Baseline], settings: JudgeSettings, truth: Path | None = None
) -> BaselinesResult:
    """Fit baselines on all page views before the holdout, validation included, and measure them on the holdout.

    Their earlier records on it are replaced; whoever compares afterwards has them beside the floors. The floors are
    measured too.

    Args:
        chosen: by name, without `baseline:`; as `require_baselines` gives them.
        truth: LOGS/truth of a simulated world, for expected figures.

    Raises:
        MissingTableError: nothing was prepared. NoExamplesError: there is nothing before the holdout.
        SnapshotError: the holdout is damaged. ScoresError: a score is NaN; the page view is named.
    """
    preparation = latest_preparation(tables)
    holdout = open_snapshot(preparation.folder(tables.home, SPLIT))
    run_ids: dict[str, str] = {}
    seconds: dict[str, float] = {}
    with reading(holdout.folder), worker_errors():
        ground = _ground(tables, preparation, settings, truth)
        try:
            with watch_spark(tables.spark, "floors"):
                _measure_floors(tables, ground, settings)
            for name, baseline in chosen.items():
                started = time.monotonic()
                note_look(tables, preparation.holdout, f"{BASELINE_PREFIX}{name}")
                with watch_spark(tables.spark, f"baseline {name}"):
                    run_id = _fit_and_measure(tables, runs, ground, name, baseline)
                seconds[f"{BASELINE_PREFIX}{name}"] = round(time.monotonic() - started, 1)
                run_ids |= {f"{BASELINE_PREFIX}{name}": run_id} if run_id else {}
        finally:
            ground.past.clicks.unpersist()
            ground.clicks.unpersist()
        everybody = [*(f"{BASELINE_PREFIX}{name}" for name in chosen), *FLOORS]
        measured = tuple(_means(tables, preparation.holdout, everybody))
    looks = looks_at(tables, preparation.holdout)
    return BaselinesResult(preparation.holdout, is_simulated(tables.home), measured, run_ids, seconds, looks)


def _ground(tables: Tables, preparation: Preparation, settings: JudgeSettings, truth: Path | None) -> _Ground:
    labelled = tables.read(LABELLED_PAGE_VIEWS, preparation.labelled_version)
    inputs = {LABELLED_PAGE_VIEWS.name: preparation.labelled_version, EXAMPLES.name: preparation.examples_version}
    newest = {table.name: tables.version(table) for table in (CLICK_MATCHES, ROWS) if tables.exists(table)}
    matches = tables.read_or_empty(CLICK_MATCHES, newest.get(CLICK_MATCHES.name))
    in_holdout = at_or_after(preparation.cuts.holdout)
    before, later = labelled.where(~in_holdout), labelled.where(in_holdout)
    clicks = clicks_of(labelled, matches)
    past = Past(
        page_views=page_views_of(before),
        clicks=clicks_of(before, matches).persist(),  # every baseline reads them more than once
        row_attributes=tables.read_or_empty(ROWS, newest.get(ROWS.name)),
        shown=with_shown(labelled, Shown(_SHOWN_ROWS, matches)).select("page_view_id", *SHOWN),
        smoothing=settings.popularity_smoothing,
        seed=settings.seed,
    )
    examples = tables.read(EXAMPLES, preparation.examples_version).where(in_holdout)
    if truth is not None:
        examples = with_truth(examples, read_truth(tables.spark, truth))
    pages = holdout_pages(tables.spark, open_snapshot(preparation.folder(tables.home, SPLIT)), examples)
    return _Ground(preparation, inputs | newest, past, page_views_of(later.where(has_click())), clicks.persist(), pages)


def _measure_floors(tables: Tables, ground: _Ground, settings: JudgeSettings) -> None:
    """Anew each time: those that are stored may have another smoothing, or no expected figures.

    Where they have them and are the same, they keep them.
    """
    condition = judged_records(ground.preparation.holdout, FLOORS)
    floors = all_floors(row_counts(ground.past.page_views, "menu"), settings.popularity_smoothing)
    records = evaluate_floors(ground.pages, floors, ground.preparation.holdout)
    tables.replace_where(EVALUATIONS, with_known_expected(tables, records, ground.preparation.holdout), condition)


def _fit_and_measure(tables: Tables, runs: Runs, ground: _Ground, name: str, baseline: Baseline) -> str | None:
    """The id of the run of one that is trained, else None."""
    if not baseline.trained:
        _measure(tables, ground, name, baseline.fit(ground.past))
        return None
    run_id = _start_run(runs, ground, name, baseline)
    try:
        fitted = baseline.fit(ground.past)
        _measure(tables, ground, name, fitted)
        with tempfile.TemporaryDirectory() as folder:
            fitted.save(Path(folder))
            for file in sorted(Path(folder).iterdir()):
                runs.log_run_file(run_id, file, "baseline")
        runs.log_run_metrics(run_id, {**fitted.figures, **_of_run(tables, ground.preparation.holdout, name)})
    except BaseException:
        runs.end_run(run_id, succeeded=False)
        raise
    runs.end_run(run_id, succeeded=True)
    return run_id


def _start_run(runs: Runs, ground: _Ground, name: str, baseline: Baseline) -> str:
    preparation = ground.preparation
    say(f"  {BASELINE_PREFIX}{name} is trained in a run of its own")
    return runs.start_run(
        f"{BASELINE_PREFIX}{name} on {preparation.preparation_id}",
        {
            "baseline": name,
            **baseline.parameters,
            "popularity_smoothing": ground.past.smoothing,
            "seed": ground.past.seed,
            "preparation": preparation.preparation_id,
            "holdout_start": preparation.cuts.holdout.as_json(),
        },
        {"role": "baseline", "simulated": str(is_simulated(runs.home)).lower()},
        ground.inputs,
    )


def _measure(tables: Tables, ground: _Ground, name: str, fitted: Fitted) -> None:
    """Score the holdout where it lies and replace the baseline's records on it."""
    scores = fitted.scores(ground.asked.drop("clicked"), ground.clicks).select("page_view_id", SCORES)
    scored = ground.pages.join(scores, "page_view_id", how="left")
    holdout, who = ground.preparation.holdout, f"{BASELINE_PREFIX}{name}"
    tables.replace_where(EVALUATIONS, evaluate_scores(scored, who, holdout), judged_records(holdout, (who,)))


def _of_run(tables: Tables, holdout: str, name: str) -> dict[str, float]:
    """The figures by names for the run, as those of versions: `holdout.menu.ndcg`, ..."""
    measured = _means(tables, holdout, [f"{BASELINE_PREFIX}{name}"])
    return {
        f"{SPLIT}.{one.protocol}.{figure}": value
        for one in measured
        for figure, value in {"pages": one.pages, **one.metrics}.items()
    }


def _means(tables: Tables, holdout: str, names: Sequence[str]) -> Iterator[Measured]:
    """Everybody's means by protocol, `menu` first."""
    means = tables.read(EVALUATIONS).where(judged_records(holdout, names)).groupBy("version", "protocol")
    counts = (F.count("*").alias("pages"), F.countDistinct("user_hash").alias("viewers"))
    records = means.agg(*counts, *(F.avg(name).alias(name) for name in FIGURES)).collect()  # some dozen
    for record in sorted(records, key=lambda one: (PROTOCOLS.index(one["protocol"]), one["version"])):
        figures = {name: record[name] for name in FIGURES if record[name] is not None}
        yield Measured(record["version"], record["protocol"], record["pages"], record["viewers"], figures)
