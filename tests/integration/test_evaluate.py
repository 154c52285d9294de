"""The offline pass, the stages `evaluate` and `compare`, and the verdict, on a holdout judged by hand."""

import dataclasses
import datetime as dt
import json
import math

import numpy as np
import pytest
from pyspark.sql import functions as F

from pagerec_dbx.baselines.catalogue import require_baselines
from pagerec_dbx.config import JudgeSettings
from pagerec_dbx.errors import (
    ComparisonError,
    LogsError,
    NoExamplesError,
    OverlapError,
    ScoresError,
    SettingError,
    SnapshotError,
)
from pagerec_dbx.evaluation.baselines import FLOORS, PAGE_ORDER, POPULARITY, RANDOM, popularity_floor, row_counts
from pagerec_dbx.evaluation.calibration import reliability
from pagerec_dbx.evaluation.compare import legacy_named
from pagerec_dbx.evaluation.comparison import LEGACY_IMPORTED, POPULARITY_IMPORTED, elsewhere_sentence
from pagerec_dbx.evaluation.gate import Facts, judge
from pagerec_dbx.evaluation.grounds import Grounds, limits_of
from pagerec_dbx.evaluation.looks import Looks, looks_at, note_look
from pagerec_dbx.evaluation.power import measured_spread, needed
from pagerec_dbx.evaluation.slices import with_slices
from pagerec_dbx.features.preparation import store_preparation
from pagerec_dbx.figures import number
from pagerec_dbx.home import open_home
from pagerec_dbx.schemas import (
    CALIBRATIONS,
    COMPARISONS,
    EVALUATIONS,
    EXAMPLES,
    HOLDOUT_LOOKS,
    LABELLED_PAGE_VIEWS,
    PAGE_VIEWS,
)
from pagerec_dbx.stages.baselines import baselines
from pagerec_dbx.stages.calibrate import calibration_of
from pagerec_dbx.stages.compare import Sides, compare, renewed_comparison, stored_comparison
from pagerec_dbx.stages.evaluate import evaluate
from pagerec_dbx.stages.grounds import newest_page_view
from pagerec_dbx.stages.power import power
from pagerec_dbx.stages.promote import holdout_age_days
from pagerec_dbx.tables import Tables, spark_schema
from tests import judging_world as world

NOW = dt.datetime(2024, 1, 3, tzinfo=dt.UTC)
SETTINGS = JudgeSettings(popularity_smoothing=3.0, resamples=200, least_slice_page_views=1)
D2, D3 = 1 / math.log2(3), 1 / 2  # discounts of places 2 and 3


@pytest.fixture(scope="module")
def bench(spark, tmp_path_factory):
    """The tables of a home with the world in it, its preparation, and LOGS/truth."""
    folder = tmp_path_factory.mktemp("judging")
    tables = Tables(spark, open_home(str(folder / "home")))
    preparation = world.make_world(tables)
    world.write_truth(tables, folder / "truth")
    return tables, preparation, folder / "truth"


@pytest.fixture(scope="module")
def evaluated(bench):
    """Version 7 knows the whole vocabulary; version 5 is older and does not know row d."""
    tables, preparation, truth = bench
    last = world.key_of(13)
    newer = evaluate(tables, "7", preparation, world.ranker_by_id(known=6), last, SETTINGS, truth)
    older = evaluate(tables, "5", preparation, world.ranker_by_id(known=5), last, SETTINGS)
    return newer, older


def stored(bench, version, protocol, column):
    """One figure of each page view that has it."""
    tables, preparation, _ = bench
    found = tables.read(EVALUATIONS).where((F.col("version") == version) & (F.col("protocol") == protocol))
    assert {record["holdout"] for record in found.collect()} <= {preparation.holdout}
    return {record["page_view_id"]: record[column] for record in found.collect()}


def test_menu_protocol_ranks_the_rows_offered(bench, evaluated):
    # scores are ids: 1: c B a   2: d C a   3: b NEW   4: D a NEW
    assert stored(bench, "7", "menu", "reciprocal_rank") == {1: 1 / 2, 2: 1 / 2, 3: 1 / 2, 4: 1}
    assert stored(bench, "7", "menu", "hit_at_1") == {1: 0, 2: 0, 3: 0, 4: 1}
    assert stored(bench, "7", "menu", "ndcg") == pytest.approx({1: D2, 2: D2, 3: D2, 4: (1 + D3) / (1 + D2)})
    # pairs in the right order: 1 of 2, 1 of 2, 0 of 1, D over a but a over NEW: 1 of 2
    assert stored(bench, "7", "menu", "auc") == {1: 1 / 2, 2: 1 / 2, 3: 0, 4: 1 / 2}
    # 3: scores 3 for b and 1 for NEW: -log(e / (e + e^3))
    assert stored(bench, "7", "menu", "log_loss")[3] == pytest.approx(math.log(1 + math.exp(2)))


