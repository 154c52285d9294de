"""Tuning on a real home: the best trial is registered, a stop loses one trial at most, a poor one is given up."""

import contextlib
import dataclasses
from types import SimpleNamespace

import pytest
from mlflow import MlflowClient

from pagerec_dbx.config import flat, given_settings, load_settings
from pagerec_dbx.errors import (
    GO_ON,
    DeadRankError,
    NoExamplesError,
    SettingError,
    TrainingError,
    UnknownVersionError,
)
from pagerec_dbx.features.preparation import latest_preparation
from pagerec_dbx.models import search as search_module
from pagerec_dbx.registry.store import Registry
from pagerec_dbx.stages import tune as tuning
from pagerec_dbx.stages.tune import tune
from pagerec_dbx.training.steps import Steps
from pagerec_dbx.training.study import FAILED, FINISHED, PRUNED, TRIALS_BEFORE_JUDGING, open_study
from tests.commands import run

# All of the space but learning rate, dropout and loss, and a training of 30 steps an epoch.
FIXED = (
    *("batch_size=64", "epochs=2", "embedding_size=8", "hidden_sizes=[16]", "history_encoder=mean", "context=[]"),
    *("cross_layers=0", "l2=0", "label_smoothing=0"),
)
TRIALS = 2
MODEL = "two_tower_softmax"


def search(prepared, trials, *overrides):
    """`pagerec tune` on the shared home, but for the command line."""
    asked = [*FIXED, *overrides]
    given = frozenset(given_settings(overrides=asked))
    return tune(prepared.tables, Registry(prepared.home), MODEL, trials, 1, load_settings(overrides=asked), given)


@pytest.fixture(scope="module")
def searched(prepared):
    """A search of two trials that nothing disturbed; the holdout's snapshot was away meanwhile."""
    holdout = latest_preparation(prepared.tables).folder(prepared.home, "holdout")
    aside = holdout.rename(holdout.with_name("aside"))
    try:
        return search(prepared, TRIALS)
    finally:
        aside.rename(holdout)


def client(prepared) -> MlflowClient:
    return MlflowClient(Registry(prepared.home).tracking_uri, Registry(prepared.home).registry_uri)


def runs_below(prepared, parent):
    """The newest first."""
    experiment = client(prepared).get_experiment_by_name("pagerec").experiment_id
    return client(prepared).search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")


def test_the_best_trial_is_the_one_that_is_trained_anew_and_registered(prepared, searched):
    registry = Registry(prepared.home)
    curves = [registry.run_curves(trial.run_id) for trial in searched.trials]
    figures = [max(point["validation_ndcg"] for point in curve) for curve in curves]
    assert [trial.validation_ndcg for trial in searched.trials] == pytest.approx(figures)
    assert searched.best.number == 1 + max(range(TRIALS), key=lambda place: figures[place])
    assert len({round(figure, 6) for figure in figures}) == TRIALS  # the control: the trials differ
    assert registry.version("challenger").run_id == searched.trained_run_id
    trained = client(prepared).get_run(searched.trained_run_id).data
    of_best = {name: str(value) for name, value in searched.best.settings.items()}
    assert {name: trained.params[name] for name in of_best} == of_best
    assert (trained.tags["study"], trained.tags["trial"]) == (searched.study, str(searched.best.number))
    # one rank with the same seed comes to the same again
    again = max(point["validation_ndcg"] for point in registry.run_curves(searched.trained_run_id))
    assert again == pytest.approx(searched.best.validation_ndcg, abs=1e-4)


def test_trials_are_runs_below_one_run_and_leave_nothing_else(prepared, searched):
    below = runs_below(prepared, searched.run_id)
    assert [run.info.run_id for run in below][::-1] == [trial.run_id for trial in searched.trials]
    assert {run.info.status for run in below} == {"FINISHED"}
    parent = client(prepared).get_run(searched.run_id).data
    assert parent.metrics["validation_ndcg"] == searched.best.validation_ndcg and parent.metrics[FINISHED] == TRIALS
    assert [path.name for path in (prepared.home.folder / "tuning").iterdir()] == [f"{searched.study}.log"]
    assert not list((prepared.home.folder / "training").iterdir())
    registry = Registry(prepared.home)
    assert [registry.version_of(run.info.run_id) for run in below] == [None] * TRIALS
    with pytest.raises(UnknownVersionError):
        registry.resolve(str(int(searched.version) + 1))


def test_what_is_given_is_the_same_in_each_trial(prepared, searched):
    given = flat(load_settings(overrides=FIXED))
    names = [text.partition("=")[0] for text in FIXED]
    for below in runs_below(prepared, searched.run_id):
        assert {name: below.data.params[name] for name in names} == {name: str(given[name]) for name in names}
    assert {frozenset(trial.settings) for trial in searched.trials} == {
        frozenset(("learning_rate", "dropout", "loss"))
    }  # the control: these vary
    assert len({trial.settings["learning_rate"] for trial in searched.trials}) == TRIALS


