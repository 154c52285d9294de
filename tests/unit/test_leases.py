"""A snapshot that is being read is not removed; one that is removed is first made unreadable."""

import datetime as dt
import json
import os
import subprocess
import sys

import pytest

from pagerec_dbx.errors import SnapshotError
from pagerec_dbx.features import leases
from pagerec_dbx.features.leases import is_read, reading, remove_old_snapshots, remove_snapshot
from pagerec_dbx.features.snapshot import MANIFEST, open_snapshot, read_batches
from tests.page_views import change_manifest, write_snapshot

NOW = dt.datetime(2024, 3, 1, tzinfo=dt.timezone.utc)
NAME = "train-v1-0123456789abcdef"


@pytest.fixture
def folder(tmp_path):
    return write_snapshot(tmp_path / NAME, [3, 2]).folder


def held(folder) -> list:
    return list((folder.parent / ".leases").glob("*"))


def test_snapshot_is_not_removed_while_batches_are_read(folder):
    batches = read_batches(open_snapshot(folder), 2)
    next(batches)
    assert not remove_snapshot(folder, NOW)
    assert sum(len(batch["page_view_id"]) for batch in batches) == 3  # the rest of the five
    assert held(folder) == []
    assert remove_snapshot(folder, NOW) and not folder.exists()


def test_without_a_lease_the_snapshot_goes_under_the_readers_hands(folder, monkeypatch):
    """Control: what the lease prevents."""
    monkeypatch.setattr(leases, "is_read", lambda *_: False)
    batches = read_batches(open_snapshot(folder), 1)
    next(batches)
    assert remove_snapshot(folder, NOW)
    with pytest.raises(OSError):
        list(batches)


def test_leases_of_two_readers_count_each(folder):
    with reading(folder):
        with reading(folder):
            assert len(held(folder)) == 2
        assert is_read(folder, NOW)
    assert not is_read(folder, NOW)


def test_lease_belongs_to_one_snapshot(folder, tmp_path):
    other = write_snapshot(tmp_path / f"{NAME[:-1]}0", [1]).folder
    with reading(folder):
        assert not is_read(other, NOW)


def test_lease_of_a_dead_process_is_cleared(folder):
    text = (
        "import os, pathlib, sys\n"
        "from pagerec_dbx.features.leases import reading\n"
        "with reading(pathlib.Path(sys.argv[1])):\n"
        "    os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", text, str(folder)], check=True)
    assert len(held(folder)) == 1
    assert not is_read(folder, NOW)
    assert held(folder) == []


@pytest.mark.parametrize(("days", "counts"), [(6.9, True), (7.1, False)])
def test_lease_of_another_machine_counts_for_a_week(folder, days, counts):
    with reading(folder):
        (lease,) = held(folder)
        lease.write_text(json.dumps({"host": "elsewhere", "pid": os.getpid(), "started": 1.0}))
        made = NOW.timestamp() - 86_400 * days
        os.utime(lease, (made, made))
        assert is_read(folder, NOW) is counts


def test_malformed_lease_is_nobodys(folder):
    with reading(folder):
        held(folder)[0].write_text("{")
        assert not is_read(folder, NOW)


def test_removed_snapshot_cannot_be_read(folder):
    snapshot = open_snapshot(folder)
    (folder / MANIFEST).unlink()
    with pytest.raises(SnapshotError, match="is not there"), reading(folder):
        pass
    with pytest.raises(SnapshotError, match="is not there"):
        next(read_batches(snapshot, 1))
    assert held(folder) == []


def test_removal_takes_the_manifest_first_and_gives_it_back_to_a_reader_that_came(folder, monkeypatch):
    """A reader comes between the first look at the leases and the removal of the manifest."""
    seen = []
    looks = iter([False, True])

    def look(*_):
        seen.append((folder / MANIFEST).exists())
        return next(looks)

    monkeypatch.setattr(leases, "is_read", look)
    assert not remove_snapshot(folder, NOW)
    assert seen == [True, False]  # when it looks for the second time nobody can open the snapshot any more
    assert open_snapshot(folder).manifest.records == 5


def test_killed_removal_leaves_what_nobody_opens_and_the_next_one_clears(folder, monkeypatch):
    def killed(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(leases.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            remove_snapshot(folder, NOW)
    with pytest.raises(SnapshotError, match="no manifest"):
        open_snapshot(folder)
    assert remove_old_snapshots(folder.parent, set(), NOW, 1_000) == [NAME]


def test_reading_goes_on_where_nothing_may_be_written(folder, monkeypatch):
    def denied(*_):
        raise PermissionError(13, "read-only")

    monkeypatch.setattr(leases, "write_atomically", denied)
    with reading(folder):
        pass


def test_old_snapshots_go_by_age_unless_they_are_needed(tmp_path):
    names = [f"{split}-v{number}-{number:016x}" for number, split in enumerate(["train", "validation", "holdout"])]
    for name, age in zip(names, (31, 29, 31), strict=True):
        write_snapshot(tmp_path / name, [1])
        change_manifest(tmp_path / name, created_at=(NOW - dt.timedelta(days=age)).isoformat())
    (tmp_path / "notes").mkdir()  # somebody's own
    assert remove_old_snapshots(tmp_path, {names[2]}, NOW, 30) == [names[0]]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != ".leases") == sorted([*names[1:], "notes"])
    assert remove_old_snapshots(tmp_path, {names[2]}, NOW, 28) == [names[1]]
    assert remove_old_snapshots(tmp_path, set(), NOW, 30) == [names[2]]


def test_old_snapshot_that_is_read_stays(folder):
    change_manifest(folder, created_at=(NOW - dt.timedelta(days=99)).isoformat())
    with reading(folder):
        assert remove_old_snapshots(folder.parent, set(), NOW, 30) == []
    assert remove_old_snapshots(folder.parent, set(), NOW, 30) == [NAME]