def test_menu_unpinned_leaves_out_the_page_whose_clicked_row_is_pinned(bench, evaluated):
    assert stored(bench, "7", "menu_unpinned", "reciprocal_rank") == {1: 1 / 2, 3: 1 / 2, 4: 1}
    newer, _ = evaluated
    (unpinned,) = (other for other in newer.others if other.protocol == "menu_unpinned")
    assert (unpinned.pages, unpinned.left_out, unpinned.viewers) == (3, 1, 3)


def test_vocabulary_protocol_never_finds_a_clicked_row_outside_it(bench, evaluated):
    # the list is d c b a: B third, C second, NEW never, D first of two clicked rows
    assert stored(bench, "7", "vocabulary", "reciprocal_rank") == pytest.approx({1: 1 / 3, 2: 1 / 2, 3: 0, 4: 1})
    assert stored(bench, "7", "vocabulary", "ndcg") == pytest.approx({1: D3, 2: D2, 3: 0, 4: 1 / (1 + D2)})
    assert stored(bench, "7", "vocabulary", "auc") == {1: None, 2: None, 3: None, 4: None}


def test_rows_that_an_older_version_does_not_know_come_last_in_the_vocabulary(bench, evaluated):
    # version 5 ranks c b a d; on the menu of page view 4 d scores as the unknown does: a first, then D and NEW tied
    assert stored(bench, "5", "vocabulary", "reciprocal_rank")[4] == 1 / 4
    assert stored(bench, "5", "menu", "reciprocal_rank") == pytest.approx({1: 1 / 2, 2: 1, 3: 1 / 2, 4: 1 / 2})


def test_random_floor_is_the_exact_expectation(bench, evaluated):
    three, two = (1 + 1 / 2 + 1 / 3) / 3, (1 + 1 / 2) / 2
    # two of three rows clicked: the first is at place 1 with 2/3, at place 2 with 1/3
    expected = {1: three, 2: three, 3: two, 4: 2 / 3 + 1 / 3 / 2}
    assert stored(bench, RANDOM, "menu", "reciprocal_rank") == pytest.approx(expected)
    # in the vocabulary the offered rows come first in any order: 4 has D among D and a
    assert stored(bench, RANDOM, "vocabulary", "reciprocal_rank") == pytest.approx({1: three, 2: three, 3: 0, 4: two})


def test_page_order_floor_has_no_vocabulary_figure(bench, evaluated):
    assert stored(bench, PAGE_ORDER, "menu", "reciprocal_rank") == {1: 1 / 2, 2: 1, 3: 1, 4: 1}
    assert stored(bench, PAGE_ORDER, "menu_unpinned", "reciprocal_rank") == {1: 1, 3: 1, 4: 1}
    assert stored(bench, PAGE_ORDER, "vocabulary", "ndcg") == {}


def test_popularity_floor_counts_all_page_views_before_the_holdout(bench):
    tables, preparation, _ = bench
    before = tables.read(LABELLED_PAGE_VIEWS).where("page_view_id > 10")
    floor = popularity_floor(row_counts(before), smoothing=3.0)
    rates = dict(zip(floor.row_ids.to_pylist(), floor.rates, strict=True))
    # 2 clicks on 6 impressions: 1/3, so one click on three impressions is added to each row's own
    assert floor.overall_rate == pytest.approx(1 / 3)
    assert rates == pytest.approx({"a": 2 / 5, "b": 1 / 5, "c": 1 / 4, "new": 2 / 4})
    with pytest.raises(NoExamplesError, match="no labelled page views before the holdout"):
        popularity_floor(row_counts(before.where("false")), smoothing=3.0)


def test_popularity_floor_knows_rows_by_name_though_the_vocabulary_does_not(bench, evaluated):
    # 1: a c B   2: a d C (d was never shown: 1/3)   3: NEW b   4: NEW a D
    assert stored(bench, POPULARITY, "menu", "reciprocal_rank") == pytest.approx({1: 1 / 3, 2: 1 / 3, 3: 1, 4: 1})
    # in the vocabulary: 4 is a D, NEW is not in it
    expected = {1: 1 / 3, 2: 1 / 3, 3: 0, 4: 1 / 2}
    assert stored(bench, POPULARITY, "vocabulary", "reciprocal_rank") == pytest.approx(expected)
    assert set(stored(bench, POPULARITY, "menu", "log_loss").values()) == {None}


def test_evaluate_answers_with_the_means_and_the_floors(evaluated):
    answer = json.loads(json.dumps(evaluated[1].to_json()))
    assert set(answer) >= {
        "version",
        "protocol",
        "split",
        "pages",
        "viewers",
        "metrics",
        "floors",
        "ceilings",
        "others",
    }
    assert (answer["version"], answer["protocol"], answer["split"]) == ("5", "menu", "holdout")
    assert (answer["pages"], answer["viewers"], answer["ceilings"]) == (4, 3, None)
    assert answer["metrics"]["reciprocal_rank"] == pytest.approx((1 / 2 + 1 + 1 / 2 + 1 / 2) / 4)
    assert set(answer["floors"]) == set(FLOORS)
    others = {other["protocol"]: other for other in answer["others"]}
    assert set(others) == {"menu_unpinned", "vocabulary"}
    assert set(others["vocabulary"]["floors"]) == {RANDOM, POPULARITY}
    assert not any(name.startswith("expected") for name in answer["metrics"])


