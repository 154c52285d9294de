"""Copies of snapshots on a machine's own disk."""

import os
import time

import pytest

from pagerec_dbx.errors import SnapshotError
from pagerec_dbx.features.leases import reading
from pagerec_dbx.features.local_copies import local_copy
from pagerec_dbx.features.snapshot import require_undamaged
from pagerec_dbx.features.stream import Shard, open_stream
from tests.page_views import write_snapshot


@pytest.fixture
def snapshot(tmp_path):
    return write_snapshot(tmp_path / "slow" / "train-v1-0123456789abcdef", [3, 3, 3, 3])


def present(copied):
    return [path.is_file() for path in copied.paths]


def test_a_rank_copies_its_own_files_and_reads_only_them(snapshot, tmp_path):
    copied = local_copy(snapshot, [1, 3], tmp_path / "fast")
    assert present(copied) == [False, True, False, True]
    require_undamaged(copied, [1, 3])
    for path in snapshot.paths:
        path.unlink()  # the slow disk is not asked again
    with open_stream(copied, Shard(1, 2), 3, 17) as batches:
        ids = sorted(one for batch in batches for one in batch["page_view_id"].numpy())
    assert ids == [3, 4, 5, 9, 10, 11]


def test_what_is_there_is_not_copied_again_and_what_is_damaged_is(snapshot, tmp_path):
    copied = local_copy(snapshot, [0, 1], tmp_path / "fast")
    old = [path.stat().st_ino for path in copied.paths[:2]]
    copied.paths[1].write_bytes(b"half")
    local_copy(snapshot, [0, 1, 2], tmp_path / "fast")
    new = [path.stat().st_ino for path in copied.paths[:2]]
    assert new[0] == old[0]
    require_undamaged(copied, [0, 1, 2])
    with pytest.raises(SnapshotError, match="cannot be read"):
        require_undamaged(copied, [3])  # the control: it was not asked for


def test_copies_nobody_has_asked_for_in_a_week_go(snapshot, tmp_path):
    cache = tmp_path / "fast"
    others = [write_snapshot(tmp_path / "slow" / f"train-v{number}-0123456789abcdef", [3]) for number in (2, 3, 4)]
    old, read, fresh = (local_copy(other, [0], cache) for other in others)
    for copied in (old, read):
        os.utime(copied.folder / "manifest.json", (time.time() - 8 * 86_400,) * 2)
    (cache / "another-program").mkdir()
    with reading(read.folder):
        local_copy(snapshot, [0], cache)
    assert [copied.folder.exists() for copied in (old, read, fresh)] == [False, True, True]
    assert (cache / "another-program").exists()


def test_a_cache_that_cannot_be_written_is_told(snapshot, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(SnapshotError, match="cannot be copied to .*file.*Set cache to another folder"):
        local_copy(snapshot, [0], tmp_path / "file")