def test_the_same_command_again_trains_nothing(prepared, searched):
    known = len(runs_below(prepared, searched.run_id))
    ran = run("tune", "--home", prepared.home.name, "--trials", "2", "--json", *FIXED)
    assert ran.code == 0, ran.err
    assert (ran.json["version"], ran.json["finished"], ran.json["pruned"]) == (searched.version, TRIALS, 0)
    assert ran.json["best"]["settings"] == searched.best.settings and ran.json["study"] == searched.study
    told = run("tune", "--home", prepared.home.name, "--trials", "1", *FIXED).out
    assert f"{MODEL}: 2 trials, 2 finished\nbest: trial {searched.best.number}, validation NDCG ." in told
    assert "as the best of 2 on the same days it flatters; only the holdout tells\nits settings: learning_rate=" in told
    assert told.endswith(f"registered as challenger: version {searched.version}\n")
    assert len(runs_below(prepared, searched.run_id)) == known


class Stopped(Exception):
    """Stands for a kill."""


@contextlib.contextmanager
def killed_at(training: int):
    """A kill in the given training, the first being 0: in its second epoch, and with no time to close a run."""
    real, left = Steps.run, [training * 4 + 2]  # 30 steps an epoch are two calls, of 16 and 14

    def steps(self, batches, number):
        left[0] -= 1
        if left[0] < 0:
            raise Stopped
        return real(self, batches, number)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Steps, "run", steps)
        patched.setattr(tuning, "mark_failed", lambda registry, run_id: None)
        with pytest.raises(Stopped):
            yield


@pytest.mark.slow
def test_a_search_that_was_stopped_goes_on_and_counts_each_trial_once(prepared, searched, capsys):
    """Stopped in the second trial, and in the training that comes after it."""
    journal = prepared.home.folder / "tuning" / f"{searched.study}.log"
    journal.unlink()
    (journal.parent / searched.study).mkdir()  # what a kill leaves of the trial under way
    registry, version = Registry(prepared.home), Registry(prepared.home).resolve("challenger")
    client(prepared).set_tag(searched.trained_run_id, "study", "forgotten")
    with killed_at(1):
        search(prepared, TRIALS)
    assert "  stopped; the same command goes on after 1 trial\n" in capsys.readouterr().err
    with open_study(journal, tuning.search_space(MODEL, {text.partition("=")[0] for text in FIXED}), 17) as study:
        parent, ended = study.parent, study.trials()
    assert [trial.number for trial in ended] == [1]
    assert [run.info.status for run in runs_below(prepared, parent)] == ["RUNNING", "FINISHED"]
    with killed_at(1):
        search(prepared, TRIALS, "checkpoint_minutes=0")
    result = search(prepared, TRIALS)
    assert result.trials[:1] == tuple(ended) and result.run_id == parent
    assert [trial.settings for trial in result.trials] == [trial.settings for trial in searched.trials]
    below = runs_below(prepared, parent)
    assert [run.info.status for run in below] == ["FINISHED", "FAILED", "FINISHED"]
    assert [run.data.tags["trial"] for run in below] == ["2", "2", "1"]
    assert client(prepared).get_run(parent).info.status == "FINISHED"
    # the training that was stopped went on, in its own run
    assert registry.find_runs({"study": result.study, "trial": str(result.best.number)}) == [result.trained_run_id]
    assert [point["epoch"] for point in registry.run_curves(result.trained_run_id)] == [1, 2]
    assert int(result.version) == int(version) + 1 and registry.resolve("challenger") == result.version
    assert not list((prepared.home.folder / "training").iterdir())


@pytest.fixture
def not_registered(monkeypatch):
    """What comes after the trials is left out: the tests above have it."""
    monkeypatch.setattr(tuning, "_registered", lambda search, best: ("0", "none"))


def others_came_to(prepared, ndcg, *overrides):
    """Put so many finished trials into the journal as the median rule wants."""
    settings = load_settings(overrides=[*FIXED, *overrides])
    given = {text.partition("=")[0] for text in (*FIXED, *overrides)}
    space = tuning.search_space(MODEL, given)
    preparation = latest_preparation(prepared.tables)
    made = tuning._Search(prepared.tables, Registry(prepared.home), preparation, MODEL, 1, settings, space)
    with open_study(prepared.home.folder / "tuning" / f"{made.name}.log", space, settings.train.seed) as study:
        for _ in range(TRIALS_BEFORE_JUDGING):
            study.suggest()
            study.tell("run", [ndcg] * 3, ndcg)


