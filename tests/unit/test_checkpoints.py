"""Checkpoints: whole or not there, the last few kept, and a full disk in words."""

import contextlib
import dataclasses
import errno
import gc
import os
import resource
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from pagerec_dbx.errors import TrainingError
from pagerec_dbx.training import checkpoints
from pagerec_dbx.training.checkpoints import Checkpoint, Checkpoints


def checkpoint(step):
    return Checkpoint(step, {"epoch": 1, "losses": [0.5]}, {"model/00000": np.full((2, 3), step, np.float32)})


@pytest.fixture
def kept(tmp_path):
    return Checkpoints(tmp_path / "run", keep=2, every_minutes=0)


def test_the_newest_comes_back_as_it_was_saved(kept):
    assert kept.newest() is None
    for step in (5, 60, 700):
        kept.save(checkpoint(step))
    found = kept.newest()
    assert (found.step, found.state) == (700, {"epoch": 1, "losses": [0.5]})
    np.testing.assert_array_equal(found.arrays["model/00000"], np.full((2, 3), 700, np.float32))


def test_only_the_last_few_are_kept(kept, tmp_path):
    for step in (5, 60, 700):
        kept.save(checkpoint(step))
    kept.save(dataclasses.replace(checkpoint(700), state={"epoch": 2}))  # the epoch's end, at the step of its last call
    kept.save(dataclasses.replace(checkpoint(700), arrays={"model/00000": np.zeros(1)}))
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert [name[:20] + name[-4:] for name in names] == [
        "checkpoint-000000060.npz", "checkpoint-000000060json", "checkpoint-000000700.npz", "checkpoint-000000700json",
    ]  # fmt: skip
    assert kept.newest().arrays["model/00000"].shape == (1,)


def test_a_kill_before_the_marker_leaves_the_one_of_the_same_step(kept, monkeypatch):
    """An epoch's end has the step of its last call: its arrays must not take the place of those that are marked."""
    kept.save(checkpoint(60))

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("pagerec_dbx.training.checkpoints.write_atomically", killed)
    with pytest.raises(KeyboardInterrupt):
        kept.save(dataclasses.replace(checkpoint(60), arrays={"model/00000": np.zeros(1)}))
    np.testing.assert_array_equal(kept.newest().arrays["model/00000"], np.full((2, 3), 60, np.float32))


