"""`pagerec baselines` on a holdout judged by hand, and that `compare` takes what it leaves."""

import datetime as dt
import json

import pytest
from pyspark.sql import functions as F

from pagerec_dbx.baselines.catalogue import require_baselines
from pagerec_dbx.config import JudgeSettings
from pagerec_dbx.errors import ScoresError
from pagerec_dbx.evaluation.baselines import FLOORS, POPULARITY
from pagerec_dbx.evaluation.offline import evaluate_scores
from pagerec_dbx.evaluation.pages import holdout_pages
from pagerec_dbx.features.preparation import store_preparation
from pagerec_dbx.features.snapshot import open_snapshot
from pagerec_dbx.home import open_home
from pagerec_dbx.registry.client import client_of
from pagerec_dbx.registry.store import Registry
from pagerec_dbx.schemas import COMPARISONS, EVALUATIONS, EXAMPLES
from pagerec_dbx.stages.baselines import baselines
from pagerec_dbx.stages.compare import Sides, compare, stored_comparison
from pagerec_dbx.stages.evaluate import evaluate
from pagerec_dbx.tables import Tables
from pagerec_dbx.workers import worker_errors
from tests import judging_world as world
from tests.commands import run

NOW = dt.datetime(2024, 1, 3, tzinfo=dt.UTC)
SETTINGS = JudgeSettings(popularity_smoothing=3.0, resamples=200, least_slice_page_views=1)


@pytest.fixture(scope="module")
def bench(spark, tmp_path_factory):
    """The world's tables, measured: first the quick baselines, then all of them again."""
    home = open_home(str(tmp_path_factory.mktemp("baselines") / "home"))
    tables, registry = Tables(spark, home), Registry(home)
    preparation = world.make_world(tables)
    store_preparation(tables, preparation)
    evaluate(tables, "7", preparation, world.ranker_by_id(known=6), world.key_of(13), SETTINGS)
    before = compare(tables, Sides("7"), preparation.holdout, None, SETTINGS, NOW)
    quick = baselines(tables, registry, require_baselines(["recent_click"]), SETTINGS)
    every = baselines(tables, registry, require_baselines([]), SETTINGS)
    return tables, registry, preparation, before, quick, every


def figures(result, name, protocol="menu"):
    (one,) = (one for one in result.measured if (one.name, one.protocol) == (name, protocol))
    return one


def stored(tables, name, protocol="menu"):
    found = tables.read(EVALUATIONS).where((F.col("version") == name) & (F.col("protocol") == protocol))
    return {record["page_view_id"]: record["reciprocal_rank"] for record in found.collect()}


def test_baselines_are_measured_as_versions_and_floors_are(bench):
    tables, *_, every = bench
    # All are one viewer's page views, who clicked a and then NEW before the holdout, b on 1, c on 2, NEW on 3, in this
    # order. 1: a, then c B by popularity; 2: b is not offered: a, then d C; 3: b NEW; 4: NEW, then D a by time: a D.
    assert stored(tables, "baseline:recent_click") == pytest.approx({1: 1 / 3, 2: 1 / 3, 3: 1 / 2, 4: 1})
    mine = figures(every, "baseline:recent_click")
    assert (mine.pages, mine.viewers) == (4, 3)
    assert mine.metrics["reciprocal_rank"] == pytest.approx((1 / 3 + 1 / 3 + 1 / 2 + 1) / 4)
    assert figures(every, "baseline:recent_click", "menu_unpinned").pages == 3
    # No device is known: the same as popularity, under every protocol.
    for protocol in ("menu", "menu_unpinned", "vocabulary"):
        assert stored(tables, "baseline:popularity_by_device", protocol) == stored(tables, POPULARITY, protocol)
    assert "log_loss" not in mine.metrics and "baseline:als" in every.to_text()
    assert json.loads(json.dumps(every.to_json()))["measured"][0]["protocol"] == "menu"


