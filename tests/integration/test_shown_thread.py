"""A model that reads what was shown before: prepared, trained, exported, evaluated, monitored, and ranking pages."""

import contextlib
import dataclasses
import functools
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from pagerec_dbx.config import settings_from
from pagerec_dbx.errors import MissingTableError, SnapshotError
from pagerec_dbx.evaluation.offline import needed
from pagerec_dbx.evaluation.pages import holdout_pages, pages_from_arrow
from pagerec_dbx.features.preparation import Preparation
from pagerec_dbx.features.snapshot import open_snapshot, read_batches
from pagerec_dbx.features.vocabulary import load_vocabulary, read_vocabulary
from pagerec_dbx.home import open_home
from pagerec_dbx.models import build as models
from pagerec_dbx.models.build import build
from pagerec_dbx.models.export import Ranker, pack_ranker, save_ranker, unpack_ranker
from pagerec_dbx.pipelines.cuts import HOLDOUT, VALIDATION
from pagerec_dbx.schemas import (
    CLICK_MATCHES,
    EVALUATIONS,
    EXAMPLES,
    LABELLED_PAGE_VIEWS,
    PAGE_VIEWS,
    RANKED_MENUS,
    SHOWN,
)
from pagerec_dbx.stages.export import export, require_equal_scores
from pagerec_dbx.stages.judge import evaluate_version
from pagerec_dbx.stages.monitor import monitor_version
from pagerec_dbx.stages.prepare import prepare
from pagerec_dbx.stages.rank import rank_page
from pagerec_dbx.stages.score import score, score_version
from pagerec_dbx.stages.shown_before import require_shown, with_shown_fields
from pagerec_dbx.stages.train import job_of, sound_run
from pagerec_dbx.tables import Tables
from pagerec_dbx.training.job import OneRank, TrainingJob, TrainingResult
from pagerec_dbx.training.loop import fit
from pagerec_dbx.training.weights import load_weights
from pagerec_dbx.workbench import Workbench
from tests.page_views import MONDAY, labelled_page_views
from tests.reads_shown import ReadsShown
from tests.shown_world import clicks_of, shown

ROWS = [f"row {number}" for number in range(12)]
SETTINGS = {
    "shown_length": 12, "history_length": 4, "epochs": 1, "batch_size": 32, "embedding_size": 4, "hidden_sizes": (8,),
    "resamples": 100, "learning_rate": 0.01,
}  # fmt: skip


def world() -> list[dict]:
    """480 page views of 20 viewers, one every ten minutes; a third of the clicks come after the next page view."""
    chance = random.Random(1)
    views = []
    for number in range(480):
        rows = chance.sample(ROWS, 8)
        clicks = [(row, 600 * number + chance.choice([5, 60, 20_000])) for row in chance.choices(rows, k=number % 3)]
        views.append(shown(number, 600 * number, rows, *clicks, user_hash=f"viewer {chance.randrange(20)}"))
    return views


def write(tables: Tables, views: list[dict]) -> None:
    """The tables that `ingest` and `join` leave, as far as they are read here."""
    labelled = labelled_page_views(tables.spark, views)
    tables.replace(LABELLED_PAGE_VIEWS, labelled)
    counts = {"late_titles": F.lit(0), "records": F.lit(1).cast("bigint")}
    tables.replace(PAGE_VIEWS, labelled.withColumns(counts))
    clicks = clicks_of(tables.spark, views).where("page_view_id IS NOT NULL")
    days = labelled.select("page_view_id", "day", "served_at")
    others = {"click_id": F.xxhash64("page_view_id", "row_id", "clicked_at"), "join_method": F.lit("keyed")}
    others |= {"position": F.lit(None).cast("int"), "reason": F.lit(None).cast("string")}
    tables.replace(CLICK_MATCHES, clicks.join(days, "page_view_id").withColumns(others))


@dataclasses.dataclass(frozen=True)
class Trained:
    """A home, and the training of a model that reads what was shown before."""

    bench: Workbench
    preparation: Preparation
    job: TrainingJob
    result: TrainingResult
    model: ReadsShown
    ranker: Ranker
    folder: Path  # of the exported model


@pytest.fixture(scope="module")
def trained(spark, tmp_path_factory) -> Trained:
    bench = Workbench(open_home(str(tmp_path_factory.mktemp("shown") / "home")), settings_from(SETTINGS))
    write(bench.tables, world())
    prepare(bench.tables, bench.settings.prepare, MONDAY)
    preparation, run = sound_run(bench.tables, "two_tower_softmax", 1, bench.settings)
    job, folder = job_of(bench.home, preparation, run), tmp_path_factory.mktemp("ranker") / "ranker"
    with reading_model():
        result, model = fit(job, OneRank(), print), build(job.config, seed=99)
    load_weights(model, job.weights_file)
    ranker = save_ranker(model, job.config, load_vocabulary(bench.tables, 1).tokens, folder)
    return Trained(bench, preparation, job, result, model, ranker, folder)


