"""`train --seeds`: figures of each seed, their mean and spread, and which one is registered."""

import dataclasses
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mlflow import MlflowClient

from pagerec_dbx.config import load_settings
from pagerec_dbx.errors import GO_ON, DeadRankError, SettingError
from pagerec_dbx.features.preparation import latest_preparation
from pagerec_dbx.home import open_home
from pagerec_dbx.registry.store import Registry
from pagerec_dbx.stages import seeds
from pagerec_dbx.stages.seeds import (
    SEED_STEP,
    SeedFigures,
    _best,
    clear_away_killed_seeds,
    spread_of,
    train_seeds,
)
from pagerec_dbx.stages.stopped_runs import stopped_runs
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
    assert not list((prepared.home.folder / "seeds").iterdir())  # nobody's weights are left
    assert stopped_runs(prepared.home) == []


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


def test_a_seed_that_fails_ends_all_and_leaves_nothing_but_failed_runs(prepared, monkeypatch):
    registry, jobs = Registry(prepared.home), []

    def learn(tables, registry, job, preparation, ranks, on_epoch):
        jobs.append(job)
        Path(job.folder).mkdir()
        if len(jobs) == 1:
            return learned
        assert Path(jobs[0].folder).is_dir()  # the control: the best one so far is kept, until the second fails
        raise DeadRankError("a training rank died", got="rank 1", fix=f"Read /far/ranks.log, then {GO_ON} {job.folder}")

    learned = SimpleNamespace(epochs=2, best=SimpleNamespace(epoch=1, validation_ndcg=0.5, validation_loss=2.0))
    monkeypatch.setattr(seeds, "learn", learn)
    told = "a training rank died: got rank 1. Read /far/ranks.log, then run the same command again.$"
    with pytest.raises(DeadRankError, match=told):
        train_seeds(prepared.tables, registry, "two_tower_softmax", 1, load_settings(overrides=SMALL), 3)
    assert [job.settings.checkpoint_minutes for job in jobs] == [math.inf] * 2
    assert not list((prepared.home.folder / "seeds").iterdir())
    runs = [Path(job.folder).name for job in jobs] + [Path(jobs[0].folder).parent.name]
    assert [status(registry, run_id) for run_id in runs] == ["FINISHED", "FAILED", "FAILED"]


def test_what_a_killed_command_left_is_ended_and_removed(tmp_path):
    registry = Registry(open_home(str(tmp_path / "home")))
    parent, other = (registry.start_run(name, {}, {"seeds": "3"}, {}) for name in ("killed", "of somebody else"))
    seed = registry.start_run("seed 1", {}, {}, {}, parent)
    (registry.home.folder / "seeds" / parent / seed).mkdir(parents=True)
    clear_away_killed_seeds(registry)
    assert [status(registry, run_id) for run_id in (parent, seed, other)] == ["FAILED", "FAILED", "RUNNING"]
    assert not list((registry.home.folder / "seeds").iterdir())


def status(registry: Registry, run_id: str) -> str:
    return MlflowClient(registry.tracking_uri, registry.registry_uri).get_run(run_id).info.status
