"""Which snapshots hold a viewer: by page view, by hash, or because nobody can tell any more."""

import datetime as dt

import pytest

from pagerec_dbx.errors import SnapshotError
from pagerec_dbx.features import viewer_snapshots
from pagerec_dbx.features.leases import reading
from pagerec_dbx.features.viewer_snapshots import all_snapshots, remove_unread, require_unread, snapshots_of
from tests.viewer_world import ANN, BOB, CAT, HOLDOUT, OTHERS, TRAIN, hash_of, write_snapshot

NOW = dt.datetime(2024, 3, 1, tzinfo=dt.UTC)


@pytest.fixture
def root(tmp_path):
    write_snapshot(tmp_path / TRAIN, [ANN, BOB])
    write_snapshot(tmp_path / HOLDOUT, [CAT], user_hash=[hash_of(ANN)])
    write_snapshot(tmp_path / OTHERS, [BOB, CAT])
    (tmp_path / "notes").mkdir()  # somebody's own
    return tmp_path


def names(folders) -> list[str]:
    return [folder.name for folder in folders]


def test_snapshots_are_found_by_page_view_or_by_hash(root):
    assert names(all_snapshots(root)) == [HOLDOUT, OTHERS, TRAIN]
    assert names(snapshots_of(root, {1_001}, [])) == [TRAIN]
    assert names(snapshots_of(root, set(), [hash_of(ANN)])) == [HOLDOUT]
    assert names(snapshots_of(root, {1_001}, [hash_of(ANN)])) == [HOLDOUT, TRAIN]
    assert names(snapshots_of(root, {1_009}, [hash_of(BOB)])) == []
    assert names(snapshots_of(root / "none", {1_001}, [])) == []


def test_a_snapshot_that_a_killed_run_left_is_found_too(root):
    (root / OTHERS / "manifest.json").unlink()
    assert names(snapshots_of(root, {1_002}, [])) == [OTHERS, TRAIN]
    (root / OTHERS / "row_group=0" / "part-0.parquet").write_bytes(b"PAR1 and no more")
    assert names(snapshots_of(root, {1_001}, [])) == [OTHERS, TRAIN]  # what is in it nobody can say


def test_a_snapshot_that_is_read_is_not_removed(root, monkeypatch):
    folders = [root / TRAIN, root / OTHERS]
    require_unread(folders, NOW)
    with reading(root / TRAIN):
        with pytest.raises(SnapshotError, match=f"{TRAIN} is to be removed and is being read: wanted no lease"):
            require_unread(folders, NOW)
        with pytest.raises(SnapshotError, match="run the same command again"):
            remove_unread(folders, NOW)
        assert names(all_snapshots(root)) == [HOLDOUT, OTHERS, TRAIN]
    assert remove_unread(folders, NOW) == (TRAIN, OTHERS)
    assert names(all_snapshots(root)) == [HOLDOUT]


def test_without_a_look_at_the_leases_it_would_go(root, monkeypatch):
    """Control: what the lease prevents."""
    monkeypatch.setattr("pagerec_dbx.features.leases.is_read", lambda *_: False)
    with reading(root / TRAIN):
        assert viewer_snapshots.remove_unread([root / TRAIN], NOW) == (TRAIN,)