def test_figures_of_a_simulated_world_are_called_so(bench, evaluated, compared):
    tables, preparation, _ = bench
    newer, older = evaluated  # the truth is given with the first
    assert newer.simulated and "menu protocol, holdout: 4 page views of 3 viewers, SIMULATED" in newer.to_text()
    assert older.simulated and older.to_json()["simulated"] is True
    assert compared[0].simulated and ", SIMULATED" in compared[0].to_text()
    real = dataclasses.replace(newer, simulated=False)
    assert (
        "SIMULATED" not in real.to_text()
        and "SIMULATED" not in dataclasses.replace(compared[0], simulated=False).to_text()
    )


def test_expected_figures_weigh_the_true_clicks(evaluated):
    newer, _ = evaluated
    # 1: c b a: .3 + .5/2 + .2/3   2: d c a: .3 + .6/2 + .1/3   3: .5 + .5/2; the truth of 4 is lost
    page_views = [0.3 + 0.5 / 2 + 0.2 / 3, 0.3 + 0.6 / 2 + 0.1 / 3, 0.75]
    assert newer.menu.metrics["expected_reciprocal_rank"] == pytest.approx(sum(page_views) / 3)
    random = [(1 + 1 / 2 + 1 / 3) / 3, (1 + 1 / 2 + 1 / 3) / 3, 0.75]
    assert newer.menu.floors[RANDOM]["expected_reciprocal_rank"] == pytest.approx(sum(random) / 3)
    assert newer.menu.metrics["expected_hit_at_1"] == pytest.approx((0.3 + 0.3 + 0.5) / 3)


def test_ceilings_are_the_best_orders_by_the_truth(evaluated):
    ceilings = evaluated[0].menu.ceilings
    # with the position: 1: b c a   2: c d a   3: a tie
    best = [0.5 + 0.3 / 2 + 0.2 / 3, 0.6 + 0.3 / 2 + 0.1 / 3, 0.75]
    assert ceilings["with_position"]["expected_reciprocal_rank"] == pytest.approx(sum(best) / 3)
    assert ceilings["with_position"]["pages"] == 3
    # without it only page view 2, which was ordered at random, by utility: a d c
    assert ceilings["without_position"]["expected_reciprocal_rank"] == pytest.approx(0.1 + 0.3 / 2 + 0.6 / 3)
    assert ceilings["without_position"]["pages"] == 1
    assert "ceiling with position" in evaluated[0].to_text()


def test_evaluating_again_replaces_and_does_not_repeat(bench, evaluated):
    tables, preparation, _ = bench
    before = tables.read(EVALUATIONS).count()
    again = evaluate(tables, "5", preparation, world.ranker_by_id(known=5), world.key_of(13), SETTINGS)
    assert tables.read(EVALUATIONS).count() == before
    assert again.menu.metrics == evaluated[1].menu.metrics
    assert again.looks == Looks(times=evaluated[1].looks.times + 1, rankers=evaluated[1].looks.rankers)
    # a version 5 4, 3 and 4 records, version 7 the same, floors 4 + 3 + 4 each and 4 less, ceilings 3 + 1
    assert before == 11 + 11 + 33 - 4 + 4


def test_a_holdout_that_overlaps_training_is_refused(bench):
    tables, preparation, _ = bench
    for last in (world.key_of(1), world.key_of(2)):
        with pytest.raises(OverlapError, match="version 9 was trained on page views of the holdout"):
            evaluate(tables, "9", preparation, world.ranker_by_id(known=6), last, SETTINGS)
    assert tables.read(EVALUATIONS).where("version = '9'").count() == 0
    assert tables.read(HOLDOUT_LOOKS).where("ranker = '9'").count() == 0  # nothing was seen of it


def test_every_look_at_the_holdout_is_counted(bench, evaluated):
    tables, preparation, _ = bench
    assert [result.looks for result in evaluated] == [Looks(1, 1), Looks(2, 2)]
    assert "So far 2 measurements of 2 rankers on this holdout; what is chosen" in evaluated[1].to_text()
    before = looks_at(tables, preparation.holdout)
    note_look(tables, preparation.holdout, "baseline:als")
    note_look(tables, "another holdout", "7")
    note_look(tables, preparation.holdout, "7")
    assert looks_at(tables, preparation.holdout) == Looks(before.times + 2, before.rankers + 1)
    assert Looks(1, 1).to_text().startswith("So far one measurement of one ranker on this holdout;")


