"""A day against the training days: an unchanged one passes, each changed one fails for its own reason."""

import collections
import dataclasses
import json
import math
import sys

import numpy as np
import pytest
from pyspark import cloudpickle

from pagerec_dbx.config import JudgeSettings, MonitorSettings, settings_from
from pagerec_dbx.errors import NoExamplesError, OverlapError
from pagerec_dbx.evaluation.metrics import ndcg, reciprocal_rank
from pagerec_dbx.features.preparation import latest_preparation
from pagerec_dbx.features.vocabulary import load_vocabulary
from pagerec_dbx.home import mark_simulated, open_home
from pagerec_dbx.models.build import build
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.export import save_ranker
from pagerec_dbx.registry.store import Registry
from pagerec_dbx.schemas import DRIFT, EVALUATIONS
from pagerec_dbx.stages.judge import evaluate_version
from pagerec_dbx.stages.monitor import compared_page_views, monitor
from pagerec_dbx.tables import Tables
from pagerec_dbx.workbench import Workbench
from tests import monitored_world as world
from tests.commands import run

# Workers have the package, but not necessarily the tests: what these define travels to them whole.
cloudpickle.register_pickle_by_value(world)
cloudpickle.register_pickle_by_value(sys.modules[__name__])

SETTINGS = MonitorSettings(monitor_cells=8)
JUDGE = JudgeSettings(resamples=300)


@pytest.fixture(scope="module")
def tables(spark, tmp_path_factory) -> Tables:
    made = Tables(spark, open_home(str(tmp_path_factory.mktemp("monitored") / "home")))
    world.make_world(made)
    return made


def monitored(tables, number, settings=SETTINGS):
    preparation = latest_preparation(tables)
    compared = compared_page_views(tables, "1", preparation, number and world.day_of(number))
    return monitor(tables, "1", preparation, compared, world.ByNumber, settings, JUDGE)


def failed(result) -> set[str]:
    return {one.measure for one in result.measures if not one.passed}


@pytest.mark.parametrize(
    ("number", "measures"),
    [
        (4, set()),
        pytest.param(5, {"psi_titles", "psi_unknown_titles"}, marks=pytest.mark.slow),
        (6, {"psi_rows", "psi_unknown_rows", "psi_scores"}),
        # longer menus leave less probability for each row
        pytest.param(7, {"psi_menu_size", "psi_scores"}, marks=pytest.mark.slow),
        pytest.param(8, {"psi_click_share"}, marks=pytest.mark.slow),
        pytest.param(9, {"psi_scores"}, marks=pytest.mark.slow),
        (10, {"gain_ndcg"}),
        pytest.param(11, {"psi_titles"}, marks=pytest.mark.slow),
    ],
)
def test_a_day_fails_for_what_changed_on_it(tables, number, measures):
    result = monitored(tables, number)
    assert failed(result) == measures
    assert result.passed == (not measures)
    assert sum(reason.startswith("Failed") for reason in result.reasons) == len(measures)


def test_a_psi_is_that_of_plain_python(tables):
    found = {one.measure: one for one in monitored(tables, 6).measures}
    views = world.page_views()
    training = [view for view in views if view["day"] < world.day_of(3)]
    day = [view for view in views if view["day"] == world.day_of(6)]

    def row_of(entry):
        return entry[0]

    counts = collections.Counter(row_of(entry) for view in training for entry in view["menu"])
    top = sorted(counts, key=lambda row: (-counts[row], row))[:8]

    def cell(entry):
        row = row_of(entry)
        return row if row in top else "other" if row in counts else "new"

    expected = psi_of(training, day, lambda view: [cell(entry) for entry in view["menu"]])
    assert (found["psi_rows"].value, found["psi_rows"].expected_by_chance) == pytest.approx(expected)
    assert found["psi_rows"].training_share == 0
    new = [entry for view in day for entry in view["menu"] if cell(entry) == "new"]
    assert found["psi_rows"].day_share == pytest.approx(len(new) / (5 * len(day)))
    clicks = psi_of(training, day, lambda view: [1 in view["clicked"]])
    assert (found["psi_click_share"].value, found["psi_click_share"].expected_by_chance) == pytest.approx(clicks)