def test_measuring_again_replaces_and_leaves_the_others(bench):
    tables, _, _, _, quick, every = bench
    assert {one.name for one in quick.measured} == {"baseline:recent_click", *FLOORS}
    for one in quick.measured:
        assert one in every.measured
    counts = tables.read(EVALUATIONS).groupBy("version").count().collect()
    assert {one["count"] for one in counts if one["version"].startswith("baseline:")} == {4 + 3 + 4}
    assert len(counts) == 1 + 3 + 7


def test_trained_baselines_are_runs_and_none_is_registered(bench):
    _, registry, preparation, *_, every = bench
    assert set(every.runs) == {f"baseline:{name}" for name in ("als", "co_click_knn", "lambdamart", "lambdamart_shown")}
    client = client_of(registry.tracking_uri, registry.registry_uri)
    for name, run_id in every.runs.items():
        kept = client.get_run(run_id)
        assert (kept.info.status, kept.data.params["baseline"]) == ("FINISHED", name.removeprefix("baseline:"))
        assert kept.data.params["preparation"] == preparation.preparation_id
        assert kept.data.metrics["holdout.menu.ndcg"] == pytest.approx(figures(every, name).metrics["ndcg"])
        assert {one.dataset.name for one in kept.inputs.dataset_inputs} == {"labelled_page_views", "examples"}
        assert client.list_artifacts(run_id, "baseline")
    assert client.search_registered_models() == []


def test_compare_takes_every_measured_baseline_and_is_still_the_same_comparison(bench):
    tables, _, preparation, before, _, every = bench
    assert {row.baseline for row in before.rows} == set(FLOORS)
    after = compare(tables, Sides("7"), preparation.holdout, None, SETTINGS, NOW + dt.timedelta(hours=1))
    names = {one.name for one in every.measured}
    assert {row.baseline for row in after.rows} == names
    assert after.comparison_id == before.comparison_id
    assert tables.read(COMPARISONS).count() == len(after.rows)
    kept = stored_comparison(tables, Sides("7"), preparation.holdout)
    assert {row.baseline for row in kept.rows} == names
    assert stored_comparison(tables, Sides("7", "5"), preparation.holdout) is None
    sliced = {row.slice for row in after.rows if row.baseline == "baseline:als"}
    assert sliced == {row.slice for row in before.rows if row.baseline == POPULARITY}
    for old in before.rows:  # whoever stands beside, the others' figures and intervals stay
        twin = (old.baseline, old.protocol, old.metric, old.slice)
        (new,) = (one for one in after.rows if (one.baseline, one.protocol, one.metric, one.slice) == twin)
        assert (new.difference, new.lower, new.upper) == pytest.approx((old.difference, old.lower, old.upper))
    told = after.to_text()
    assert " baseline:popularity_by_device ." in told and f" {'floor:random':<29} ." in told


def test_a_page_view_without_scores_or_with_too_few_is_named(bench):
    tables, _, preparation, *_ = bench
    holdout = open_snapshot(preparation.folder(tables.home, "holdout"))
    pages = holdout_pages(tables.spark, holdout, tables.read(EXAMPLES, preparation.examples_version))
    sizes = F.size("row_ids")
    wrong = {
        "did not score page view [1-4]: wanted [23] scores, one for each row of the menu, got none": F.lit(None),
        "did not score page view [1-4]: wanted [23] scores.* got 1": F.array(F.lit(1.0)),
        "page view [1-4] has a row whose score is NaN": F.array_repeat(F.lit(float("nan")), sizes),
    }
    for words, scores in wrong.items():
        scored = pages.withColumn("scores", scores.cast("array<double>"))
        with pytest.raises(ScoresError, match=words), worker_errors():
            evaluate_scores(scored, "baseline:wrong", preparation.holdout).collect()


def test_the_command_refuses_a_name_that_no_file_has(bench):
    tables, *_ = bench
    ran = run("baselines", "--home", tables.home.name, "als", "lambda_mart")
    assert (ran.code, ran.out) == (2, "")
    assert "unknown baseline `lambda_mart`: wanted some of als" in ran.err
    ran = run("baselines", "--home", tables.home.name, "recent_click", "popularity_smoothing=3", "--json")
    assert ran.code == 0 and ran.json["split"] == "holdout"
    assert {one["name"] for one in ran.json["measured"]} == {"baseline:recent_click", *FLOORS}
