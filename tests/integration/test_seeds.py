"""`train --seeds`: figures of each seed, their mean and spread, and which one is registered."""

import dataclasses

import numpy as np
import pytest
from mlflow import MlflowClient

from pagerec_dbx.errors import SettingError
from pagerec_dbx.features.preparation import latest_preparation
from pagerec_dbx.registry.store import Registry
from pagerec_dbx.stages.seeds import SEED_STEP, SeedFigures, _best, spread_of
from tests.commands import run

SMALL = ("epochs=2", "batch_size=64", "embedding_size=8", "hidden_sizes=[16]", "learning_rate=.01")


def test_seeds_are_trained_reported_and_the_best_one_registered(prepared):
    """The holdout's snapshot is away meanwhile."""
    holdout = latest_preparation(prepared.tables).folder(prepared.home, "holdout")
    aside = holdout.rename(holdout.with_name("aside"))
    try:
        ran = run("train", "--home", prepared.home.name, "--seeds", "3", "--json", *SMALL, "seed=5")
    finally:
        aside.rename(holdout)
    assert ran.code == 0, ran.err
    registry, told = Registry(prepared.home), ran.json
    curves = [registry.run_curves(one["run_id"]) for one in told["seeds"]]
    best_epochs = [max(curve, key=lambda point: point["validation_ndcg"]) for curve in curves]
    for name in ("validation_ndcg", "validation_loss"):
        logged = [point[name] for point in best_epochs]
        assert [one[name] for one in told["seeds"]] == pytest.approx(logged)
        assert told[f"{name}_mean"] == pytest.approx(np.mean(logged))
        assert told[f"{name}_deviation"] == pytest.approx(np.std(logged, ddof=1)) and np.std(logged) > 1e-4
    client = MlflowClient(registry.tracking_uri, registry.registry_uri)
    runs = [client.get_run(one["run_id"]) for one in told["seeds"]]
    assert [one["seed"] for one in told["seeds"]] == [int(run.data.params["seed"]) for run in runs]
    assert [one["seed"] for one in told["seeds"]] == [5, 5 + SEED_STEP, 5 + 2 * SEED_STEP]
    assert {(run.data.tags["mlflow.parentRunId"], run.info.status) for run in runs} == {(told["run_id"], "FINISHED")}
    parent = client.get_run(told["run_id"])
    assert parent.info.status == "FINISHED" and parent.data.metrics["validation_ndcg_mean"] == pytest.approx(
        told["validation_ndcg_mean"]
    )
    best = max(told["seeds"], key=lambda one: one["validation_ndcg"])
    challenger = registry.version("challenger")
    assert (challenger.version, challenger.run_id) == (told["version"], best["run_id"])
    assert told["registered_seed"] == best["seed"]
    assert [registry.version_of(one["run_id"]) is not None for one in told["seeds"]] == [
        one is best for one in told["seeds"]
    ]
    assert not list((prepared.home.folder / "training").iterdir())  # nobody's weights are left


A_SEED = SeedFigures(seed=1, run_id="a", epochs=3, best_epoch=2, validation_ndcg=0.5, validation_loss=2.0)


def test_mean_and_spread_by_hand():
    others = [dataclasses.replace(A_SEED, validation_ndcg=ndcg, validation_loss=2.0) for ndcg in (0.5, 0.6, 0.7)]
    # squares of .1, 0 and .1 add up to .02; half of that is .01
    spread = {"validation_ndcg_mean": 0.6, "validation_ndcg_deviation": 0.1}
    spread |= {"validation_loss_mean": 2.0, "validation_loss_deviation": 0.0}
    assert spread_of(others) == pytest.approx(spread)


def test_the_best_seed_is_that_of_the_figure_that_chooses_epochs():
    other = dataclasses.replace(A_SEED, seed=2, validation_ndcg=0.4, validation_loss=1.0)
    assert _best([other, A_SEED], "ndcg") is A_SEED
    assert _best([A_SEED, other], "loss") is other
    assert _best([A_SEED, dataclasses.replace(A_SEED, seed=3)], "ndcg") is A_SEED  # the first of equal ones


def test_a_seed_past_the_last_is_refused_before_anything_is_trained(prepared):
    ran = run("train", "--home", prepared.home.name, "--seeds", "3", *SMALL, "seed=1999985000")
    assert ran.code == SettingError.exit_code and "setting `seed` is out of range" in ran.err