@contextlib.contextmanager
def reading_model():
    """As if `two_tower_softmax` read what was shown before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models._MODELS, "two_tower_softmax", ReadsShown)
        yield


@pytest.fixture(scope="module")
def scored(trained) -> dict[int, dict[str, float]]:
    """page_view_id -> row -> score, as `score` has ranked all page views with the model as it was exported."""
    load = functools.partial(unpack_ranker, pack_ranker(trained.folder), "1")
    score(trained.bench.tables, "1", load, shown_length=trained.job.config.shown_length)
    records = trained.bench.tables.read(RANKED_MENUS).collect()
    return {record["page_view_id"]: dict(map(tuple, record["ranked"])) for record in records}


def holdout_of(trained) -> dict[str, np.ndarray]:
    """The records of its snapshot, whole."""
    batches = list(read_batches(open_snapshot(trained.preparation.folder(trained.bench.home, HOLDOUT)), 1_000))
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def test_it_learns_from_the_fields_and_scores_the_same_once_exported(trained):
    assert trained.preparation.shown_length == trained.job.config.shown_length == 12
    before, after = np.array([0.5, 0.25, -2.0, 0.1]), trained.model.of_shown.numpy()
    assert (np.abs(after - before) > 1e-4).all()  # the fields of the stream have moved all four weights
    validation = open_snapshot(trained.preparation.folder(trained.bench.home, VALIDATION))
    require_equal_scores(trained.ranker, validation, trained.folder)  # to 1e-6, of ids
    record = next(read_batches(validation, 64))
    wanted = trained.model.menu_scores({name: values.astype(np.int32) for name, values in record.items()}).numpy()
    offered = record["menu"] > 0
    np.testing.assert_allclose(trained.ranker.menu_scores(record)[offered], wanted[offered], atol=1e-6)


def test_score_gives_a_holdout_page_view_the_fields_of_its_example(trained, scored):
    """The model's scores of the snapshot's ids, by the names of the rows, are those that `score` has made."""
    records = holdout_of(trained)
    names = ["", "?", *read_vocabulary(trained.bench.tables, 1, "rows")]
    wanted = trained.ranker.menu_scores(records)
    for number, menu, scores in zip(records["page_view_id"].tolist(), records["menu"], wanted, strict=True):
        np.testing.assert_allclose([scored[number][names[row]] for row in menu], scores, atol=1e-5)
    blank = {name: np.zeros_like(records[name]) for name in SHOWN}
    for fault in (blank, {"shown_clicked": blank["shown_clicked"]}):
        others = trained.ranker.menu_scores(records | fault)  # control: without the fields, or their clicks
        assert (np.abs(others - wanted).max(axis=1) > 1e-2).mean() > 0.25


def test_evaluation_reads_the_fields_of_the_holdout(trained):
    tables = trained.bench.tables
    holdout = open_snapshot(trained.preparation.folder(tables.home, HOLDOUT))
    pages = holdout_pages(tables.spark, holdout, tables.read(EXAMPLES))
    lines = [line.asDict() for line in pages.select(*needed(pages)).orderBy("page_view_id").collect()]
    found = pages_from_arrow(pa.RecordBatch.from_pylist(lines)).record
    records = holdout_of(trained)
    order = np.argsort(records["page_view_id"])
    for name in SHOWN:
        np.testing.assert_array_equal(found[name], records[name][order])
    assert records["shown_row"].any(axis=1).mean() > 0.9  # the control: they are not empty


def test_a_request_is_ranked_as_a_page_view_of_a_new_viewer(trained, scored):
    seen, first = set(), []
    for view in world():
        if view["user_hash"] not in seen:
            first.append(view)
        seen.add(view["user_hash"])
    for view in first:
        line = {"timestamp": view["served_at"].isoformat(), "device": "tv", "location": "NO"}
        answer = rank_page(trained.ranker, line | {"candidates": [{"row_id": row[0]} for row in view["menu"]]})
        found = {row["row_id"]: row["score"] for row in answer["ranked"]}
        assert found == pytest.approx(scored[view["page_view_id"]], abs=1e-5)


@pytest.mark.slow
def test_a_registered_version_is_evaluated_monitored_and_scores_alike(trained, scored):
    """`monitor` reads raw page views and `evaluate` the snapshot's ids, and their figures are the same."""
    bench, registry = trained.bench, trained.bench.registry
    with reading_model():
        run_id = registry.start_run("by hand", {}, {}, {})
        assert export(bench.tables, registry, trained.job, run_id, trained.preparation, trained.result) == "1"
    assert all(f"'{name}'" in registry.signature("1") for name in SHOWN)
    assert score_version(bench, "1").page_views == len(scored)
    records = bench.tables.read(RANKED_MENUS).collect()
    again = {record["page_view_id"]: dict(map(tuple, record["ranked"])) for record in records}
    assert all(again[number] == pytest.approx(scored[number], abs=1e-6) for number in scored)

    evaluate_version(bench, "1")
    holdout = holdout_of(trained)
    last = set(holdout["page_view_id"][holdout["day"] == holdout["day"].max()].tolist())
    mine = bench.tables.read(EVALUATIONS).where("protocol = 'menu' AND version = '1'").collect()
    ndcg = np.mean([record["ndcg"] for record in mine if record["page_view_id"] in last])
    measures = {measure.measure: measure.value for measure in monitor_version(bench, version="1").measures}
    assert measures["ndcg"] == pytest.approx(ndcg, abs=1e-6)


def test_a_holdout_with_fewer_rows_than_a_version_reads_is_refused(trained):
    preparation = trained.preparation
    require_shown("1", 12, preparation)  # control: as many
    require_shown("1", 0, dataclasses.replace(preparation, shown_length=5))  # and a version that reads none
    with pytest.raises(SnapshotError, match="fewer rows shown before than version 1 reads: wanted at least 12, got 5"):
        require_shown("1", 12, dataclasses.replace(preparation, shown_length=5))


def test_without_join_a_version_that_reads_them_is_refused(tables, spark):
    views = labelled_page_views(spark, world()[:1])
    assert with_shown_fields(tables, views, 0) is views  # one that reads none needs no join
    with pytest.raises(MissingTableError, match="`labelled_page_views` does not exist"):
        with_shown_fields(tables, views, 12)