def psi_of(training, day, cells_of) -> tuple[float, float]:
    """PSI and the mean that chance gives it, viewer by viewer."""
    sides = [by_viewer(views, cells_of) for views in (day, training)]
    names = {cell for side in sides for things in side.values() for cell in things}
    counts = [{cell: sum(things[cell] for things in side.values()) for cell in names} for side in sides]
    filled = [{cell: count or 0.5 for cell, count in side.items()} for side in counts]
    p, q = ({cell: count / sum(side.values()) for cell, count in side.items()} for side in filled)
    value = sum((p[cell] - q[cell]) * math.log(p[cell] / q[cell]) for cell in names)
    totals = [sum(side.values()) for side in counts]
    chance = 0.0
    for cell in names:
        effects = [
            effect(side, cell, count[cell], total) for side, count, total in zip(sides, counts, totals, strict=True)
        ]
        known = [one for one in effects if one is not None]
        share = sum(count[cell] for count in counts) / sum(totals)
        for one, total in zip(effects, totals, strict=True):
            chance += (1 - share) * (known[0] if one is None else one) / total
    return value, chance


def by_viewer(views, cells_of):
    side = collections.defaultdict(collections.Counter)
    for view in views:
        side[view["user_hash"]].update(cells_of(view))
    return side


def effect(side, cell, count, total):
    share = count / total
    if share in (0, 1):
        return None
    around = sum((things[cell] - share * sum(things.values())) ** 2 for things in side.values())
    return around / (total * share * (1 - share))


def test_the_metrics_of_the_day_are_those_of_one_page_at_a_time(tables):
    result = monitored(tables, 4)
    figures = {one.measure: one for one in result.measures}
    clicked = [view for view in world.page_views() if view["day"] == world.day_of(4) and 1 in view["clicked"]]
    before = [view for view in world.page_views() if view["day"] < world.day_of(4)]
    shown, clicks = collections.Counter(), collections.Counter()
    for view in before:
        for entry, label in zip(view["menu"], view["clicked"], strict=True):
            shown[entry[0]] += 1
            clicks[entry[0]] += label
    rate = clicks.total() / shown.total()
    sides = {
        "": world.score_of,
        "popularity_": lambda row: (clicks[row] + 20 * rate) / (shown[row] + 20),
    }
    for side, score in sides.items():
        for name, metric in {"ndcg": ndcg, "reciprocal_rank": reciprocal_rank}.items():
            values = [
                metric(np.array([[score(entry[0]) for entry in view["menu"]]]), np.array([view["clicked"]]),
                       np.ones((1, 5), bool))[0]
                for view in clicked
            ]  # fmt: skip
            found = figures[side + name]
            assert found.value == pytest.approx(np.mean(values))
            assert (found.page_views, found.viewers) == (len(clicked), len({view["user_hash"] for view in clicked}))
            assert found.lower < found.value < found.upper
    assert figures["gain_ndcg"].value == pytest.approx(figures["ndcg"].value - figures["popularity_ndcg"].value)


@pytest.mark.slow
def test_a_sample_of_the_training_days_is_bounded_and_the_same_every_time(tables):
    settings = dataclasses.replace(SETTINGS, monitor_sample=100)
    one, same = ([m for m in monitored(tables, 4, settings).measures if m.measure == "psi_scores"] for _ in range(2))
    assert one == same
    assert 60 <= one[0].training_page_views <= 140  # about 100 of 300; without a limit all of them
    assert [m.training_page_views for m in monitored(tables, 4).measures if m.measure == "psi_scores"] == [300]


def test_a_day_that_the_version_has_seen_is_refused(tables):
    for number in (1, 3):  # a training day, the day it was validated on
        with pytest.raises(
            OverlapError, match=f"was trained or validated on the page views of 2024-01-0{number}: wanted"
        ):
            monitored(tables, number)
    with pytest.raises(NoExamplesError, match="there are no labelled page views of 2024-01-20. Name another --day"):
        monitored(tables, 20)


