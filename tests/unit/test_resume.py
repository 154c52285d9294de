"""What a stopped training cannot go on with, in words, and which of several goes on; without Spark or ranks."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest

from pagerec_dbx.config import load_settings
from pagerec_dbx.errors import SnapshotError, TrainingError
from pagerec_dbx.features.leases import MANIFEST
from pagerec_dbx.home import Home
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.stages import resume as resuming
from pagerec_dbx.stages.resume import _stopped_of, resume
from pagerec_dbx.stages.stopped_runs import StoppedRun, find_stopped, run_folder
from pagerec_dbx.training.checkpoints import Checkpoint, Checkpoints

SETTINGS = load_settings()
STOPPED = StoppedRun("abc", ModelConfig("two_tower_softmax", title_count=4, row_count=4), SETTINGS.train, 1, "p")


class NotRegistered:
    """A registry that knows no version; a run that is opened again would be an error here."""

    def __init__(self, home: Home):
        self.home = home

    def version_of(self, run_id):
        return None


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(str(tmp_path / "home"))


@pytest.fixture
def go_on(home, monkeypatch):
    """Go on with a run of the preparation `p`, where these preparations are known."""

    def go_on(*known: str):
        made = [
            SimpleNamespace(preparation_id=one, folder=lambda home, split: home.folder / "snapshots" / split)
            for one in known
        ]
        monkeypatch.setattr(resuming, "preparations", lambda tables, condition: made)
        spark = SimpleNamespace(sparkContext=SimpleNamespace(defaultParallelism=2))
        resume(SimpleNamespace(home=home, spark=spark), NotRegistered(home), STOPPED, SETTINGS)

    return go_on


@pytest.mark.parametrize(("known", "got"), [((), "none at all"), (("q", "r"), "others")])
def test_one_whose_preparation_is_gone_cannot_go_on(go_on, known, got):
    told = f"the preparation p of run abc is gone: wanted the one that it began with, got {got}. Train anew without"
    with pytest.raises(TrainingError, match=told):
        go_on(*known)


@pytest.mark.parametrize("left", [(), ("train",), ("validation",)])
def test_one_whose_snapshots_were_removed_cannot_go_on(go_on, home, left):
    for split in left:
        with_manifest(home, split)
    told = "a snapshot of run abc was removed: wanted .*/snapshots/.*got no manifest there. Train anew without --resume"
    with pytest.raises(TrainingError, match=told):
        go_on("p")


def test_one_whose_snapshots_are_there_and_damaged_is_told_otherwise(go_on, home):
    """The control of the test above: these are looked at."""
    for split in ("train", "validation"):
        with_manifest(home, split)
    with pytest.raises(SnapshotError, match="manifest is malformed"):
        go_on("p")


def with_manifest(home: Home, split: str) -> None:
    folder = home.folder / "snapshots" / split
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text("{}")


@pytest.mark.parametrize("steps", [{"a": (3, 40), "b": (50,), "c": ()}, {"a": (60,), "b": (5, 50)}])
def test_of_several_stopped_trainings_the_one_that_came_furthest_goes_on(home, steps):
    for run_id, own in steps.items():
        dataclasses.replace(STOPPED, run_id=run_id).keep(home)
        checkpoints = Checkpoints(run_folder(home, run_id), keep=2, every_minutes=0)
        for step in own:
            checkpoints.save(Checkpoint(step, {}, {"model/00000": np.zeros(1)}))
    furthest = max(steps, key=lambda run_id: max(steps[run_id], default=-1))
    assert _stopped_of(home, dataclasses.replace(STOPPED, run_id="")).run_id == furthest


def test_one_of_another_version_is_passed_over_and_told(home, capsys):
    for run_id in ("a", "b"):
        dataclasses.replace(STOPPED, run_id=run_id).keep(home)
    plan = run_folder(home, "a") / "run.json"
    plan.write_text(json.dumps({**json.loads(plan.read_text()), "format": 0}))
    assert _stopped_of(home, dataclasses.replace(STOPPED, run_id="")).run_id == "b"
    assert "  run a, stopped too, is of another version of the package and stays as it is\n" in capsys.readouterr().err
    other = dataclasses.replace(STOPPED, run_id="", ranks=2)
    assert _stopped_of(home, other) is None  # the control: not whatever is there


def test_resume_without_a_name_says_which_there_are(home):
    told = "--resume names no run: wanted one of those that were stopped, of which there is none, or auto. Name one"
    with pytest.raises(TrainingError, match=told):
        find_stopped(home, " ")
    STOPPED.keep(home)
    with pytest.raises(TrainingError, match="--resume names no run: wanted one of abc, or auto"):
        find_stopped(home, "")