def test_a_nan_score_names_the_page_view(bench):
    tables, preparation, _ = bench
    with pytest.raises(ScoresError, match=r"^page view [24] has a row whose score is NaN: wanted .* scored it\.$"):
        evaluate(tables, "9", preparation, world.ranker_by_id(known=6, nan_on=5), world.key_of(13), SETTINGS)
    assert tables.read(EVALUATIONS).where("version = '9'").count() == 0


def test_a_holdout_that_lost_its_examples_is_refused(bench, tmp_path):
    tables, _, truth = bench
    with pytest.raises(LogsError, match="holds no truth"):
        evaluate(tables, "9", bench[1], world.ranker_by_id(known=6), world.key_of(13), SETTINGS, tmp_path)
    elsewhere = Tables(tables.spark, open_home(str(tmp_path / "home")))
    preparation = world.make_world(elsewhere)
    (elsewhere.home.snapshots / world.NAME / "part.parquet").write_bytes(b"")
    with pytest.raises(SnapshotError):
        evaluate(elsewhere, "9", preparation, world.ranker_by_id(known=6), world.key_of(13), SETTINGS)


@pytest.mark.slow
@pytest.mark.parametrize(
    "shuffle", [lambda rows: rows[::-1], lambda rows: rows[1:] + rows[:1]], ids=["turned", "rolled"]
)
def test_the_order_of_the_menus_in_the_log_changes_no_ranker_that_does_not_see_it(spark, tmp_path, evaluated, shuffle):
    def turned(texts):
        return {number: " ".join(shuffle(text.split())) for number, text in texts.items()}

    pages = dataclasses.replace(world.PAGES, before=turned(world.BEFORE), holdout=turned(world.HOLDOUT))
    tables = Tables(spark, open_home(str(tmp_path / "home")))
    preparation = world.make_world(tables, pages)
    again = evaluate(tables, "7", preparation, world.ranker_by_id(known=6), world.key_of(13), SETTINGS)
    before, after = (
        {"menu": one.menu} | {other.protocol: other for other in one.others} for one in (evaluated[0], again)
    )
    for protocol in ("menu", "menu_unpinned", "vocabulary"):
        old, new = before[protocol], after[protocol]
        sides = {"7": (old.metrics, new.metrics)}
        sides |= {name: (old.floors[name], new.floors[name]) for name in (RANDOM, POPULARITY)}
        for name, (mine, other) in sides.items():
            kept = {figure: value for figure, value in mine.items() if not figure.startswith("expected")}
            assert other == pytest.approx(kept, abs=1e-9), (protocol, name)
    shown = [one.menu.floors[PAGE_ORDER]["ndcg"] for one in (evaluated[0], again)]
    assert abs(shown[0] - shown[1]) > 0.01  # the control: this one is the order


@pytest.mark.slow
def test_who_is_measured_again_without_the_truth_keeps_the_expected_figures(spark, tmp_path):
    tables = Tables(spark, open_home(str(tmp_path / "home")))
    preparation = world.make_world(tables)
    store_preparation(tables, preparation)
    world.write_truth(tables, tmp_path / "truth")

    def measure(settings=SETTINGS, truth=None):
        last = world.key_of(13)
        return evaluate(tables, "7", preparation, world.ranker_by_id(known=6), last, settings, truth).menu

    first = measure(truth=tmp_path / "truth")
    again = measure()
    assert again.metrics == pytest.approx(first.metrics) and "expected_ndcg" in again.metrics
    assert {name: figures["expected_ndcg"] for name, figures in again.floors.items()} == pytest.approx(
        {name: figures["expected_ndcg"] for name, figures in first.floors.items()}
    )
    result = baselines(tables, None, require_baselines(["recent_click"]), SETTINGS)
    floors = {one.name: one.metrics for one in result.measured if one.protocol == "menu"}
    assert floors[POPULARITY]["expected_ndcg"] == pytest.approx(first.floors[POPULARITY]["expected_ndcg"])
    assert "expected_ndcg" not in floors["baseline:recent_click"]  # fitted anew: it may be another one
    # the control: another popularity is not the one that was measured with the truth
    smoothed = measure(dataclasses.replace(SETTINGS, popularity_smoothing=5.0)).floors
    assert "expected_ndcg" not in smoothed[POPULARITY] and "expected_ndcg" in smoothed[RANDOM]


# --- calibration, tied tops, the legacy's way -------------------------------------------------------------------------


def softmax(*scores):
    weights = np.exp(np.array(scores, float))
    return (weights / weights.sum()).tolist()


