"""The stream, by either reader: what a rank reads, in which shapes, and what the other ranks do not."""

import dataclasses
import gc
import subprocess
import sys
import threading
import time

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from petastorm import make_batch_reader
from petastorm.workers_pool import ventilator
from petastorm.workers_pool.thread_pool import ThreadPool

from pagerec_dbx.errors import SnapshotError
from pagerec_dbx.features.packing import block_ids
from pagerec_dbx.features.parquet_groups import ParquetGroups
from pagerec_dbx.features.petastorm_groups import PetastormGroups
from pagerec_dbx.features.snapshot import open_snapshot
from pagerec_dbx.features.stream import Shard, open_stream, shard_records, steps_per_epoch
from tests.page_views import write_snapshot

GROUPS = [5, 5, 4, 5, 4, 5]  # 28 records in 6 row groups


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory):
    return write_snapshot(tmp_path_factory.mktemp("stream") / "snapshot", GROUPS)


def read_ids(snapshot, shard, batch_size=3, seed=17, drop_remainder=False, skip=0, reader="petastorm"):
    """page_view_ids of one epoch, batch by batch."""
    with open_stream(snapshot, shard, batch_size, seed, drop_remainder, skip, reader) as batches:
        return [batch["page_view_id"].numpy().tolist() for batch in batches]


def flat(batches):
    return [page_view_id for batch in batches for page_view_id in batch]


@pytest.mark.parametrize("seed", [0, 17, 2**31, 2**63])
@pytest.mark.parametrize("shard", [Shard(0, 1), Shard(1, 2)])
def test_stream_is_the_same_without_petastorm(tmp_path, seed, shard):
    """Batch by batch, also from the epoch's middle; Petastorm's order is one of 120 or more, so not by chance."""
    snapshot = write_snapshot(tmp_path / "snapshot", [3] * 24)
    for skip in (0, 9):
        with_it, without = (
            read_ids(snapshot, shard, seed=seed, skip=skip, reader=reader) for reader in ("petastorm", "parquet")
        )
        assert with_it == without
        assert len(flat(with_it)) == 72 // shard.count - skip
    assert with_it != read_ids(snapshot, shard, seed=seed + 1, skip=9, reader="parquet")


@pytest.mark.parametrize("kind", [PetastormGroups, ParquetGroups])
def test_any_number_of_threads_keeps_the_order_of_the_files(tmp_path, late_orders, kind):
    """Five row groups, so that no number of threads divides them; `test_one_worker_keeps...` is the control."""
    snapshot = write_snapshot(tmp_path / "snapshot", [3] * 5)
    paths = [snapshot.paths[number] for number in (3, 0, 4, 1, 2)]
    for threads in (1, 2, 3, 8):
        groups = kind(paths, threads)
        firsts = [int(block_ids(groups.next()[0][0])[0]) for _ in paths]
        groups.close()
        assert firsts == [9, 0, 12, 3, 6], threads


def test_stream_without_petastorm_does_not_import_it(snapshot):
    text = (
        "import pathlib, sys\n"
        "sys.modules['petastorm'] = None\n"
        "from pagerec_dbx.features.snapshot import open_snapshot\n"
        "from pagerec_dbx.features.stream import Shard, open_stream\n"
        "snapshot = open_snapshot(pathlib.Path(sys.argv[1]))\n"
        "with open_stream(snapshot, Shard(0, 1), 5, 1, reader=sys.argv[2]) as batches:\n"
        "    print(sum(len(batch['page_view_id']) for batch in batches))\n"
    )
    ran = [
        subprocess.run([sys.executable, "-c", text, str(snapshot.folder), reader], capture_output=True, text=True)
        for reader in ("parquet", "petastorm")
    ]
    assert (ran[0].returncode, ran[0].stdout.strip()) == (0, "28")
    assert "import of petastorm halted" in ran[1].stderr  # the control


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_stream_shards_are_the_whole_and_no_record_comes_twice(snapshot, count):
    shards = [flat(read_ids(snapshot, Shard(rank, count))) for rank in range(count)]
    assert sorted(flat(shards)) == list(range(28))
    assert [len(ids) for ids in shards] == [
        shard_records(snapshot.manifest, Shard(rank, count)) for rank in range(count)
    ]


