"""Training on one rank and on two: equal weights, early stopping, and what goes wrong in words."""

import dataclasses
import datetime as dt
import itertools
import json
import math
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient

from pagerec_dbx.config import given_settings, load_settings
from pagerec_dbx.errors import (
    LossError,
    NoExamplesError,
    SettingError,
    SnapshotError,
    TrainingError,
    UnknownModelError,
    UnknownVersionError,
)
from pagerec_dbx.features import parquet_groups, stream
from pagerec_dbx.home import Home
from pagerec_dbx.models.build import build, parameter_count
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.names import MODEL_SETTINGS
from pagerec_dbx.registry.store import Registry
from pagerec_dbx.stages.plan import plan_training
from pagerec_dbx.stages.prepare import prepare
from pagerec_dbx.stages.resume import resume, resume_or_train
from pagerec_dbx.stages.stopped_runs import FORMAT, find_stopped, run_folder, stopped_runs
from pagerec_dbx.stages.train import train
from pagerec_dbx.tables import Tables
from pagerec_dbx.training.checkpoints import Checkpoint, Checkpoints
from pagerec_dbx.training.distributed import require_ranks, run_on_ranks, train_on_ranks
from pagerec_dbx.training.horovod_ranks import require_gpus
from pagerec_dbx.training.job import EpochReport, OneRank, TrainingJob
from pagerec_dbx.training.loop import fit
from pagerec_dbx.training.optimizer import optimizer_of
from pagerec_dbx.training.plan import StepCosts
from pagerec_dbx.training.steps import Steps
from pagerec_dbx.training.weights import Best, load_weights
from tests.training_jobs import training_job, with_settings


@pytest.fixture
def job(prepared, tmp_path) -> TrainingJob:
    return training_job(prepared, tmp_path / "run")


LEARNERS = [
    ("two_tower_softmax", "full_softmax"),
    ("two_tower_binary", "binary"),
    ("single_tower_softmax", "sampled_softmax"),
    ("single_tower_softmax", "in_batch_softmax"),
]
SOON = (LEARNERS[0], LEARNERS[2])  # the other two, which draw as the third does, are for `make test-slow`


def test_one_rank_learns_and_keeps_the_best_epoch(job):
    reports: list[EpochReport] = []
    result = fit(job, OneRank(), reports.append)
    assert reports == list(result.reports) and [report.epoch for report in reports] == [1, 2, 3]
    assert reports[-1].loss < reports[0].loss < math.log(job.config.row_count) + 0.5
    # ten rows, one clicked: in any order the NDCG is .454, and three epochs learn something
    random = sum(1 / math.log2(place + 1) for place in range(1, 11)) / 10
    assert random < reports[-1].validation_ndcg <= 1
    assert result.best_epoch == 1 + max(range(3), key=lambda number: reports[number].validation_ndcg)
    # 3,000 page views: 2,400 before the holdout, 1,920 of them for training: 60 steps of 32
    assert (result.steps_per_epoch, result.left_out_per_epoch) == (60, 0)
    model = build(job.config, seed=99)
    load_weights(model, job.weights_file)
    assert result.parameters == parameter_count(model)


def test_the_weights_that_are_left_are_those_of_the_best_epoch(job, monkeypatch):
    """The second of three, as its figures are made here; each epoch's weights are taken as it ends."""
    real, at_end = Best.note, []

    def note(self, epoch, figure, model):
        at_end.append(model.get_weights())
        real(self, epoch, {1: -0.5, 2: -0.7, 3: -0.6}[epoch], model)

    monkeypatch.setattr(Best, "note", note)
    assert fit(job, OneRank(), print).best_epoch == 2
    left = trained_weights(job)
    assert all(np.array_equal(one, other) for one, other in zip(left, at_end[1], strict=True))
    assert any(not np.array_equal(one, other) for one, other in zip(left, at_end[2], strict=True))


