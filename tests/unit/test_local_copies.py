"""Copies of snapshots on a machine's own disk."""

import json
import subprocess
import sys

import pytest

from pagerec_dbx.errors import SnapshotError
from pagerec_dbx.features.local_copies import local_copy
from pagerec_dbx.features.snapshot import require_undamaged
from pagerec_dbx.features.stream import Shard, open_stream
from pagerec_dbx.lock import this_process
from tests.page_views import write_snapshot


@pytest.fixture
def snapshot(tmp_path):
    return write_snapshot(tmp_path / "slow" / "train-v1-0123456789abcdef", [3, 3, 3, 3])


def test_a_rank_copies_its_own_files_and_reads_only_them(snapshot, tmp_path):
    with local_copy(snapshot, [1, 3], tmp_path / "fast" / "rank-1") as copied:
        assert [path.is_file() for path in copied.paths] == [False, True, False, True]
        require_undamaged(copied, [1, 3])
        for path in snapshot.paths:
            path.unlink()  # the slow disk is not asked again
        with open_stream(copied, Shard(1, 2), 3, 17) as batches:
            ids = sorted(one for batch in batches for one in batch["page_view_id"].numpy())
    assert ids == [3, 4, 5, 9, 10, 11]


def test_nothing_is_left_and_nothing_else_is_taken_away(snapshot, tmp_path):
    (tmp_path / "fast").mkdir()
    (tmp_path / "fast" / "another-program").touch()
    other = write_snapshot(tmp_path / "slow" / "validation-v1-0123456789abcdef", [3])
    folder = tmp_path / "fast" / "cache" / "run rank 0"
    with local_copy(snapshot, [0], folder) as first:
        with local_copy(other, [0], folder) as second, open_stream(second, Shard(0, 1), 3, 17) as batches:
            assert len(list(batches)) == 1
        assert first.paths[0].is_file() and not second.folder.exists()
    assert sorted(path.name for path in (tmp_path / "fast").iterdir()) == ["another-program", "cache"]
    assert list((tmp_path / "fast" / "cache").iterdir()) == []  # somebody's folder, empty as it may be, is not ours


def test_copies_of_a_process_that_is_dead_go_when_another_copies_beside_them(snapshot, tmp_path):
    cache = tmp_path / "fast"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    facts = this_process() | {"pid": dead.pid}
    dead.wait()
    for name, owner in (("killed", facts), ("elsewhere", facts | {"host": "another"}), ("alive", this_process())):
        (cache / name).mkdir(parents=True)
        (cache / name / "owner.json").write_text(json.dumps(owner))
    (cache / "a stranger's").mkdir()
    with local_copy(snapshot, [0], cache / "own"):
        assert sorted(path.name for path in cache.iterdir()) == ["a stranger's", "alive", "elsewhere", "own"]
    assert sorted(path.name for path in cache.iterdir()) == ["a stranger's", "alive", "elsewhere"]


def test_a_cache_that_cannot_be_written_is_told(snapshot, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with (
        pytest.raises(SnapshotError, match="cannot be copied to .*file.*or cache=null for none"),
        local_copy(snapshot, [0], tmp_path / "file"),
    ):
        pass
    assert (tmp_path / "file").read_text() == "no folder"