def test_stream_shards_of_one_rank_twice_are_not_the_whole(snapshot):
    """The control of the test above: two ranks that take the same part miss records and repeat others."""
    twice = flat(read_ids(snapshot, Shard(0, 2)) + read_ids(snapshot, Shard(0, 2)))
    assert sorted(twice) != list(range(28))
    assert len(twice) > len(set(twice)) < 28


@pytest.fixture
def busy(monkeypatch):
    """A machine that holds a thread up between two of Petastorm's questions: is all delivered, is all asked for."""
    real = ThreadPool.all_workers_done

    def all_workers_done(self):
        done = real(self)
        if done:
            time.sleep(0.3)
        return done

    monkeypatch.setattr(ThreadPool, "all_workers_done", all_workers_done)
    monkeypatch.setattr(ventilator, "sleep", lambda _: time.sleep(0.15))  # who asks for row groups is late too


def test_stream_loses_nothing_on_a_busy_machine(tmp_path, busy):
    snapshot = write_snapshot(tmp_path / "snapshot", [3] * 24)
    assert sorted(flat(read_ids(snapshot, Shard(0, 1)))) == list(range(72))


def test_petastorm_s_own_end_loses_row_groups_on_a_busy_machine(tmp_path, busy):
    """The control of the test above: one epoch, ended by Petastorm itself."""
    snapshot = write_snapshot(tmp_path / "snapshot", [3] * 24)
    with make_batch_reader([f"file://{path}" for path in snapshot.paths], num_epochs=1, workers_count=2) as reader:
        assert sum(len(group.page_view_id) for group in reader) < 72


@pytest.fixture
def late_orders(monkeypatch):
    """A machine on which row groups are asked for late, two at once, and often between two workers' turns."""
    done, ventilate = ThreadPool.current_worker_done, ThreadPool.ventilate

    def current_worker_done(self, worker):
        found = done(self, worker)
        if found:
            time.sleep(0.01)
        return found

    def late(self, *arguments, **named):
        if self._ventilated_items % 2 == 0:
            time.sleep(0.1)
        ventilate(self, *arguments, **named)

    monkeypatch.setattr(ThreadPool, "current_worker_done", current_worker_done)
    monkeypatch.setattr(ThreadPool, "ventilate", late)


def in_order_of(snapshot, workers, epochs=4):
    """The first page_view_id of each row group, as Petastorm delivers them with so many workers."""
    options = {"num_epochs": None, "workers_count": workers, "seed": 7, "results_queue_size": 2}
    reader = make_batch_reader([f"file://{path}" for path in snapshot.paths], **options)
    try:
        return [int(block_ids(next(reader).page_view_id[0])[0]) for _ in range(epochs * len(snapshot.paths))]
    finally:
        reader.stop()
        reader.join()


def test_one_worker_keeps_the_order_that_two_lose(tmp_path, late_orders):
    snapshot = write_snapshot(tmp_path / "snapshot", [3] * 3)
    wanted = in_order_of(snapshot, workers=1)
    assert wanted == wanted[:3] * 4 and sorted(wanted[:3]) == [0, 3, 6]
    assert any(in_order_of(snapshot, workers=2) != wanted for _ in range(10))


def test_stream_takes_row_groups_by_index(snapshot):
    # Row groups 0, 2, 4 are ids 0-4, 10-13 and 19-22.
    assert sorted(flat(read_ids(snapshot, Shard(0, 2)))) == [*range(5), *range(10, 14), *range(19, 23)]


def test_stream_has_static_shapes_and_whole_records(snapshot):
    with open_stream(snapshot, Shard(0, 1), 4, 17) as batches:
        assert batches.element_spec["history"] == tf.TensorSpec([None, 3], tf.int32)
        assert batches.element_spec["clicked"] == tf.TensorSpec([None, 4], tf.int32)
        assert batches.element_spec["page_view_id"] == tf.TensorSpec([None], tf.int64)
        records = list(batches.as_numpy_iterator())
    for batch in records:
        ids = batch["page_view_id"]
        np.testing.assert_array_equal(batch["history"], np.repeat(ids[:, None] + 2, 3, axis=1))
        np.testing.assert_array_equal(batch["menu"], np.repeat(ids[:, None] + 2, 4, axis=1))
        np.testing.assert_array_equal(batch["clicked"], np.repeat(ids[:, None] % 2, 4, axis=1))
        np.testing.assert_array_equal(batch["clicked_row"], ids + 2)
        assert {batch[name].dtype for name in batch if name != "page_view_id"} == {np.dtype(np.int32)}