def test_probabilities_and_targets_are_stored_in_page_order_for_the_version_alone(bench, evaluated):
    # scores are ids, 2 to 5 for a to d: 1: a B c   2: C a d   3: NEW b   4: D a NEW, two clicks
    expected = {1: softmax(2, 3, 4), 2: softmax(4, 2, 5), 3: softmax(1, 3), 4: softmax(5, 2, 1)}
    found = stored(bench, "7", "menu", "probabilities")
    assert {page: len(values) for page, values in found.items()} == {1: 3, 2: 3, 3: 2, 4: 3}
    for page, values in expected.items():
        assert found[page] == pytest.approx(values, abs=1e-7)
    targets = {1: [0, 1, 0], 2: [1, 0, 0], 3: [1, 0], 4: [0.5, 0, 0.5]}
    assert stored(bench, "7", "menu", "targets") == targets
    for version, protocol in (("7", "vocabulary"), ("7", "menu_unpinned"), (RANDOM, "menu")):
        assert set(stored(bench, version, protocol, "probabilities").values()) == {None}


def test_evaluate_tells_the_calibration_error_of_the_stored_pairs(bench, evaluated):
    newer, _ = evaluated
    tables, preparation, _ = bench
    arrays = [stored(bench, "7", "menu", name) for name in ("probabilities", "targets")]
    pairs = [np.concatenate([np.float32(values[page]) for page in world.HOLDOUT]) for values in arrays]
    exact = reliability(*pairs)
    assert newer.menu.metrics["ece"] == pytest.approx(exact.error, abs=1e-12)
    assert newer.to_json()["metrics"]["ece"] == newer.menu.metrics["ece"]
    assert newer.to_json()["calibrated_pairs"] == 11
    assert (
        f"calibration error {number(exact.error)} in 15 bins of 11 pairs of page view and offered row"
        in newer.to_text()
    )
    assert not any(
        "ece" in figures for figures in (*newer.menu.floors.values(), *(one.metrics for one in newer.others))
    )

    kept = tables.read(CALIBRATIONS).where("version = '7'").orderBy("bin").collect()
    assert {record["holdout"] for record in kept} == {preparation.holdout}
    assert [record["pairs"] for record in kept] == exact.pairs.tolist()
    assert [record["mean_target"] for record in kept] == pytest.approx(exact.mean_target.tolist(), abs=1e-12)
    assert calibration_of(tables, preparation.holdout, "7").error == pytest.approx(exact.error, abs=1e-12)


@pytest.mark.slow
def test_bins_that_a_crash_kept_from_being_stored_are_counted_when_they_are_asked_for(bench, evaluated):
    tables, preparation, _ = bench
    before = calibration_of(tables, preparation.holdout, "7")
    tables.delete(CALIBRATIONS, "version = '7'")
    again = calibration_of(tables, preparation.holdout, "7")
    assert again.error == pytest.approx(before.error, abs=1e-12)
    assert tables.read(CALIBRATIONS).where("version = '7'").count() == len(before.pairs)
    assert calibration_of(tables, preparation.holdout, RANDOM).count == 0  # a floor has no probabilities


def test_a_version_whose_scores_are_equal_raises_the_alarm_and_is_calibrated(bench, evaluated):
    tables, preparation, _ = bench
    newer, older = evaluated
    assert newer.menu.metrics["tied_top"] == 0 and newer.alarms == () and "Alarm" not in newer.to_text()
    assert newer.menu.floors[RANDOM]["tied_top"] == 1
    last = world.key_of(13)
    constant = evaluate(tables, "8", preparation, world.ranker_by_id(known=1), last, SETTINGS, legacy_batch_size=3)
    assert constant.menu.metrics["tied_top"] == 1
    assert constant.menu.metrics["ece"] < 0.2  # few page views: bins of one pair each are not calibrated
    assert (
        "Alarm: several rows share the best score on 100.0% of 4 page views, more than 5.0% (version 8, menu protocol, "
        "holdout): scores have collapsed or rows are unknown."
    ) in constant.to_text()
    for name, figure in constant.menu.floors[RANDOM].items():  # the exact random floor
        if name != "tied_top" and not name.startswith("expected"):  # the floors keep what the truth said of them
            assert constant.menu.metrics[name] == pytest.approx(figure), name
    # The legacy's way takes the order of the page instead, in batches of 3 page views and 1:
    # RR by the order of the page is 1/2, 1, 1 and 1
    legacy = constant.legacy_way
    assert legacy.figures["8"] == pytest.approx(
        {"ndcg": ((D2 + 2) / 3 + (1 + D3) / (1 + D2)) / 2, "mrr": (2.5 / 3 + 1) / 2}
    )
    assert legacy.figures["8"] == legacy.figures[PAGE_ORDER] == legacy.figures[RANDOM]
    assert legacy.figures[POPULARITY]["mrr"] == pytest.approx(((1 / 3 + 1 / 3 + 1) / 3 + 1) / 2)
    assert (
        "the legacy's way (mean of the means of batches of 3, tied rows in page order): 4 page views"
        in constant.to_text()
    )
    assert older.legacy_way is None
    for table in (EVALUATIONS, CALIBRATIONS):
        tables.delete(table, "version = '8'")


# --- compare ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compared(bench, evaluated, tmp_path_factory):
    tables, preparation, _ = bench
    file = tmp_path_factory.mktemp("legacy") / "legacy.json"
    file.write_text(json.dumps({"training_metrics": world_legacy()}))
    return compare(tables, Sides("7", "5"), preparation.holdout, file, SETTINGS, NOW), file


