"""The search: same seed, same settings; trials are counted once; a poor one is given up."""

import json
import pickle
import sys
from types import SimpleNamespace

import pytest

from pagerec_dbx.errors import TrainingError
from pagerec_dbx.models.names import Range
from pagerec_dbx.training.study import FAILED, FINISHED, PRUNED, TRIALS_BEFORE_JUDGING, open_study, require_optuna

SPACE = {"learning_rate": Range(1e-4, 1e-2, log=True), "hidden_sizes": ((64,), (128, 64)), "loss": ("a", "b")}
TRIALS = 14  # past the ten that Optuna's sampler draws at random


def figure(settings) -> float:
    """A made-up NDCG that depends on the settings."""
    return 1 - abs(settings["learning_rate"] - 2e-3) - 0.1 * (settings["loss"] == "b")


def search(file, count, seed=17, space=SPACE):
    """Go on with a search until so many trials have ended; their settings."""
    with open_study(file, space, seed) as study:
        while len(study.trials()) < count:
            asked = study.suggest()
            value = figure(asked.settings)
            study.tell(f"run {asked.number}", [value / 2, value], value)
        return [trial.settings for trial in study.trials()]


def test_the_same_seed_tries_the_same_settings_and_another_one_others(tmp_path):
    one, same, other = (search(tmp_path / f"{name}.log", TRIALS, seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    assert one == same and one != other
    assert len({settings["learning_rate"] for settings in one}) == TRIALS
    assert all(SPACE["learning_rate"].low <= settings["learning_rate"] <= 1e-2 for settings in one)
    assert {settings["hidden_sizes"] for settings in one} == {(64,), (128, 64)}


@pytest.mark.parametrize("stops", [(1, 2, 3), (11, 12)])
def test_a_search_that_was_stopped_tries_what_it_would_have_tried(tmp_path, stops):
    whole = search(tmp_path / "whole.log", TRIALS)
    file = tmp_path / "stopped.log"
    for count in stops:
        search(file, count)
        with open_study(file, SPACE, 17) as study:
            study.suggest()  # and killed while it was trained
    assert search(file, TRIALS) == whole


def test_a_trial_that_was_under_way_leaves_nothing_in_the_home(tmp_path):
    file = tmp_path / "tuning" / "one.log"
    search(file, 2)
    before = file.read_bytes()
    with open_study(file, SPACE, 17) as study:
        number = study.suggest().number
    assert number == 3 and file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["one.log"]
    assert all(json.loads(line) for line in before.splitlines())  # plain JSON, a line an event


def test_a_trial_is_kept_with_what_came_of_it(tmp_path):
    file = tmp_path / "one.log"
    with open_study(file, SPACE, 17) as study:
        study.parent = "above"
        for run_id, curve, value, why in (("a", [0.5, 0.6], 0.6, ""), ("b", [0.4], None, ""), ("c", [], None, "bad")):
            study.suggest()
            study.tell(run_id, curve, value, why)
    with open_study(file, SPACE, 17) as study:
        trials = study.trials()
        assert study.parent == "above"
    assert [(one.number, one.state, one.epochs, one.validation_ndcg, one.run_id, one.why) for one in trials] == [
        (1, FINISHED, 2, 0.6, "a", ""),
        (2, PRUNED, 1, None, "b", ""),
        (3, FAILED, 0, None, "c", "bad"),
    ]


@pytest.mark.parametrize("content", ["no journal\nat all\n", '{"op_code": 0}\n{}\n'])
def test_a_journal_that_cannot_be_read_is_refused_in_words(tmp_path, content):
    file = tmp_path / "one.log"
    file.write_text(content)
    with (
        pytest.raises(TrainingError, match="journal of the search one cannot be read: .*remove it to begin again"),
        open_study(file, SPACE, 17),
    ):
        pass


def report(epoch, ndcg):
    return SimpleNamespace(epoch=epoch, validation_ndcg=ndcg)


def watched(tmp_path, finished, log=lambda _: None):
    """What watches the trial after so many that had an NDCG of .5 after their first and .6 after their second epoch."""
    with open_study(tmp_path / "watched.log", SPACE, 17) as study:
        while len(study.trials()) < finished:
            study.suggest()
            study.tell("run", [0.5, 0.6, 0.6], 0.6)
        study.suggest()
        return study.watch(log)


@pytest.mark.parametrize(
    ("finished", "curve", "given_up"),
    [
        (TRIALS_BEFORE_JUDGING, [0.1, 0.55], [False, True]),  # not after the first epoch
        (TRIALS_BEFORE_JUDGING, [0.1, 0.65], [False, False]),
        (TRIALS_BEFORE_JUDGING, [0.7, 0.1], [False, False]),  # its best so far counts
        (TRIALS_BEFORE_JUDGING - 1, [0.1, 0.1], [False, False]),  # of too few no median
    ],
)
def test_a_trial_below_the_median_is_given_up(tmp_path, finished, curve, given_up):
    told = []
    watch = watched(tmp_path, finished, told.append)
    assert [watch(report(epoch, ndcg)) is True for epoch, ndcg in enumerate(curve, start=1)] == given_up
    assert [one.epoch for one in told] == [1, 2]


def test_what_watches_travels_to_another_machine(tmp_path):
    watch = pickle.loads(pickle.dumps(watched(tmp_path, TRIALS_BEFORE_JUDGING, print)))
    assert [watch(report(1, 0.1)), watch(report(2, 0.55))] == [False, True]


def test_a_machine_without_optuna_is_told_what_to_install(monkeypatch):
    assert require_optuna().__name__ == "optuna"
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(
        TrainingError, match="needs the package optuna: wanted optuna 3.6 or a later 3, got .*Install it: pip"
    ):
        require_optuna()