@pytest.mark.parametrize("harm", ["no marker", "half a marker", "no data", "half the data", "a flipped bit"])
def test_one_that_is_not_whole_is_passed_over(kept, tmp_path, harm):
    kept.save(checkpoint(1))
    kept.save(checkpoint(2))
    marker, data = (next((tmp_path / "run").glob(f"checkpoint-000000002*{end}")) for end in (".json", ".npz"))
    content = data.read_bytes()
    match harm:
        case "no marker":
            marker.unlink()
        case "half a marker":
            marker.write_text(marker.read_text()[:20])
        case "no data":
            data.unlink()
        case "half the data":
            data.write_bytes(content[: len(content) // 2])
        case "a flipped bit":
            data.write_bytes(content[:-30] + bytes([content[-30] ^ 1]) + content[-29:])
    assert kept.newest().step == 1


def test_a_full_disk_is_told_and_leaves_the_one_before(kept, tmp_path, monkeypatch):
    kept.save(checkpoint(1))

    def full(_, aside):
        aside.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(TrainingError, match="checkpoint of step 2 cannot be written.*No space left.*--resume"):
        kept.save(checkpoint(2))
    assert kept.newest().step == 1
    assert len(list((tmp_path / "run").iterdir())) == 2  # what was half written does not keep the disk full


def test_what_cannot_be_written_is_told_once_and_no_room_is_asked_for_where_none_lacks(kept, tmp_path, monkeypatch):
    failed_later, large = [], np.zeros(300_000)
    monkeypatch.setattr(sys, "unraisablehook", lambda failed: failed_later.append(type(failed.exc_value)))
    with at_most(100_000):
        with pytest.raises(
            TrainingError,
            match="got File too large. See to that, then go on with --resume",
        ):
            kept.save(Checkpoint(1, {}, {"large": large}))
        gc.collect()
        assert failed_later == []
        with contextlib.suppress(OSError):
            np.savez(tmp_path / "large.npz", large=large)  # the control
        gc.collect()
        assert failed_later == [OSError]


@contextlib.contextmanager
def at_most(size: int):
    """No file of this process grows beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_halves_that_a_killed_one_left_are_removed_before_the_next_is_written(kept, tmp_path, monkeypatch):
    kept.save(checkpoint(1))
    for name in (".checkpoint-000000002.4711", "checkpoint-000000002-0badcafe.npz"):
        (tmp_path / "run" / name).write_bytes(b"half of it")
    before = []
    real = checkpoints._write
    monkeypatch.setattr(checkpoints, "_write", lambda *a: (before.extend((tmp_path / "run").iterdir()), real(*a)))
    kept.save(checkpoint(3))
    assert sorted(path.suffix for path in before) == [".json", ".npz"]  # room was made first


def test_arrays_whose_marker_finds_no_room_do_not_stay(kept, tmp_path, monkeypatch):
    kept.save(checkpoint(1))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("pagerec_dbx.training.checkpoints.write_atomically", full)
        with pytest.raises(TrainingError, match="No space left"):
            kept.save(checkpoint(2))
    assert len(list((tmp_path / "run").iterdir())) == 2 and kept.newest().step == 1


def test_the_next_one_is_due_after_the_minutes_given(tmp_path):
    assert Checkpoints(tmp_path, 1, every_minutes=0).is_due
    assert not Checkpoints(tmp_path, 1, every_minutes=60).is_due


def test_one_whose_place_was_changed_is_not_gone_on_from(kept, tmp_path):
    """Its arrays are whole; what the marker says of epoch and losses is not what was written."""
    for step in (60, 700):
        kept.save(checkpoint(step))
    marker = next((tmp_path / "run").glob("*700.json"))
    assert kept.newest().step == 700
    marker.write_text(marker.read_text().replace('"losses"', '"lasses"'))
    assert kept.newest().step == 60


def test_damaged_ones_of_later_steps_do_not_push_out_new_ones(kept, tmp_path):
    for step in (60, 700):
        kept.save(checkpoint(step))
    for marker in (tmp_path / "run").glob("*700.json"):
        marker.write_text("half of a mar")
    assert kept.newest().step == 60
    assert kept.go_on_from(60) == [700]
    for step in (70, 80, 90):
        kept.save(checkpoint(step))
    assert kept.newest().step == 90
    assert [path.name[17:20] for path in sorted((tmp_path / "run").glob("*.json"))] == ["080", "090"]


def test_left_there_they_would_push_out_one_of_two(kept, tmp_path):
    """The control of the test above."""
    for step in (60, 700):
        kept.save(checkpoint(step))
    for marker in (tmp_path / "run").glob("*700.json"):
        marker.write_text("half of a mar")
    for step in (70, 80, 90):
        kept.save(checkpoint(step))
    assert [path.name[17:20] for path in sorted((tmp_path / "run").glob("*.json"))] == ["090", "700"]


UNREADABLE = [errno.EIO, errno.EACCES, errno.ESTALE]


@pytest.fixture
def failing(monkeypatch):
    """From the call on, whatever is read of the newest checkpoint's marker, or of its arrays, fails."""

    def fail(part: str, number: int) -> None:
        read_text, digest = Path.read_text, checkpoints.sha256_of

        def refused(path):
            raise OSError(number, os.strerror(number), str(path))

        if part == "marker":
            monkeypatch.setattr(
                Path,
                "read_text",
                lambda path, *a, **k: refused(path) if "700" in path.name else read_text(path, *a, **k),
            )
        else:
            monkeypatch.setattr(
                checkpoints, "sha256_of", lambda path: refused(path) if "700" in path.name else digest(path)
            )

    return fail


@pytest.mark.parametrize("number", UNREADABLE)
@pytest.mark.parametrize("part", ["marker", "arrays"])
def test_one_that_cannot_be_read_just_now_is_told_and_stays(kept, tmp_path, monkeypatch, failing, part, number):
    """It may be whole: gone on without it, it would be taken for damaged, and removed."""
    for step in (60, 700):
        kept.save(checkpoint(step))
    before = sorted((tmp_path / "run").iterdir())
    failing(part, number)
    end = ".json" if part == "marker" else ".npz"
    told = (
        rf"checkpoint .*000700.*{end} cannot be read: wanted a file that may be read, got {os.strerror(number)}. "
        "See to that, or move it away to use the one before, then go on with --resume"
    )
    with pytest.raises(TrainingError, match=told):
        kept.newest()
    if part == "marker":  # nor does the next one push it out
        with pytest.raises(TrainingError, match=told):
            kept.save(checkpoint(701))
    assert sorted((tmp_path / "run").iterdir()) == before
    monkeypatch.undo()
    assert kept.newest().step == 700


@pytest.mark.parametrize("part", ["marker", "arrays"])
def test_one_whose_file_is_gone_is_passed_over_and_removed(kept, tmp_path, failing, part):
    """The control of the test above: this is damage."""
    for step in (60, 700):
        kept.save(checkpoint(step))
    failing(part, errno.ENOENT)
    assert kept.newest().step == 60
    assert kept.go_on_from(60) == [700]
    assert {path.name[:20] for path in (tmp_path / "run").iterdir()} == {"checkpoint-000000060"}


def test_a_folder_that_cannot_be_listed_is_told(kept, monkeypatch):
    kept.save(checkpoint(60))

    def refused(path):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(TrainingError, match="run cannot be read: .*got Input/output error"):
        kept.newest()  # as if there were none, training would begin anew and write over what is there
