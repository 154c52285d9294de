"""A snapshot is opened only if it is what its manifest says."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from pagerec_dbx.errors import SnapshotError
from pagerec_dbx.features.packing import ROWS
from pagerec_dbx.features.snapshot import (
    MANIFEST,
    manifest_from_json,
    open_snapshot,
    read_batches,
    require_undamaged,
    sha256_of,
)
from tests.page_views import block_table, change_manifest, write_snapshot


@pytest.fixture
def folder(tmp_path):
    write_snapshot(tmp_path / "snapshot", [3, 2])
    return tmp_path / "snapshot"


def test_manifest_survives_json(folder):
    manifest = open_snapshot(folder).manifest
    assert manifest_from_json(manifest.to_json()) == manifest


def test_open_snapshot_refuses_a_missing_manifest(folder):
    (folder / MANIFEST).unlink()
    with pytest.raises(SnapshotError, match="has no manifest.*Run `pagerec prepare`"):
        open_snapshot(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 4}', '{"format": 4, "row_groups": 3}'])
def test_open_snapshot_refuses_a_malformed_manifest(folder, text):
    (folder / MANIFEST).write_text(text)
    with pytest.raises(SnapshotError, match="malformed: wanted one of format 4, got .*Run `pagerec prepare`"):
        open_snapshot(folder)


def test_open_snapshot_refuses_another_format(folder):
    change_manifest(folder, format=99)
    with pytest.raises(SnapshotError, match="wanted 4, got 99"):
        open_snapshot(folder)


def test_open_snapshot_refuses_a_missing_file(folder):
    (folder / "row_group=1/part.parquet").unlink()
    with pytest.raises(SnapshotError, match="row_group=1/part.parquet is damaged.*no such file"):
        open_snapshot(folder)


def test_open_snapshot_refuses_another_number_of_bytes(folder):
    with open(folder / "row_group=0/part.parquet", "ab") as file:
        file.write(b"x")
    with pytest.raises(SnapshotError, match="row_group=0/part.parquet is damaged"):
        open_snapshot(folder)


def test_open_snapshot_refuses_a_file_that_is_no_parquet(folder):
    path = folder / "row_group=0/part.parquet"
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(SnapshotError, match="row_group=0/part.parquet is damaged"):
        open_snapshot(folder)


def test_open_snapshot_refuses_other_records_in_files_of_the_same_size(folder):
    change_manifest(folder, row_groups=[2, 3])
    told = r"does not hold the records of its manifest: wanted 5 in row groups of \[2, 3\], got \[3, 2\]. Run `pagerec"
    with pytest.raises(SnapshotError, match=told):
        open_snapshot(folder)


def test_open_snapshot_refuses_a_total_that_is_not_the_sum(folder):
    change_manifest(folder, records=6)
    with pytest.raises(SnapshotError, match="wanted 6"):
        open_snapshot(folder)


def test_read_batches_gives_arrays_of_the_records_lengths(folder):
    batches = list(read_batches(open_snapshot(folder), 2))
    assert [len(batch["page_view_id"]) for batch in batches] == [2, 1, 2]
    together = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    assert together["page_view_id"].tolist() == [0, 1, 2, 3, 4]
    assert together["history"].tolist() == [[2] * 3, [3] * 3, [4] * 3, [5] * 3, [6] * 3]
    assert together["menu"].shape == (5, 4) and together["menu"].dtype == np.int32
    assert together["clicked"].dtype == np.int8


def test_row_groups_of_a_file_with_several_count_in_order(tmp_path):
    snapshot = write_snapshot(tmp_path / "one", [5])
    path = snapshot.paths[0]
    pq.write_table(pq.read_table(path), path, row_group_size=1)  # two blocks: 3 records and 2
    files = [{"name": str(path.relative_to(snapshot.folder)), "bytes": path.stat().st_size, "sha256": sha256_of(path)}]
    change_manifest(snapshot.folder, row_groups=[3, 2], files=files)
    assert open_snapshot(snapshot.folder).manifest.row_groups == (3, 2)


def test_a_file_of_the_right_size_with_another_content_is_refused_by_name(folder):
    snapshot = open_snapshot(folder)
    require_undamaged(snapshot, range(2))
    path = snapshot.paths[1]
    content = bytearray(path.read_bytes())
    content[content.index(np.array([5, 5, 5], "<i4").tobytes())] ^= 1  # a history that becomes 4, 5, 5
    path.write_bytes(content)
    require_undamaged(open_snapshot(folder), [0])  # a rank looks at its own files
    with pytest.raises(SnapshotError, match="row_group=1/part.parquet was changed after it was written: wanted sha256"):
        require_undamaged(open_snapshot(folder), range(2))


def test_a_block_that_is_cut_off_is_named_by_its_file(folder):
    snapshot = open_snapshot(folder)
    path, batches = snapshot.paths[1], read_batches(snapshot, 3)
    assert len(next(batches)["page_view_id"]) == 3  # the control: the file before it is whole
    blocks = pq.read_table(path).to_pylist()
    pq.write_table(block_table([{**one, ROWS: one[ROWS][:-1]} for one in blocks]), path)
    with pytest.raises(
        SnapshotError, match="a block of .*row_group=1/part.parquet is cut off: .*Run `pagerec prepare`"
    ):
        next(batches)