@pytest.mark.parametrize(("others", "state", "epochs"), [(0.99, PRUNED, 2), (0.01, FINISHED, 3)])
def test_a_trial_that_falls_behind_is_given_up(prepared, not_registered, capsys, others, state, epochs):
    """After the second of three epochs; the control: where the others are worse it is not."""
    overrides = ("epochs=3", f"seed={round(100 * others)}")  # a search of its own
    others_came_to(prepared, others, *overrides)
    result = search(prepared, TRIALS_BEFORE_JUDGING + 1, *overrides)
    trial = result.trials[-1]
    assert (trial.state, trial.epochs, len(Registry(prepared.home).run_curves(trial.run_id))) == (state, epochs, epochs)
    assert (trial.validation_ndcg is None) == (state == PRUNED)
    data = client(prepared).get_run(trial.run_id)
    assert (data.data.tags["trial_state"], data.info.status) == (state, "FINISHED")
    assert result.best.number == (1 if state == PRUNED else trial.number)
    assert not list((prepared.home.folder / "tuning").glob("*/"))
    assert (f"trial 6 of 6 {PRUNED}: after 2 epochs" in capsys.readouterr().err) == (state == PRUNED)


def test_a_trial_whose_settings_contradict_each_other_fails_and_the_search_goes_on(
    prepared, not_registered, monkeypatch
):
    """Of four pairs of choices a position bias with the softmax over all rows is the one that cannot be."""
    space = {"loss": ("full_softmax", "menu_softmax"), "position_bias": ("additive", None)}
    monkeypatch.setattr(search_module, "SEARCH_SPACES", {MODEL: space})
    result = search(prepared, 6, "epochs=1", "dropout=0", "learning_rate=.01", "seed=1")
    contradicts = {"loss": "full_softmax", "position_bias": "additive"}
    failed = [trial for trial in result.trials if trial.state == FAILED]
    assert failed and [trial for trial in result.trials if trial.settings == contradicts] == failed
    assert {trial.state for trial in result.trials} == {FAILED, FINISHED}
    assert "`position_bias` does not go with loss=full_softmax" in failed[0].why
    data = client(prepared).get_run(failed[0].run_id)
    assert (data.info.status, data.data.tags["why"]) == ("FAILED", failed[0].why)


@pytest.mark.parametrize(
    ("overrides", "kind", "said"),
    [
        (("position_bias=additive", "loss=full_softmax"), SettingError, "`position_bias` does not go with"),
        (("batch_size=5000",), NoExamplesError, "less than one step: wanted at least 1 x 5000 examples"),
    ],
)
def test_what_no_trial_could_be_trained_with_is_refused_before_a_run_is_opened(
    prepared, searched, overrides, kind, said
):
    registry = Registry(prepared.home)
    experiment = client(prepared).get_experiment_by_name("pagerec").experiment_id
    before = len(client(prepared).search_runs([experiment]))
    with pytest.raises(kind, match=said):
        search(prepared, 2, *overrides)
    assert len(client(prepared).search_runs([experiment])) == before and registry.alias("challenger")


def test_a_search_has_a_journal_for_each_preparation_model_and_space(prepared):
    settings, space = load_settings(overrides=FIXED), tuning.search_space(MODEL, ())
    preparation = latest_preparation(prepared.tables)
    one = tuning._Search(prepared.tables, Registry(prepared.home), preparation, MODEL, 1, settings, space)
    others = [
        dataclasses.replace(one, preparation=dataclasses.replace(preparation, preparation_id="other")),
        dataclasses.replace(one, model_name="single_tower_softmax"),
        dataclasses.replace(one, ranks=2),
        dataclasses.replace(one, space={name: space[name] for name in ("dropout", "loss")}),
        dataclasses.replace(one, settings=load_settings(overrides=[*FIXED, "epochs=7"])),
    ]
    assert len({search.name for search in [one, *others]}) == 6
    same = dataclasses.replace(one, settings=load_settings(overrides=[*FIXED, "silence_seconds=99", "dropout=.3"]))
    assert same.name == one.name  # how it is run; and a setting that is looked for


@pytest.mark.parametrize(
    ("kind", "fix", "told"),
    [
        (
            DeadRankError,
            f"Read /far/ranks.log, then {GO_ON} abc",
            "Read /far/ranks.log, then run the same command again",
        ),
        (TrainingError, f"Make room, then {GO_ON}", "Make room, then run the same command again"),
        (TrainingError, "Give other settings", "Give other settings"),  # the control: what can be followed stays
    ],
)
def test_what_stops_a_search_is_told_with_its_own_command(capsys, kind, fix, told):
    ended, study = [], SimpleNamespace(trials=lambda: [1, 2])
    registry = SimpleNamespace(end_run=lambda run_id, succeeded: ended.append((run_id, succeeded)))
    with pytest.raises(kind) as stopped, tuning._told_that_it_goes_on(registry, "parent", study):
        raise kind("what", wanted="w", got="g", fix=fix)
    assert str(stopped.value) == f"what: wanted w, got g. {told}."
    assert ended == [("parent", False)]
    assert capsys.readouterr().err == "  stopped; the same command goes on after 2 trials\n"