def test_the_same_seed_trains_the_same_weights(job, tmp_path):
    jobs = [
        dataclasses.replace(with_settings(job, seed=seed, epochs=1), folder=str(tmp_path / name))
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    for one in jobs:
        fit(one, OneRank(), print)
    one, same, other = (next(array for array in trained_weights(one) if array.ndim == 2) for one in jobs)
    np.testing.assert_allclose(one, same, atol=1e-6)
    assert np.abs(one - other).max() > 1e-3


def test_training_without_petastorm_from_copies_on_a_local_disk_is_the_same(job, tmp_path, monkeypatch):
    """One setting away each; the records come in the same batches."""
    plain = fit(with_settings(job, seed=3), OneRank(), print)
    read, real = [], parquet_groups.ParquetGroups

    def recording(paths, threads):
        read.extend(paths)
        return real(paths, threads)

    monkeypatch.setitem(stream._READERS, "parquet", recording)
    changed = with_settings(job, seed=3, reader="parquet", cache=str(tmp_path / "disk"))
    other = fit(dataclasses.replace(changed, folder=str(tmp_path / "other")), OneRank(), print)
    np.testing.assert_allclose(curve(other), curve(plain), rtol=1e-5)
    (folder,) = {path.parents[2] for path in read}  # with SNAPSHOT/ROW_GROUP/FILE
    assert folder.parent == tmp_path / "disk" and folder.name.startswith("other rank 0 ")
    assert list((tmp_path / "disk").iterdir()) == []  # copies do not outlive their training
    read.clear()
    fit(
        dataclasses.replace(with_settings(changed, epochs=1), folder=str(tmp_path / "again" / "other")),
        OneRank(),
        print,
    )
    # Else who clears away what a dead rank left could take the copies of the rank that goes on in its place.
    assert folder not in {path.parents[2] for path in read}
    third = fit(dataclasses.replace(with_settings(job, seed=4), folder=str(tmp_path / "third")), OneRank(), print)
    assert np.abs(np.array(curve(third)) / curve(plain) - 1).max() > 1e-4  # the control: other batches are noticed


@pytest.mark.slow
@pytest.mark.parametrize(("name", "loss"), LEARNERS[:2])
def test_training_in_bfloat16_learns_nearly_the_same_and_keeps_float32_weights(job, tmp_path, name, loss):
    job = dataclasses.replace(job, config=dataclasses.replace(job.config, name=name, loss=loss))
    plain = fit(job, OneRank(), print)
    coarse = dataclasses.replace(with_settings(job, precision="bfloat16", xla=True), folder=str(tmp_path / "coarse"))
    compiled = []
    other = fit(coarse, OneRank(), lambda _: compiled.append(tf.config.optimizer.get_jit()))
    assert set(compiled) == {"autoclustering"}
    losses, ndcg = np.array(curve(other))[:, :2], np.array(curve(other))[:, 2]
    np.testing.assert_allclose(losses, np.array(curve(plain))[:, :2], rtol=0.01)
    # scores lie close together yet, so that roundings swap rows of the 480 page views
    np.testing.assert_allclose(ndcg, np.array(curve(plain))[:, 2], atol=0.03)
    assert np.abs(np.array(curve(other)) / curve(plain) - 1).max() > 1e-5  # the control: it was computed otherwise
    assert {one.dtype for one in trained_weights(coarse)} <= {np.dtype("float32"), np.dtype("int32")}
    assert tf_keras.mixed_precision.global_policy().name == "float32" and not tf.config.optimizer.get_jit()


class Stopped(Exception):
    """Stands for a kill."""


def stopped_after(monkeypatch, calls: int) -> None:
    """Stop a training at the given call for steps, as a kill would, once."""
    real, left = Steps.run, [calls]

    def run(self, batches, number):
        left[0] -= 1
        if left[0] == -1:
            raise Stopped
        return real(self, batches, number)

    monkeypatch.setattr(Steps, "run", run)


def curve(result):
    return [(report.loss, report.validation_loss, report.validation_ndcg) for report in result.reports]


# of 18 calls: three epochs of 60 steps, ten at a time
@pytest.mark.parametrize(
    ("name", "loss", "calls"),
    [
        pytest.param(*learner, calls, marks=[] if calls == 9 and learner in SOON else [pytest.mark.slow])
        for learner in LEARNERS
        for calls in (1, 9, 17)
    ],
)
def test_a_training_that_was_stopped_goes_on_as_if_it_never_had(job, tmp_path, monkeypatch, name, loss, calls):
    job = with_settings(job, steps_at_once=10, checkpoint_minutes=0.0)
    config = dataclasses.replace(job.config, name=name, loss=loss, sampling="clicks", sampled_rows=3, dropout=0.3)
    job = dataclasses.replace(job, config=config)
    undisturbed = fit(dataclasses.replace(job, folder=str(tmp_path / "undisturbed")), OneRank(), print)
    stopped_after(monkeypatch, calls)
    with pytest.raises(Stopped):
        fit(job, OneRank(), print)
    told = []
    resumed = fit(job, OneRank(), told.append)
    np.testing.assert_allclose(curve(resumed), curve(undisturbed), rtol=1e-5)
    assert [report.epoch for report in told] == list(range(calls // 6 + 1, 4))  # epochs told before are not told again
    assert resumed.best_epoch == undisturbed.best_epoch
    of_whole = trained_weights(dataclasses.replace(job, folder=str(tmp_path / "undisturbed")))
    for one, other in zip(trained_weights(job), of_whole, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_steps_after_the_last_checkpoint_are_taken_again(job, tmp_path, monkeypatch):
    """Most kills come between two checkpoints: what was learnt since the last one is lost, and learnt again."""
    job = with_settings(job, steps_at_once=10, epochs=2)
    job = dataclasses.replace(job, config=dataclasses.replace(job.config, dropout=0.3))
    undisturbed = fit(dataclasses.replace(job, folder=str(tmp_path / "undisturbed")), OneRank(), print)
    asked = itertools.count(1)
    # it is asked after each call of ten steps and after an epoch: the 9th time after 20 steps of the second epoch
    monkeypatch.setattr(Checkpoints, "is_due", property(lambda self: next(asked) % 3 == 0))
    stopped_after(monkeypatch, 10)  # of 12 calls: after 40 steps of the second epoch
    with pytest.raises(Stopped):
        fit(job, OneRank(), print)
    assert Checkpoints(Path(job.folder), 2, 0).newest().step == 80
    np.testing.assert_allclose(curve(fit(job, OneRank(), print)), curve(undisturbed), rtol=1e-5)


def test_an_epoch_that_was_not_told_is_told_when_the_training_goes_on(job):
    """A kill after an epoch, before its figures were written down; with a checkpoint at every chance."""
    told = []

    def tell(report):
        if report.epoch == 2 and len(told) == 1:
            told.append("killed")
            raise Stopped
        told.append(report.epoch)

    job = with_settings(job, checkpoint_minutes=0.0)
    with pytest.raises(Stopped):
        fit(job, OneRank(), tell)
    fit(job, OneRank(), tell)
    assert told == [1, "killed", 2, 3]


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.data(),
    at_once=st.integers(1, 25),
    learner=st.sampled_from(LEARNERS),
    optimizer=st.sampled_from(["lazy_adam", "adam", "sgd"]),
)
def test_a_training_can_be_stopped_at_any_step(job, tmp_path_factory, data, at_once, learner, optimizer):
    folder = tmp_path_factory.mktemp("any-step")
    calls = data.draw(st.integers(0, 2 * math.ceil(60 / at_once) - 1), label="calls before it is stopped")
    changes = {"steps_at_once": at_once, "checkpoint_minutes": 0.0, "epochs": 2, "optimizer": optimizer}
    job = dataclasses.replace(with_settings(job, **changes), folder=str(folder / "stopped"))
    name, loss = learner
    job = dataclasses.replace(
        job, config=dataclasses.replace(job.config, name=name, loss=loss, sampled_rows=3, dropout=0.3)
    )
    undisturbed = fit(dataclasses.replace(job, folder=str(folder / "undisturbed")), OneRank(), print)
    with pytest.MonkeyPatch.context() as patched:
        stopped_after(patched, calls)
        with pytest.raises(Stopped):
            fit(job, OneRank(), print)
        resumed = fit(job, OneRank(), print)
    np.testing.assert_allclose(curve(resumed), curve(undisturbed), rtol=1e-5)


@pytest.mark.parametrize(
    "forgotten", ["optimizer", *(pytest.param(part, marks=pytest.mark.slow) for part in ("model", "skip", "draws"))]
)
def test_a_checkpoint_without_one_of_its_parts_would_be_noticed(job, tmp_path, monkeypatch, forgotten):
    """The control of the test above: each part is left out in turn, and the curve is another one."""
    job = with_settings(job, steps_at_once=10, checkpoint_minutes=0.0)
    job = dataclasses.replace(job, config=dataclasses.replace(job.config, dropout=0.3))
    undisturbed = fit(dataclasses.replace(job, folder=str(tmp_path / "undisturbed")), OneRank(), print)
    stopped_after(monkeypatch, 4)
    with pytest.raises(Stopped):
        fit(job, OneRank(), print)
    real = Checkpoints.newest

    def newest(self):
        found = real(self)
        arrays, state = dict(found.arrays), dict(found.state)
        for name, array in arrays.items():
            is_draws = array.dtype == np.int32
            if (forgotten == "draws" and is_draws) or (name.startswith(f"{forgotten}/") and not is_draws):
                arrays[name] = np.zeros_like(array)
        if forgotten == "skip":
            state["position"] = state["position"] | {"step": 0}
        return Checkpoint(found.step, state, arrays)

    monkeypatch.setattr(Checkpoints, "newest", newest)
    assert np.abs(np.array(curve(fit(job, OneRank(), print))) / curve(undisturbed) - 1).max() > 1e-4


def test_a_training_ends_where_it_is_told_to(job, tmp_path):
    told = []

    def on_epoch(report):
        told.append(report.epoch)
        return report.epoch == 2

    result = fit(job, OneRank(), on_epoch)
    assert told == [1, 2] and (result.epochs, result.was_stopped) == (2, True)
    assert (tmp_path / "run" / "weights.npz").exists()
    # the control: at its last epoch it has come to its end
    whole = fit(dataclasses.replace(job, folder=str(tmp_path / "whole")), OneRank(), lambda report: report.epoch == 3)
    assert (whole.epochs, whole.was_stopped) == (3, False)


def test_two_ranks_with_different_data_hold_equal_weights_and_end_where_the_first_is_told_to(job, prepared):
    """The second one, which is told nothing, would wait for the first in the last of three epochs."""
    log = prepared.home.logs / "ranks.log"
    results = run_on_ranks(lambda ranks: fit(job, ranks, lambda report: report.epoch == 2), 2, slots=2, log_file=log)
    assert [(result.epochs, result.was_stopped) for result in results] == [(2, True)] * 2
    assert len(results) == 2 and results[0].ranks == 2
    assert results[0].digests[0] == results[0].digests[1] == results[1].digests[0] != 0
    # each rank takes 960 of the 1,920 records: 30 steps of 32
    assert (results[0].steps_per_epoch, results[0].left_out_per_epoch) == (30, 0)
    assert results[0].reports[-1].loss < results[0].reports[0].loss


def two_ranks(job, log, stopped_at=None):
    """What each of two ranks came to; `stopped_at`: both are stopped at that call for steps."""

    def work(ranks):
        real, calls = Steps.run, []

        def run(self, batches, number):
            calls.append(number)
            if len(calls) - 1 == stopped_at:
                raise KeyError("stopped")  # a rank cannot import the errors of this file
            return real(self, batches, number)

        Steps.run = run  # of a process that ends with this
        try:
            return fit(job, ranks, lambda report: None)
        except KeyError:
            return "stopped"

    return run_on_ranks(work, 2, slots=2, log_file=log)


def test_two_ranks_that_were_stopped_in_an_epoch_go_on_as_if_they_never_had(job, tmp_path):
    """The first rank writes the checkpoint; the loss in it is of both."""
    job = with_settings(job, steps_at_once=10, checkpoint_minutes=0.0, epochs=2)
    log = tmp_path / "ranks.log"
    undisturbed = two_ranks(dataclasses.replace(job, folder=str(tmp_path / "undisturbed")), log)
    assert two_ranks(job, log, stopped_at=4) == ["stopped", "stopped"]  # of 3 calls an epoch: in the second one
    resumed = two_ranks(job, log)
    np.testing.assert_allclose(curve(resumed[0]), curve(undisturbed[0]), rtol=1e-5)


def test_an_error_that_one_rank_alone_meets_is_told(prepared, tmp_path):
    def work(ranks):
        if ranks.rank == 1:
            raise SnapshotError("snapshot x cannot be copied", got="No space left on device")
        return ranks.gather(np.array([1.0]))

    with pytest.raises(TrainingError, match="rank 1: SnapshotError: snapshot x cannot be copied.*No space left"):
        run_on_ranks(work, 2, slots=2, log_file=tmp_path / "ranks.log")


def test_a_file_that_was_changed_is_named_before_ranks_are_launched(job, tmp_path):
    snapshot = shutil.copytree(job.train_snapshot, tmp_path / Path(job.train_snapshot).name)
    part = sorted(snapshot.rglob("*.parquet"))[1]
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    damaged = dataclasses.replace(job, train_snapshot=str(snapshot), folder=str(tmp_path / "run"))
    with pytest.raises(SnapshotError, match=f"{part.parent.name}/{part.name} was changed after it was written"):
        train_on_ranks(damaged, 2, lambda _: None, 2, tmp_path / "log", list)
    assert not (tmp_path / "log").exists()  # no rank was launched


def full_batch(job, folder, batch_size):
    """Three steps of plain gradient descent over all records at once: their order plays no part."""
    changes = {"batch_size": batch_size, "epochs": 3, "optimizer": "sgd", "learning_rate": 0.5}
    return dataclasses.replace(with_settings(job, **changes), folder=str(folder))


def trained_weights(job):
    with np.load(job.weights_file) as saved:
        return [saved[name] for name in sorted(saved.files)]


def test_two_ranks_equal_one_rank_with_twice_the_batch(job, prepared, tmp_path, monkeypatch):
    two, gathered, one, half = (full_batch(job, tmp_path / name, size) for name, size in
                                (("two", 960), ("gathered", 960), ("one", 1_920), ("half", 960)))  # fmt: skip
    two = with_settings(two, whole_table_rows=16_384)  # by default two ranks give each other rows

    def both_ways(ranks):
        return [fit(job, ranks, lambda report: None) for job in (two, gathered)]

    run_on_ranks(both_ways, 2, slots=2, log_file=tmp_path / "ranks.log")

    # the rate rises with the ranks: the single rank is given that of two, .5 in the first step and 1 after it
    def rate_of_two(settings, _, steps):
        return optimizer_of(settings, 2, steps)

    monkeypatch.setattr("pagerec_dbx.training.loop.optimizer_of", rate_of_two)
    fit(one, OneRank(), lambda report: None)
    for whole, rows, of_one in zip(*map(trained_weights, (two, gathered, one)), strict=True):
        np.testing.assert_allclose(whole, of_one, atol=1e-5)
        np.testing.assert_allclose(rows, of_one, atol=1e-5)
    fit(half, OneRank(), lambda report: None)  # the control: half the records in twice as many steps
    apart = [np.abs(a - b).max() for a, b in zip(trained_weights(two), trained_weights(half), strict=True)]
    assert max(apart) > 1e-3


def test_two_ranks_drift_apart_without_the_reduction_and_that_is_noticed(job, prepared):
    job = with_settings(job, check_steps=10)  # so after the first call of 16 steps

    def unreduced(ranks):
        class Unreduced:  # exchanges figures only: what training would be with the reduction taken out
            rank, size, words = ranks.rank, ranks.size, ranks.words
            gather, broadcast, stand = ranks.gather, ranks.broadcast, ranks.stand

            def mean(self, gradients, variables, whole_table_rows):
                return gradients

        return fit(job, Unreduced(), lambda report: None)

    with pytest.raises(TrainingError, match="the ranks have different gradients at epoch 1, step 16"):
        run_on_ranks(unreduced, 2, slots=2, log_file=prepared.home.logs / "ranks.log")


def test_two_ranks_that_read_the_same_records_are_noticed(job, prepared):
    """Each in an order of its own, so that it is certain only at the end of the epoch."""

    def twice(ranks):
        from pagerec_dbx.features.stream import Shard

        Shard.part_of = lambda self, groups: groups[:: self.count]  # every rank takes the first one's
        return fit(job, ranks, lambda report: None)

    with pytest.raises(TrainingError, match="two ranks read the same records in epoch 1"):
        run_on_ranks(twice, 2, slots=2, log_file=prepared.home.logs / "ranks.log")


def test_a_rank_that_dies_ends_the_training_in_words(prepared, capfd):
    def dies(ranks):
        if ranks.rank == 1:
            raise ZeroDivisionError("rank 1 came to grief")
        return ranks.gather(np.array([1.0]))

    with pytest.raises(TrainingError, match="a training rank died") as died:
        run_on_ranks(dies, 2, slots=2, log_file=prepared.home.logs / "ranks.log")
    assert "ranks.log" in str(died.value)
    assert "Traceback" not in capfd.readouterr().err
    assert "SparkException" in (prepared.home.logs / "ranks.log").read_text()  # the launcher's own trace, not lost


def test_more_ranks_than_slots_are_refused_at_once(job, prepared):
    with pytest.raises(TrainingError, match="4 ranks cannot run at once: wanted 4 Spark task slots, got 2"):
        run_on_ranks(lambda ranks: None, 4, slots=2, log_file=prepared.home.logs / "ranks.log")


class FiveRanks(OneRank):
    size = 5


def test_ranks_that_do_not_divide_the_row_groups_are_refused(job):
    with pytest.raises(SnapshotError, match="do not divide the row groups"):
        fit(job, FiveRanks(), print)


def test_ranks_that_cannot_train_are_refused_before_a_run_is_opened(job, prepared):
    require_ranks(job, 2, slots=2)  # the control: these can
    with pytest.raises(TrainingError, match="4 ranks cannot run at once"):
        require_ranks(job, 4, slots=2)
    with pytest.raises(NoExamplesError, match="less than one step"):
        require_ranks(with_settings(job, batch_size=5_000), 1, slots=2)
    registry = Registry(prepared.home)
    with pytest.raises(TrainingError, match="5 ranks cannot run at once"):
        train(prepared.tables, registry, "two_tower_softmax", 5, prepared.settings)
    with pytest.raises(SnapshotError, match="do not divide the row groups"):
        require_ranks(job, 5, slots=8)
    assert not (prepared.home.folder / "mlflow.db").exists()


def test_more_ranks_than_gpus_are_refused_on_every_rank_alike():
    require_gpus([0, 0])  # as many as ranks, or none anywhere
    with pytest.raises(
        TrainingError, match="3 ranks have no GPU each: wanted one rank a GPU, got a machine with 1 GPU"
    ):
        require_gpus([0, 1, 1])


def test_less_than_one_step_is_refused(job):
    with pytest.raises(NoExamplesError, match="less than one step: wanted at least 1 x 5000 examples, got 1,920"):
        fit(with_settings(job, batch_size=5_000), OneRank(), print)


@pytest.mark.parametrize(("place", "name"), [(0, "loss"), (1, "validation loss"), (2, "validation NDCG")])
@pytest.mark.parametrize("number", ["nan", "inf"])
def test_a_loss_that_is_no_number_ends_the_training(job, place, name, number):
    with pytest.raises(TrainingError, match=f"the {name} of epoch 1 is no number: wanted a number, got {number}, and"):
        fit(with_settings(job, epochs=1), NotANumber(place, float(number)), print)


def test_a_loss_that_is_no_number_leaves_the_last_good_checkpoint(job, monkeypatch):
    job = with_settings(job, steps_at_once=10, checkpoint_minutes=0.0)
    real, calls = Steps.run, []

    def run(self, batches, number):
        calls.append(number)
        taken = real(self, batches, number)
        return taken._replace(loss=math.nan, lost=4, days=(19_723, 19_724)) if len(calls) > 3 else taken

    monkeypatch.setattr(Steps, "run", run)
    # the fifth step of the fourth call of ten
    words = (
        r"the loss of step 35 \(epoch 1, step 35\), or its gradient, is no number: wanted a number, got a batch "
        "of page views of 2024-01-01 to 2024-01-02, and the checkpoint of step 30 before it, which stays in .*"
    )
    with pytest.raises(LossError, match=words + r"\. Train anew with a lower learning_rate: "):
        fit(job, OneRank(), print)
    assert Checkpoints(Path(job.folder), 2, 0).newest().step == 30  # of 60 steps, the first 30 were sound


class NotANumber(OneRank):
    """Another rank whose figures (loss, sums of validation loss and NDCG, page views) have no number at one place."""

    def __init__(self, place, number):
        self.place, self.number = place, number

    def gather(self, values):
        values = np.array(values, float)
        if len(values) == 5:  # an epoch's
            values[self.place] = self.number
        return values[None, :]


class Weights:
    """A model as far as early stopping knows one."""

    def __init__(self):
        self.value = 0

    def get_weights(self):
        return self.value

    def set_weights(self, value):
        self.value = value


def test_the_first_step_whose_loss_is_no_number_is_told_with_the_days_of_its_batch():
    class Lossy:
        """A loss that is lost once it has seen a record of another kind."""

        def __init__(self):
            self.weight, self.losses = tf.Variable(1.0), []
            self.trainable_variables = [self.weight]

        def compute_loss(self, batch, training):
            return self.weight * tf.reduce_sum(batch["value"])

    values, days = [1.0, 1.0, math.nan, 1.0], [[7, 5], [6, 6], [9, 3], [8, 8]]
    ids = tf.constant([[2**62, 2**62], [3, 4], [5, 6], [7, 8]], tf.int64)
    batches = tf.data.Dataset.from_tensor_slices({"value": values, "day": tf.constant(days), "page_view_id": ids})
    run = Steps(Lossy(), tf.keras.optimizers.legacy.SGD(0.1), lambda gradients, _: gradients).run
    taken = run(iter(batches), 4)
    assert (taken.lost, taken.days) == (2, (3, 9)) and math.isnan(taken.loss)
    # the least of eight ids, each times the first mixer, as 64 bits with a sign, of which the upper 53 are kept
    mixed = [(number * 0x1E3779B97F4A7C15 + 2**63) % 2**64 - 2**63 for number in [2**62, 2**62, 3, 4, 5, 6, 7, 8]]
    assert len(taken.least) == 4 and taken.least[0] == min(mixed) >> 11
    assert run(iter(batches.take(2)), 2).lost == 0  # the weight is lost too by now
    sound = Steps(Lossy(), tf.keras.optimizers.legacy.SGD(0.1), lambda gradients, _: gradients).run
    taken = sound(iter(batches.take(2)), 2)
    assert taken.lost == -1 and taken.gradients == (1.0, 1.0)  # of the weight, in the last step: the value of its batch


def test_a_gradient_that_is_no_number_is_told_before_its_weights_are_kept():
    class Steep:
        """The square root of nothing has a loss, and a gradient without end."""

        def __init__(self):
            self.weight, self.losses = tf.Variable(0.0), []
            self.trainable_variables = [self.weight]

        def compute_loss(self, batch, training):
            return tf.sqrt(self.weight)

    batches = tf.data.Dataset.from_tensors({"day": [7, 5], "page_view_id": tf.constant([1, 2], tf.int64)})
    taken = Steps(Steep(), tf.keras.optimizers.legacy.SGD(0.1), lambda gradients, _: gradients).run(iter(batches), 1)
    assert (taken.loss, taken.lost, taken.days) == (0.0, 0, (5, 7))


@pytest.mark.slow
def test_the_epoch_to_keep_is_the_one_that_was_asked_for(job, tmp_path):
    by_loss = dataclasses.replace(with_settings(job, best_by="loss"), folder=str(tmp_path / "by loss"))
    for wanted, one in (("validation_ndcg", job), ("validation_loss", by_loss)):
        result = fit(one, OneRank(), print)
        figures = [getattr(report, wanted) for report in result.reports]
        best = max(figures) if wanted == "validation_ndcg" else min(figures)
        assert figures[result.best_epoch - 1] == best
    last = dataclasses.replace(with_settings(job, best_by="last", epochs=4, patience=1), folder=str(tmp_path / "last"))
    assert fit(last, OneRank(), print).best_epoch == 4


def test_early_stopping_waits_patiently_and_goes_back():
    best, model = Best(patience=2), Weights()
    stopped = []
    for epoch, loss in enumerate((3.0, 1.0, 2.0, 1.5), start=1):
        model.value = epoch
        best.note(epoch, loss, model)
        stopped.append(best.patience_ended)
    # the best is epoch 2; epochs 3 and 4 are not better, and two are all the patience there is
    assert stopped == [False, False, False, True]
    best.restore(model)
    assert (best.epoch, model.value) == (2, 2)


def test_unknown_models_are_refused_before_anything_runs(prepared):
    with pytest.raises(UnknownModelError, match="unknown model `magic`"):
        train(prepared.tables, prepared.registry, "magic", 1, prepared.settings)
    assert not os.path.exists(prepared.home.folder / "mlflow.db")


@pytest.mark.slow
def test_the_legacy_s_architecture_is_registered_as_legacy_and_is_no_challenger(prepared):
    registry = Registry(prepared.home)
    designed = load_settings(
        overrides=["epochs=1", "batch_size=64", "embedding_size=8"], designed=MODEL_SETTINGS["legacy_binary"]
    )
    assert registry.legacy() is None
    trained = train(prepared.tables, registry, "legacy_binary", 1, designed)
    version = registry.version("legacy")
    assert (version.version, version.tags["role"]) == (trained.version, "legacy") == (registry.legacy(), "legacy")
    with pytest.raises(UnknownVersionError, match="no model version `challenger`"):
        registry.version("challenger")
    ranker = registry.load("legacy")
    assert (ranker.config.dropout, ranker.config.hidden_sizes) == (0.2, (128, 64))
    another = train(prepared.tables, registry, "two_tower_softmax", 1, designed)  # the control: anybody else is one
    assert registry.resolve("challenger") == another.version and "role" not in registry.version("challenger").tags


def test_a_plan_says_what_a_training_takes_and_writes_nothing(prepared, job):
    (prepared.home.snapshots / ".leases").mkdir(exist_ok=True)  # who reads a snapshot says so, and takes it back
    before = sorted(prepared.home.folder.rglob("*"))
    settings = load_settings(overrides=["batch_size=100", "epochs=7", "embedding_size=8", "hidden_sizes=[16]"])
    planned = plan_training(prepared.tables, "two_tower_softmax", 2, settings)
    parameters = parameter_count(build(job.config, seed=1))
    assert planned.parameters == parameters
    assert planned.embedding_bytes == 4 * 8 * (job.config.title_count + job.config.row_count)
    assert planned.optimizer_bytes == 2 * 4 * parameters + 8  # two moments of each weight, and the count of steps
    # 1,920 records, 960 a rank: 9 steps of 100 on each, 2 x 60 records left out
    assert (planned.steps_per_epoch, planned.left_out_per_epoch) == (9, 120)
    assert planned.memory_bytes > 100e6
    assert planned.step_seconds > 0
    assert "9 steps an epoch, 120 records left out of each" in planned.to_text()
    one_step = dataclasses.replace(settings, train=dataclasses.replace(settings.train, batch_size=1_000))
    assert plan_training(prepared.tables, "two_tower_softmax", 1, one_step).steps_per_epoch == 1
    assert sorted(prepared.home.folder.rglob("*")) == before
    with pytest.raises(TrainingError, match="400 ranks cannot run at once"):
        plan_training(prepared.tables, "two_tower_softmax", 400, settings)


def test_a_plan_s_time_and_memory_by_hand(prepared, monkeypatch):
    costs = StepCosts(
        weight_bytes=400, held_bytes=1_000, embedding_bytes=320, optimizer_bytes=300, process_bytes=10_000,
        step_seconds=0.5, validation_step_seconds=0.25,
    )  # fmt: skip
    monkeypatch.setattr("pagerec_dbx.training.plan.measure", lambda job: costs)
    settings = load_settings(overrides=["batch_size=100", "epochs=7"])
    planned = plan_training(prepared.tables, "two_tower_softmax", 2, settings)
    # an epoch: 9 steps on each of two ranks, 9 s, and 480 validation records in 5 steps, 1.25 s; seven are 71.75 s
    assert planned.seconds == pytest.approx(71.75, abs=0.051)
    # the process, the best weights, and a checkpoint's copy of weights and optimizer: 10,000 + 1,000 + 1,000 + 300
    assert planned.memory_bytes == 12_300
    assert (planned.parameters, planned.embedding_bytes, planned.optimizer_bytes) == (100, 320, 300)
    alone = plan_training(prepared.tables, "two_tower_softmax", 1, settings)
    # 19 steps, 9.5 s, and as many of validation: 75.25 s
    assert alone.seconds == pytest.approx(75.25, abs=0.051) and alone.memory_bytes == planned.memory_bytes


def test_a_profile_is_left_beside_the_run(prepared):
    settings = load_settings(overrides=["epochs=1", "batch_size=32", "embedding_size=8"])
    trained = train(prepared.tables, Registry(prepared.home), "two_tower_softmax", 1, settings, profile=True)
    folder = prepared.home.folder / "profiles" / trained.run_id
    assert "# Where 16 steps spent their time" in (folder / "summary.md").read_text()
    assert list(folder.glob("plugins/profile/*/*.xplane.pb"))


@pytest.mark.parametrize("place", [(MlflowClient, "set_registered_model_alias"), (Registry, "end_run")])
def test_a_run_that_was_killed_once_it_was_registered_is_not_registered_twice(prepared, monkeypatch, place):
    registry = Registry(prepared.home)
    settings = load_settings(overrides=["epochs=1", "batch_size=64", "embedding_size=8"])

    def killed(*_, **__):
        raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr(*place, killed)
        with pytest.raises(Stopped):
            train(prepared.tables, registry, "two_tower_softmax", 1, settings)
    (run_id,) = stopped_runs(prepared.home)
    version = registry.version_of(run_id)
    with pytest.raises(TrainingError, match=f"run {run_id} is version {version} already"):
        resume(prepared.tables, registry, find_stopped(prepared.home, run_id), load_settings())
    assert registry.resolve("challenger") == version and stopped_runs(prepared.home) == []


def test_a_job_that_is_run_again_finds_what_it_registered_before_it_was_killed(prepared, monkeypatch):
    registry = Registry(prepared.home)
    settings = load_settings(overrides=["epochs=2", "batch_size=64", "embedding_size=8", "seed=23"])

    def killed(*_, **__):
        raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "set_registered_model_alias", killed)
        with pytest.raises(Stopped):
            train(prepared.tables, registry, "two_tower_softmax", 1, settings)
    (run_id,) = stopped_runs(prepared.home)
    found = resume_or_train(prepared.tables, registry, "two_tower_softmax", 1, settings)
    version = registry.version(registry.resolve("challenger"))
    assert (found.run_id, found.version) == (run_id, version.version) and version.run_id == run_id
    assert (found.epochs, str(found.parameters)) == (2, version.tags["parameters"])
    assert found.validation_ndcg == max(epoch["validation_ndcg"] for epoch in registry.run_curves(run_id))
    # 1,920 records for training: 30 steps of 64 leave none out
    assert found.left_out_per_epoch == 0 and stopped_runs(prepared.home) == []


def test_a_training_whose_loss_was_lost_is_not_gone_on_with(prepared, monkeypatch):
    """The control: one that was stopped otherwise is, above."""
    registry = Registry(prepared.home)
    settings = load_settings(overrides=["epochs=1", "batch_size=64", "embedding_size=8"])
    real = Steps.run

    def lost(self, batches, number):
        return real(self, batches, number)._replace(lost=0)

    with monkeypatch.context() as patched:
        patched.setattr(Steps, "run", lost)
        with pytest.raises(LossError):
            train(prepared.tables, registry, "two_tower_softmax", 1, settings)
    assert stopped_runs(prepared.home) == []
    (left,) = (prepared.home.folder / "training").iterdir()  # to be looked at; other tests look for an empty folder
    shutil.rmtree(left)


def test_a_training_whose_records_do_not_do_is_not_gone_on_with(prepared, capfd):
    settings = load_settings(
        overrides=["epochs=1", "batch_size=64", "embedding_size=8", "loss=menu_softmax", "propensities=randomized"]
    )
    with pytest.raises(NoExamplesError, match="too few clicks on page views in random order"):
        train(prepared.tables, Registry(prepared.home), "two_tower_softmax", 1, settings)
    assert "stopped; go on" not in capfd.readouterr().err and stopped_runs(prepared.home) == []
    shutil.rmtree(prepared.home.folder / "training")  # as above
    (prepared.home.folder / "training").mkdir()


def stopped_run(prepared, monkeypatch, *overrides: str) -> tuple[str, list[str]]:
    """A training of this home that was stopped in its second epoch, and the settings that it was given."""
    given = ["epochs=3", "batch_size=64", "embedding_size=8", "checkpoint_minutes=0", *overrides]
    with monkeypatch.context() as patched:
        stopped_after(patched, 3)  # 1,920 records are 30 steps of 64 an epoch, in calls of 16 and 14
        with pytest.raises(Stopped):
            train(prepared.tables, Registry(prepared.home), "two_tower_softmax", 1, load_settings(overrides=given))
    (run_id,) = stopped_runs(prepared.home)
    return run_id, given


def go_on(prepared, run_id: str, *overrides: str):
    stopped, given = find_stopped(prepared.home, run_id), given_settings(overrides=overrides)
    return resume(prepared.tables, Registry(prepared.home), stopped, load_settings(overrides=overrides), given)


def test_a_stopped_run_is_gone_on_with_and_registered(prepared, monkeypatch, capsys):
    registry = Registry(prepared.home)
    run_id, _ = stopped_run(prepared, monkeypatch)
    command = f"pagerec train --resume {run_id} --home {prepared.home.name}"
    assert f"  stopped; go on with: {command}\n" in capsys.readouterr().err
    with pytest.raises(TrainingError, match=f"no stopped training `nobody`: wanted one of {run_id}"):
        find_stopped(prepared.home, "nobody")
    for override in ("batch_size=32", "epochs=20"):  # the second is the default, and asked for all the same
        with pytest.raises(SettingError, match="cannot change in a run that goes on: wanted (64, got 32|3, got 20)"):
            go_on(prepared, run_id, override)
    others = ["batch_size=64", "reader=parquet", "checkpoints_kept=1"]  # how it is run may change, not what it learns
    result = go_on(prepared, str(run_folder(prepared.home, run_id)), *others)  # its folder names it too
    assert "  going on from epoch 2, step 16 of 30\n" in capsys.readouterr().err
    assert (result.run_id, result.epochs, registry.resolve("challenger")) == (run_id, 3, result.version)
    assert [point["epoch"] for point in registry.run_curves(run_id)] == [1, 2, 3]
    assert stopped_runs(prepared.home) == []
    with pytest.raises(TrainingError, match="no stopped training"):
        find_stopped(prepared.home, run_id)


@pytest.mark.slow
def test_a_copied_home_goes_on_by_itself(prepared, monkeypatch, tmp_path):
    """The home that it was copied from keeps its checkpoints, its runs and its models."""
    run_id, _ = stopped_run(prepared, monkeypatch)
    copy = Home(str(tmp_path / "copy"))
    shutil.copytree(prepared.home.folder, copy.folder)
    before = files_below(prepared.home.folder)
    tables = Tables(prepared.tables.spark, copy)
    result = resume(tables, Registry(copy), find_stopped(copy, run_id), load_settings())
    assert result.epochs == 3 and stopped_runs(copy) == [] and stopped_runs(prepared.home) == [run_id]
    assert files_below(prepared.home.folder) == before
    assert Registry(copy).load(result.version) is not None
    shutil.rmtree(run_folder(prepared.home, run_id))  # in this process MLflow looks for the run's files in the copy


def files_below(folder: Path) -> dict[str, int]:
    """Size of each file, but for what engines print."""
    found = [path for path in folder.rglob("*") if path.is_file() and "logs" not in path.parts]
    return {str(path.relative_to(folder)): path.stat().st_size for path in found}


@pytest.mark.slow
def test_prepare_keeps_the_snapshots_of_a_stopped_run(prepared, monkeypatch, tmp_path):
    home = Home(str(tmp_path / "home"))
    shutil.copytree(prepared.home.folder, home.folder)
    copy = dataclasses.replace(prepared, home=home)
    run_id, _ = stopped_run(copy, monkeypatch)
    job = training_job(copy, tmp_path / "run")
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=20)
    others = dataclasses.replace(prepared.settings.prepare, history_length=7, snapshot_days=1)
    prepare(copy.tables, others, later)
    assert Path(job.train_snapshot).is_dir() and Path(job.validation_snapshot).is_dir()
    result = go_on(copy, run_id)
    assert result.epochs == 3
    prepare(copy.tables, others, later)  # the control: nobody needs them any more
    assert not Path(job.train_snapshot).exists() and not Path(job.validation_snapshot).exists()


@pytest.mark.slow
def test_a_job_that_is_run_again_goes_on_with_its_own_training_and_no_other(prepared, monkeypatch):
    registry = Registry(prepared.home)
    run_id, given = stopped_run(prepared, monkeypatch)
    other = load_settings(overrides=[*given, "seed=5"])
    assert resume_or_train(prepared.tables, registry, "two_tower_softmax", 1, other).run_id != run_id
    assert stopped_runs(prepared.home) == [run_id]
    same = load_settings(overrides=[*given, "checkpoint_minutes=7", "reader=parquet"])  # how it is run is free
    assert resume_or_train(prepared.tables, registry, "two_tower_softmax", 1, same).run_id == run_id
    assert stopped_runs(prepared.home) == []


KEPT = {
    "format": FORMAT,
    "run_id": "abc",
    "config": dataclasses.asdict(ModelConfig("two_tower_softmax", title_count=4, row_count=4)),
    "settings": dataclasses.asdict(load_settings().train),
    "ranks": 1,
    "preparation_id": "p",
}
OF_ANOTHER_VERSION = json.dumps({**KEPT, "settings": {**KEPT["settings"], "optimizer": "rmsprop"}})
OF_NO_RANK, OF_TWO = (json.dumps({**KEPT, "ranks": ranks}) for ranks in (0, "two"))
OF_OTHER_WEIGHTS = json.dumps({**KEPT, "format": FORMAT - 1})


def test_a_run_of_this_version_is_found(tmp_path):
    """The control of the test below."""
    home = Home(str(tmp_path / "home"))
    run_folder(home, "abc").mkdir(parents=True)
    (run_folder(home, "abc") / "run.json").write_text(json.dumps(KEPT))
    assert find_stopped(home, "abc").settings == load_settings().train


@pytest.mark.parametrize(
    "content",
    ["{}", "half of a fi", '{"config": {"hidden_sizes": 3}}', OF_ANOTHER_VERSION, OF_OTHER_WEIGHTS, OF_NO_RANK, OF_TWO],
)
def test_a_run_of_another_version_is_refused_in_words(tmp_path, content):
    home = Home(str(tmp_path / "home"))
    run_folder(home, "abc").mkdir(parents=True)
    (run_folder(home, "abc") / "run.json").write_text(content)
    with pytest.raises(TrainingError, match="stopped training `abc` cannot be read: .*else train anew"):
        find_stopped(home, "abc")