def test_stream_drops_the_remainder_only_when_asked(snapshot):
    assert sorted(map(len, read_ids(snapshot, Shard(0, 1), 5))) == [3, 5, 5, 5, 5, 5]
    with open_stream(snapshot, Shard(0, 1), 5, 17, drop_remainder=True) as batches:
        assert batches.element_spec["menu"] == tf.TensorSpec([5, 4], tf.int32)
        assert [len(batch["menu"]) for batch in batches] == [5] * 5


def test_stream_repeats_itself_for_one_seed_and_reorders_for_another(snapshot):
    first, again, other = (flat(read_ids(snapshot, Shard(1, 2), seed=seed)) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert sorted(first) == sorted(other)
    assert first != sorted(first)


def test_stream_mixes_records_of_several_row_groups(snapshot, monkeypatch):
    group_of = np.repeat(range(6), GROUPS)
    batches = read_ids(snapshot, Shard(0, 1), 7)
    assert all(len(set(group_of[batch])) > 1 for batch in batches)
    monkeypatch.setattr("pagerec_dbx.features.stream.POOL_RECORDS", 1)  # each row group is shuffled alone
    assert any(len(set(group_of[batch])) == 1 for batch in read_ids(snapshot, Shard(0, 1), 2))


def test_stream_keeps_every_record_with_small_pools(snapshot, monkeypatch):
    monkeypatch.setattr("pagerec_dbx.features.stream.POOL_RECORDS", 6)
    batches = read_ids(snapshot, Shard(0, 1), 5)
    assert sorted(flat(batches)) == list(range(28))
    assert sorted(map(len, batches)) == [3, 5, 5, 5, 5, 5]


@pytest.mark.parametrize("reader", ["petastorm", "parquet"])
def test_stream_can_be_left_early(snapshot, reader):
    with open_stream(snapshot, Shard(0, 1), 2, 17, reader=reader) as batches:
        assert len(list(batches.take(1))) == 1
    assert len(flat(read_ids(snapshot, Shard(0, 1)))) == 28


@pytest.mark.parametrize("harm", ["gone", "cut"])
@pytest.mark.parametrize("reader", ["petastorm", "parquet"])
def test_a_file_that_went_or_was_cut_since_the_last_epoch_is_told_of_its_snapshot(tmp_path, reader, harm):
    snapshot = write_snapshot(tmp_path / "broken", [4, 4, 4, 4])
    path = snapshot.paths[3]
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:40])
    with (
        pytest.raises(SnapshotError, match="broken cannot be streamed"),
        open_stream(snapshot, Shard(0, 1), 2, 17, reader=reader) as batches,
    ):
        list(batches)
    # the readers of the files that are whole were stopped
    assert not [thread for thread in threading.enumerate() if type(thread).__module__.startswith("petastorm")]


def test_stream_is_read_once(snapshot):
    with pytest.raises(SnapshotError, match="read once"), open_stream(snapshot, Shard(0, 1), 2, 17) as batches:
        list(batches)
        list(batches)


@pytest.mark.parametrize("reader", ["petastorm", "parquet"])
def test_stream_says_which_snapshot_broke_while_it_was_read(tmp_path, capfd, reader):
    snapshot = write_snapshot(tmp_path / "broken", [4, 4])
    path = snapshot.paths[1]
    content = bytearray(path.read_bytes())
    content[4:200] = b"\xff" * 196  # the footer stays whole
    path.write_bytes(content)
    with (
        pytest.raises(SnapshotError, match="broken cannot be streamed"),
        open_stream(snapshot, Shard(0, 1), 2, 17, reader=reader) as batches,
    ):
        list(batches)