def test_page_views_of_the_day_that_the_version_has_seen_are_left_out(tables):
    preparation = latest_preparation(tables)
    views = [view for view in world.page_views() if view["day"] == world.day_of(4)]
    middle = dataclasses.replace(
        preparation.cuts.holdout, served_micros=preparation.cuts.holdout.served_micros + 500_000_000 * 50
    )
    later = dataclasses.replace(preparation, cuts=dataclasses.replace(preparation.cuts, holdout=middle))
    compared = compared_page_views(tables, "1", later, world.day_of(4))
    assert (compared.left_out, compared.page_views) == (50, 100)
    kept = {row.page_view_id for row in compared.later.select("page_view_id").collect()}
    before = {row.page_view_id for row in compared.before.select("page_view_id").collect()}
    assert kept == {view["page_view_id"] for view in views[50:]}
    assert len(before) == 3 * world.PER_DAY + 50 and not kept & before


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tables) -> str:
    """The home with a registered version, which was built and not trained."""
    preparation = latest_preparation(tables)
    config = ModelConfig(
        "two_tower_softmax", preparation.title_count, preparation.row_count, preparation.device_count,
        preparation.location_count, history_length=4, embedding_size=2, hidden_sizes=(2,),
    )  # fmt: skip
    registry = Registry(tables.home)
    folder = tables.home.folder / "ranker"
    save_ranker(build(config, seed=1), config, load_vocabulary(tables, preparation.vocabulary_version).tokens, folder)
    run_id = registry.start_run("by hand", {}, {}, {})
    tags = {"preparation": preparation.preparation_id}
    tags["trained_until"] = json.dumps(dataclasses.replace(preparation.cuts.holdout, page_view_id=0).as_json())
    registry.register(run_id, folder, tags, lambda folder: None)
    return tables.home.name


def test_the_command_passes_refuses_and_stores(tables, served):
    nobody = run("monitor", "--home", served)
    assert (nobody.code, nobody.out) == (1, "") and "promote" in nobody.err

    fine = run("monitor", "--home", served, "--version", "1", "--day", "2024-01-04", "--json")
    assert fine.code == 0, fine.err
    assert fine.json["passed"] and fine.json["day"] == "2024-01-04" and fine.json["version"] == "1"
    assert all(reason.startswith("Passed") for reason in fine.json["reasons"]) and len(fine.json["reasons"]) == 8

    drifted = run("monitor", "--home", served, "--version", "challenger", "--json")  # the newest day
    assert drifted.code == 1 and not drifted.json["passed"] and drifted.json["day"] == "2024-01-11"
    failures = [reason for reason in drifted.json["reasons"] if reason.startswith("Failed")]
    assert [reason.split()[1] for reason in failures] == ["psi_titles"]

    records = tables.read(DRIFT).collect()
    assert {(str(one["day"])[8:], one["version"]) for one in records} == {("04", "1"), ("11", "1")}
    mine = {one["measure"]: one for one in records if str(one["day"])[8:] == "11"}
    assert not mine["psi_titles"]["passed"] and mine["psi_titles"]["limit"] == 0.2
    mark_simulated(tables.home)
    again = run("monitor", "--home", served, "--version", "1", "max_psi=100")
    assert again.code == 0
    assert again.out.startswith("2024-01-11, version 1, SIMULATED: within every limit. 150 page views of 50 viewers ")
    assert "Passed: psi_titles" in again.out
    assert tables.read(DRIFT).count() == len(records)  # replaced, not repeated
    now = {one["measure"]: one for one in tables.read(DRIFT).where("day = DATE'2024-01-11'").collect()}
    assert now["psi_titles"]["passed"] and now["psi_titles"]["value"] == mine["psi_titles"]["value"]


@pytest.mark.slow
def test_the_day_is_judged_as_evaluate_judges_it(tables, served):
    """Both read the same page views: one from the snapshot's ids, one from the raw page views."""
    bench = Workbench(tables.home, settings_from({"resamples": 200}))
    evaluate_version(bench, "1")
    assert run("monitor", "--home", served, "--version", "1", "--day", "2024-01-04", "--json").code == 0
    ids = [view["page_view_id"] for view in world.page_views() if view["day"] == world.day_of(4)]
    records = tables.read(EVALUATIONS).where("protocol = 'menu'").collect()
    stored = {one["measure"]: one["value"] for one in tables.read(DRIFT).where("day = DATE'2024-01-04'").collect()}
    for side, name in {"1": "", "floor:popularity": "popularity_"}.items():
        for metric in ("ndcg", "reciprocal_rank"):
            values = [one[metric] for one in records if one["version"] == side and one["page_view_id"] in ids]
            assert stored[name + metric] == pytest.approx(np.mean(values), abs=1e-6)