def world_legacy():
    from pagerec_dbx.evaluation.legacy import NAMES

    return {**dict.fromkeys(NAMES, 0.25), "val_ndcg": 0.712, "val_mrr": 0.6322, "pop_ndcg": 0.7405}


def row_of(result, baseline, protocol="menu", metric="reciprocal_rank"):
    wanted = (baseline, protocol, metric, "all")
    (row,) = (row for row in result.rows if (row.baseline, row.protocol, row.metric, row.slice) == wanted)
    return row


def test_compare_pairs_the_challenger_with_champion_and_floors(compared):
    result, _ = compared
    row = row_of(result, "5")
    # differences by page view: 0, -1/2, 0, 1/2
    assert (row.value_challenger, row.value_baseline, row.difference) == (0.625, 0.625, 0)
    assert row.lower < 0 < row.upper
    assert (row.pages, row.viewers, row.slice, row.measured) == (4, 3, "all", "here")
    assert row_of(result, "5", "menu_unpinned").pages == 3
    baselines = {(row.baseline, row.protocol) for row in result.rows}
    everyone = {(name, protocol) for name in ("5", *FLOORS) for protocol in ("menu", "menu_unpinned", "vocabulary")}
    assert baselines == everyone - {(PAGE_ORDER, "vocabulary")} | {
        (LEGACY_IMPORTED, "menu"),
        (POPULARITY_IMPORTED, "menu"),
    }


def test_compare_shows_imported_figures_without_a_difference(compared):
    row = row_of(compared[0], LEGACY_IMPORTED, metric="ndcg")
    assert (row.value_baseline, row.measured) == (0.712, "elsewhere")
    assert (row.difference, row.lower, row.upper, row.pages, row.viewers) == (None,) * 5
    assert "measured elsewhere" in compared[0].to_text()
    beside = row_of(compared[0], POPULARITY_IMPORTED, metric="ndcg")
    assert (beside.value_baseline, beside.measured, beside.lower) == (0.7405, "elsewhere", None)
    assert (
        "Measured elsewhere, on other data, the legacy lost to popularity in ndcg (.7120 against .7405) and beat "
        "popularity in reciprocal_rank (.6322 against .2500)."
    ) in compared[0].to_text()
    assert elsewhere_sentence(row for row in compared[0].rows if row.measured == "here") == ""


def test_compare_replaces_the_same_comparison_and_keeps_another(bench, compared):
    tables, preparation, _ = bench
    result, file = compared
    before = tables.read(COMPARISONS).count()
    assert before == len(result.rows)
    later = NOW + dt.timedelta(hours=1)
    again = compare(tables, Sides("7", "5"), preparation.holdout, file, SETTINGS, later)
    assert again.comparison_id == result.comparison_id
    assert tables.read(COMPARISONS).count() == before
    for old, new in zip(result.rows, again.rows, strict=True):
        assert (old.difference, old.lower, old.upper) == (new.difference, new.lower, new.upper)
    other = compare(tables, Sides("7"), preparation.holdout, None, SETTINGS, NOW)
    assert other.comparison_id != result.comparison_id
    assert tables.read(COMPARISONS).count() == before + len(other.rows)
    rows = json.loads(json.dumps(other.to_json()))["rows"]
    assert set(rows[0]) == set(COMPARISONS.column_names)


def test_compare_names_a_version_that_was_not_evaluated(bench, evaluated):
    tables, preparation, _ = bench
    with pytest.raises(ComparisonError, match="8 was not evaluated on holdout .*pagerec evaluate --version 8"):
        compare(tables, Sides("7", "8"), preparation.holdout, None, SETTINGS, NOW)
    with pytest.raises(ComparisonError, match="7 was not evaluated on holdout another"):
        compare(tables, Sides("7"), "another", None, SETTINGS, NOW)


def test_compare_refuses_sides_with_different_page_views(bench, evaluated):
    tables, preparation, _ = bench
    records = tables.read(EVALUATIONS).where("version = '5' AND page_view_id <> 3")
    tables.replace_where(EVALUATIONS, records.withColumn("version", F.lit("6")), "version = '6'")
    with pytest.raises(ComparisonError, match="not measured on the same page views"):
        compare(tables, Sides("7", "6"), preparation.holdout, None, SETTINGS, NOW)
    tables.replace_where(EVALUATIONS, records.where("false"), "version = '6'")


def test_figures_under_the_legacys_names_follow_its_formulas(compared):
    figures = legacy_named(compared[0])
    popular, own = (1 / 3 + 1 / 3 + 1 + 1) / 4, (1 / 2 + 1 / 2 + 1 / 2 + 1) / 4
    assert figures["pop_mrr"] == pytest.approx(popular)
    assert figures["val_mrr"] == pytest.approx(own)
    assert figures["mrr_diff"] == pytest.approx(own - popular)
    assert figures["mrr_rel_diff"] == pytest.approx((own - popular) / popular)
    assert set(figures) == {f"{a}_{b}" for a in ("pop", "val") for b in ("mrr", "ndcg")} | {
        f"{b}_{c}" for b in ("mrr", "ndcg") for c in ("diff", "rel_diff")
    }