def test_steps_per_epoch_is_what_the_smallest_shard_has(snapshot):
    # Two ranks: 5 + 4 + 4 = 13 and 5 + 5 + 5 = 15 records; batches of 4: 3 and 3; batches of 7: 1 and 2.
    assert [steps_per_epoch(snapshot, 2, size) for size in (4, 7, 13, 14)] == [3, 1, 1, 0]


@pytest.mark.parametrize(
    ("count", "what"), [(7, "fewer row groups than ranks"), (4, "the ranks do not divide the row groups")]
)
def test_stream_refuses_ranks_that_do_not_fit(snapshot, count, what):
    with pytest.raises(SnapshotError, match=what):
        steps_per_epoch(snapshot, count, 1)
    with pytest.raises(SnapshotError, match=what), open_stream(snapshot, Shard(0, count), 2, 17):
        pass


def test_shard_refuses_a_rank_that_does_not_exist():
    with pytest.raises(SnapshotError, match="wanted a rank from 0 to 1, got 2"):
        Shard(2, 2)


def test_stream_reads_a_folder_with_an_unusual_name(tmp_path):
    snapshot = write_snapshot(tmp_path / "a #1 100%? é;x", [3, 3])
    assert sorted(flat(read_ids(snapshot, Shard(0, 1)))) == list(range(6))


def test_stream_is_silent(tmp_path, snapshot):
    """In a process of its own: warnings are shown once a place, and pytest catches them."""
    text = (
        "import sys, pathlib\n"
        "from pagerec_dbx.features.snapshot import open_snapshot\n"
        "from pagerec_dbx.features.stream import Shard, open_stream\n"
        "with open_stream(open_snapshot(pathlib.Path(sys.argv[1])), Shard(0, 2), 2, 1) as batches:\n"
        "    assert len(list(batches)) > 1\n"
    )
    command = [sys.executable, "-c", text, str(snapshot.folder)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stdout) == (0, "")
    assert "etastorm" not in finished.stderr and "Warning" not in finished.stderr


def test_open_snapshot_and_stream_agree_on_a_reopened_snapshot(snapshot):
    again = open_snapshot(snapshot.folder)
    assert read_ids(again, Shard(0, 2)) == read_ids(snapshot, Shard(0, 2))


def test_nothing_waits_for_tensorflow_s_tuner_at_the_end_of_an_epoch(snapshot):
    """It slept for up to as long as the epoch had taken: epochs of 6 s ended after 10. By default it is on."""
    with open_stream(snapshot, Shard(0, 1), 2, 1) as batches:
        assert batches.options().autotune.enabled is False


def test_a_closed_reader_lets_go_of_what_it_read_ahead(snapshot):
    """TensorFlow keeps whoever made a dataset, here `kept`, and an epoch's last row groups must not stay with it."""
    gc.collect()
    before = pa.total_allocated_bytes()
    kept = PetastormGroups(snapshot.paths, 2)
    kept.next()
    readers = list(kept._readers)  # the control: as if they were not let go of
    kept.close()
    gc.collect()
    held = pa.total_allocated_bytes()
    del readers
    gc.collect()
    assert pa.total_allocated_bytes() <= before < held
    files = ParquetGroups(snapshot.paths, 2)
    files.next()
    assert files._ahead
    files.close()
    assert not files._ahead


@pytest.mark.parametrize(
    ("changes", "got"),
    [
        ({"packed": False, "split": "holdout"}, "holdout, 6 row groups in 6 files"),
        ({"row_groups": (14, 14)}, "train, 2 row groups in 6 files"),
    ],
)
def test_what_is_not_laid_out_for_ranks_is_not_streamed(snapshot, changes, got):
    other = dataclasses.replace(snapshot, manifest=dataclasses.replace(snapshot.manifest, **changes))
    told = f"not laid out for ranks: wanted one of training or validation.*got {got}. Train on the training part"
    with pytest.raises(SnapshotError, match=told):
        read_ids(other, Shard(0, 1))


@pytest.mark.parametrize("rank", [-1, 2])
def test_a_shard_that_is_none_is_refused(rank):
    with pytest.raises(SnapshotError, match=f"no such shard: wanted a rank from 0 to 1, got {rank}. Number the ranks"):
        Shard(rank, 2)
