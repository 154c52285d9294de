"""A model that reads what was shown before: prepared, trained, exported, evaluated, monitored, and ranking pages."""

import dataclasses
import random

import numpy as np
import pytest
from pyspark.sql import functions as F

from pagerec_dbx.config import settings_from
from pagerec_dbx.errors import MissingTableError, SnapshotError
from pagerec_dbx.features.preparation import latest_preparation
from pagerec_dbx.features.snapshot import open_snapshot, read_batches
from pagerec_dbx.features.vocabulary import read_vocabulary
from pagerec_dbx.home import open_home
from pagerec_dbx.models import build as models
from pagerec_dbx.pipelines.cuts import HOLDOUT
from pagerec_dbx.schemas import CLICK_MATCHES, EVALUATIONS, LABELLED_PAGE_VIEWS, PAGE_VIEWS, RANKED_MENUS, SHOWN
from pagerec_dbx.stages.export import export
from pagerec_dbx.stages.judge import evaluate_version
from pagerec_dbx.stages.monitor import monitor_version
from pagerec_dbx.stages.prepare import prepare
from pagerec_dbx.stages.rank import rank_page
from pagerec_dbx.stages.score import score_version
from pagerec_dbx.stages.shown_before import require_shown, with_shown_fields
from pagerec_dbx.stages.train import job_of, sound_run
from pagerec_dbx.tables import Tables
from pagerec_dbx.training.job import OneRank
from pagerec_dbx.training.loop import fit
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


@pytest.fixture(scope="module")
def bench(spark, tmp_path_factory) -> Workbench:
    """A home with one version of a model that reads what was shown before."""
    bench = Workbench(open_home(str(tmp_path_factory.mktemp("shown") / "home")), settings_from(SETTINGS))
    write(bench.tables, world())
    prepare(bench.tables, bench.settings.prepare, MONDAY)
    preparation, run = sound_run(bench.tables, "two_tower_softmax", 1, bench.settings)
    run = dataclasses.replace(run, run_id=bench.registry.start_run("by hand", {}, {}, {}))
    job = job_of(bench.home, preparation, run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models._MODELS, "two_tower_softmax", ReadsShown)
        result = fit(job, OneRank(), print)
        export(bench.tables, bench.registry, job, run.run_id, preparation, result)
    return bench


@pytest.fixture(scope="module")
def ranker(bench):
    return bench.registry.load("1")


@pytest.fixture(scope="module")
def scored(bench) -> dict[int, dict[str, float]]:
    """page_view_id -> row -> score, as `score` has ranked all page views."""
    score_version(bench, "1")
    records = bench.tables.read(RANKED_MENUS).collect()
    return {record["page_view_id"]: dict(map(tuple, record["ranked"])) for record in records}


def holdout_of(bench) -> dict[str, np.ndarray]:
    """The records of its snapshot, whole."""
    batches = list(read_batches(open_snapshot(latest_preparation(bench.tables).folder(bench.home, HOLDOUT)), 1_000))
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def test_the_preparation_s_length_is_the_model_s_and_the_signature_names_the_fields(bench, ranker):
    assert latest_preparation(bench.tables).shown_length == ranker.config.shown_length == 12
    signature = bench.registry.signature("1")
    assert all(f"'{name}'" in signature for name in SHOWN)


def test_score_gives_a_holdout_page_view_the_fields_of_its_example(bench, ranker, scored):
    """The model's scores of the snapshot's ids, by the names of the rows, are those that `score` has made."""
    records = holdout_of(bench)
    names = ["", "?", *read_vocabulary(bench.tables, 1, "rows")]
    wanted = ranker.menu_scores(records)
    for number, menu, scores in zip(records["page_view_id"].tolist(), records["menu"], wanted, strict=True):
        found = [scored[number][names[row]] for row in menu]
        np.testing.assert_allclose(found, scores, atol=1e-5)
    blank = {name: np.zeros_like(records[name]) for name in SHOWN}
    without_clicks = {"shown_clicked": blank["shown_clicked"]}
    for fault in (blank, without_clicks):  # control: without the fields, or their clicks, the scores are others
        others = ranker.menu_scores(records | fault)
        assert (np.abs(others - wanted).max(axis=1) > 1e-2).mean() > 0.25


def test_a_request_is_ranked_as_a_page_view_of_a_new_viewer(bench, ranker, scored):
    seen, first = set(), []
    for view in world():
        if view["user_hash"] not in seen:
            first.append(view)
        seen.add(view["user_hash"])
    for view in first:
        line = {"timestamp": view["served_at"].isoformat(), "device": "tv", "location": "NO"}
        answer = rank_page(ranker, line | {"candidates": [{"row_id": row[0]} for row in view["menu"]]})
        found = {row["row_id"]: row["score"] for row in answer["ranked"]}
        assert found == pytest.approx(scored[view["page_view_id"]], abs=1e-5)


def test_monitor_judges_a_day_as_evaluate_does(bench):
    """One reads raw page views, the other the snapshot's ids."""
    evaluate_version(bench, "1")
    records = holdout_of(bench)
    last = records["day"].max()
    ids = set(records["page_view_id"][records["day"] == last].tolist())
    mine = bench.tables.read(EVALUATIONS).where("protocol = 'menu' AND version = '1'").collect()
    ndcg = np.mean([record["ndcg"] for record in mine if record["page_view_id"] in ids])
    measures = {measure.measure: measure.value for measure in monitor_version(bench, version="1").measures}
    assert measures["ndcg"] == pytest.approx(ndcg, abs=1e-6)


def test_a_holdout_with_fewer_rows_than_a_version_reads_is_refused(bench):
    preparation = latest_preparation(bench.tables)
    require_shown("1", 12, preparation)  # control: as many
    require_shown("1", 0, dataclasses.replace(preparation, shown_length=5))  # and a version that reads none
    with pytest.raises(SnapshotError, match="fewer rows shown before than version 1 reads: wanted at least 12, got 5"):
        require_shown("1", 12, dataclasses.replace(preparation, shown_length=5))


def test_without_join_a_version_that_reads_them_is_refused(tables, spark):
    views = labelled_page_views(spark, world()[:1])
    assert with_shown_fields(tables, views, 0) is views  # one that reads none needs no join
    with pytest.raises(MissingTableError, match="`labelled_page_views` does not exist"):
        with_shown_fields(tables, views, 12)