def test_a_verdict_is_made_of_the_stored_comparison(compared):
    result, _ = compared
    grounds = Grounds("5", None, result.holdout, 0, 0, 0, None, limits_of(SETTINGS))
    verdict = judge(
        result,
        Facts(grounds, 3.0, True, holdout_age_days=0.0, calibration_error=0.01, calibrated_pairs=11),
        SETTINGS,
    )
    assert not verdict.promote  # nobody is better on four page views
    assert verdict.comparison_id == result.comparison_id
    assert len(verdict.reasons) == 13
    assert np.all([reason.startswith(("Passed", "Failed", "Alarm")) for reason in verdict.reasons])
    assert sum(reason.startswith("Alarm") for reason in verdict.reasons) == 1  # three viewers


@pytest.mark.slow
def test_a_stored_comparison_is_renewed_when_its_evaluations_or_settings_have_changed(bench, compared):
    tables, preparation, _ = bench
    result, _ = compared
    later = NOW + dt.timedelta(days=1)
    before = tables.version(COMPARISONS)
    unchanged = renewed_comparison(tables, result, Sides("7", "5"), SETTINGS, later)
    assert unchanged is result  # the control
    assert tables.version(COMPARISONS) == before

    other = renewed_comparison(tables, result, Sides("7", "5"), dataclasses.replace(SETTINGS, seed=99), later)
    assert other.comparison_id == result.comparison_id and len(other.rows) == len(result.rows)
    assert any(new.lower != old.lower for new, old in zip(other.rows, result.rows, strict=True))
    assert {row.compared_at for row in other.rows} == {later}

    kept = tables.read(EVALUATIONS).where("version = '7'").select(*EVALUATIONS.column_names).collect()
    records = tables.spark.createDataFrame(kept, spark_schema(EVALUATIONS))
    tables.replace_where(EVALUATIONS, records.withColumn("ndcg", F.col("ndcg") / 2), "version = '7'")
    halved = renewed_comparison(tables, result, Sides("7", "5"), SETTINGS, later)
    tables.replace_where(EVALUATIONS, records, "version = '7'")
    for baseline in (POPULARITY, LEGACY_IMPORTED):
        old, new = (row_of(one, baseline, metric="ndcg") for one in (result, halved))
        assert new.value_challenger == pytest.approx(old.value_challenger / 2)
        assert new.value_baseline == old.value_baseline
    stored = stored_comparison(tables, Sides("7", "5"), preparation.holdout)
    assert row_of(stored, POPULARITY, metric="ndcg").value_challenger == pytest.approx(
        row_of(halved, POPULARITY, metric="ndcg").value_challenger
    )
    assert renewed_comparison(tables, stored, Sides("7", "5"), SETTINGS, later) is not stored


def test_a_comparison_without_a_legacy_file_keeps_the_imported_figures(bench, compared):
    tables, preparation, _ = bench
    result, _ = compared
    again = compare(tables, Sides("7", "5"), preparation.holdout, None, SETTINGS, NOW + dt.timedelta(days=2))
    imported = [row for row in again.rows if row.baseline == LEGACY_IMPORTED]
    assert imported and len(again.rows) == len(result.rows)
    kept = stored_comparison(tables, Sides("7", "5"), preparation.holdout)
    assert {row.baseline for row in kept.rows} == {row.baseline for row in result.rows}


def test_a_holdout_s_age_counts_to_the_newest_page_view_in_the_home(bench):
    tables, preparation, _ = bench
    later = world.served_at(4) + dt.timedelta(days=2, hours=6)
    world.write_page_view(tables, 99, later)
    assert holdout_age_days(tables, preparation, newest_page_view(tables)) == pytest.approx(2.25)
    tables.replace(PAGE_VIEWS, tables.read(PAGE_VIEWS).where("false"))
    assert math.isnan(holdout_age_days(tables, preparation, newest_page_view(tables)))  # which no limit allows


# --- slices -----------------------------------------------------------------------------------------------------------


def test_each_page_view_is_in_one_slice_of_every_column(bench, evaluated):
    # before: A b | a c | b NEW. By clicks a and NEW (1 each) are the first two of four rows, b and c the others.
    popularity = {1: "top 50 to 100 %", 2: "top 50 to 100 %", 3: "top 10 to 50 %", 4: "never shown before"}
    position = {1: "1 to 4", 2: "0", 3: "0", 4: "0"}
    same = ["menu size: 0 to 10", "history: none", "hour: 0 to 5", "device: not known", "location: not known"]
    for version in ("7", "5", RANDOM):
        found = stored(bench, version, "menu", "slices")
        for page in world.HOLDOUT:
            mine = {f"popularity: {popularity[page]}", f"position: {position[page]}", *same}
            assert set(found[page]) == mine and len(found[page]) == len(mine)
    assert set(stored(bench, "7", "vocabulary", "slices").values()) == {None}


def test_slices_are_compared_like_the_whole_by_the_spread_between_viewers(bench, compared):
    own, other = (stored(bench, version, "menu", "ndcg") for version in ("7", "5"))
    rows = {row.slice: row for row in compared[0].rows if row.baseline == "5" and row.slice != "all"}
    first = rows["position: 0"]  # page views 2, 3 and 4, of three viewers
    differences = np.array([own[page] - other[page] for page in (2, 3, 4)])
    spread = measured_spread(differences, np.ones(3))
    assert first.difference == pytest.approx(differences.mean())
    assert first.upper - first.difference == pytest.approx(1.959964 * spread.standard_error, abs=1e-6)
    assert (first.pages, first.viewers, first.effective_viewers, first.metric) == (3, 3, 3.0, "ndcg")
    whole = rows["history: none"]
    assert whole.difference == pytest.approx(row_of(compared[0], "5", metric="ndcg").difference)
    assert whole.effective_viewers == pytest.approx(16 / 6)  # (2 + 1 + 1)^2 / (4 + 1 + 1)
    lone = rows.pop("position: 1 to 4")  # one viewer has no spread
    assert (lone.pages, lone.viewers, lone.difference, lone.upper, lone.p_adjusted) == (1, 1, None, None, None)
    assert "\n  position: 0 " in compared[0].to_text()
    assert "\n  position: 1 to 4                too small to compare: 1 page views of 1 viewers" in (
        compared[0].to_text()
    )
    # at most p times the number of slices; nothing is shown on four page views
    assert {row.p_adjusted for row in rows.values() if row.difference is not None} == {1.0}


@pytest.mark.slow
def test_slices_too_small_to_compare_have_their_counts_and_no_difference(bench, compared):
    tables, preparation, _ = bench
    more = dataclasses.replace(SETTINGS, least_slice_page_views=4)
    result = compare(tables, Sides("7", "5"), preparation.holdout, None, more, NOW)
    sliced = [row for row in result.rows if row.slice != "all"]
    shown = {row.slice.partition(":")[0] for row in sliced if row.difference is not None}
    assert shown == {"menu size", "history", "hour", "device", "location"}
    small = [row for row in sliced if row.difference is None]
    assert {row.slice.partition(":")[0] for row in small} == {"popularity", "position"}
    assert all(row.pages < 4 and row.value_challenger is not None for row in small)
    again = stored_comparison(tables, Sides("7", "5"), preparation.holdout)
    assert len([row for row in again.rows if row.slice != "all" and row.difference is None]) == len(small)
    compare(tables, Sides("7", "5"), preparation.holdout, None, SETTINGS, NOW)  # as the other tests know it


def test_any_column_can_be_sliced_by_but_not_one_that_names_the_page_view(bench):
    tables, _, _ = bench
    examples, rows = tables.read(EXAMPLES), row_counts(tables.read(LABELLED_PAGE_VIEWS))
    sliced = with_slices(examples, rows, ("randomized", "weekday")).select("page_view_id", "slices").collect()
    assert {one["page_view_id"]: one["slices"][-2:] for one in sliced} == {
        page: [f"randomized: {str(page in world.RANDOMIZED).lower()}", "weekday: 0"] for page in world.HOLDOUT
    }
    for name in ("user_hash", "menu", "nothing"):
        with pytest.raises(SettingError, match=f"cannot be sliced by `{name}`: wanted one of .*randomized"):
            with_slices(examples, rows, (name,))


# --- power ------------------------------------------------------------------------------------------------------------


def test_power_is_read_off_the_stored_evaluations(bench, evaluated):
    tables, preparation, _ = bench
    result = power(tables, "7", RANDOM, preparation.holdout, 0.5, SETTINGS)
    # per page view NDCG of 7 minus random: of viewer v1 on two page views, of v2 and v3 on one each
    own, floor = (stored(bench, version, "menu", "ndcg") for version in ("7", RANDOM))
    gains = {page: own[page] - floor[page] for page in own}
    sums = np.array([gains[1] + gains[2], gains[3], gains[4]])
    assert result.spread == measured_spread(sums, np.array([2, 1, 1]))
    assert result.needed == needed(result.spread, 0.5)
    assert (result.spread.pages, result.spread.viewers) == (4, 3)
    assert "To see a gain of 0.5 in ndcg in 95% of verdicts, a holdout needs" in result.to_text()
    assert "has 4 of 3 viewers, SIMULATED" in result.to_text()
    with pytest.raises(ComparisonError, match="8 was not evaluated on holdout"):
        power(tables, "7", "8", preparation.holdout, 0.5, SETTINGS)
