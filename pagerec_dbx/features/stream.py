"""A snapshot as batches for one rank: the only door to Petastorm."""

import contextlib
import dataclasses
import tempfile
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from pagerec_dbx.errors import SnapshotError
from pagerec_dbx.features.leases import reading
from pagerec_dbx.features.packing import IDS, ROWS, WORD, Packing, block_ids, block_rows, packing_from_schema
from pagerec_dbx.features.snapshot import Manifest, Snapshot

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it imports what later versions of its own dependencies have dropped
    from petastorm import make_batch_reader

# Petastorm 0.13 opens Parquet through an interface that PyArrow 14 calls deprecated, once for every file it touches.
warnings.filterwarnings("ignore", category=FutureWarning, module=r"petastorm(\..*)?")

POOL_RECORDS = 65_536  # records shuffled together: at least this many, whole row groups


@dataclasses.dataclass(frozen=True)
class Shard:
    """One rank's part: the row groups whose index modulo `count` is `rank`."""

    rank: int
    count: int

    def __post_init__(self):
        if not 0 <= self.rank < self.count:
            raise SnapshotError("no such shard", wanted=f"a rank from 0 to {self.count - 1}", got=str(self.rank))


def shard_records(manifest: Manifest, shard: Shard) -> int:
    """How many records a shard holds.

    Raises:
        SnapshotError: fewer row groups than ranks, or ranks that do not divide them.
    """
    groups = len(manifest.row_groups)
    if groups < shard.count or groups % shard.count:
        what = "fewer row groups than ranks" if groups < shard.count else "the ranks do not divide the row groups"
        raise SnapshotError(
            f"snapshot {manifest.name}: {what}",
            wanted=f"a number of ranks that divides {groups} row groups",
            got=f"{shard.count} ranks",
            fix="Train with another --ranks, or prepare with row_groups=... (a multiple of 24 and of the ranks)",
        )
    return sum(manifest.row_groups[shard.rank :: shard.count])


def steps_per_epoch(snapshot: Snapshot, shard_count: int, batch_size: int) -> int:
    """Full batches that every rank has in one epoch; equal on all ranks, 0 where a shard is smaller than a batch.

    Raises:
        SnapshotError: as `shard_records`.
    """
    shards = [Shard(rank, shard_count) for rank in range(shard_count)]
    return min(shard_records(snapshot.manifest, shard) for shard in shards) // batch_size


@contextlib.contextmanager
def open_stream(
    snapshot: Snapshot, shard: Shard, batch_size: int, seed: int, drop_remainder: bool = False, skip: int = 0
) -> Iterator[tf.data.Dataset]:
    """One epoch of one shard, shuffled, as a dataset of dicts: field -> [batch] or [batch, length] int32 (ids int64).

    Row groups come in an order drawn from `seed`; the records of several are pooled and drawn anew. Another seed gives
    another order of the same records. Reading runs ahead of the consumer in its own threads. The snapshot is not
    removed while the stream is open.

    Args:
        drop_remainder: leave out the last batch where it is not full.
        skip: records at the beginning of the epoch that were delivered before, whole batches, to go on in its middle.

    Raises:
        SnapshotError: fewer row groups than ranks, a snapshot that is not laid out for ranks, one that was removed
            since it was opened, or a file that became unreadable. The dataset is iterated once.
    """
    _require_packed(snapshot.manifest)
    shard_records(snapshot.manifest, shard)
    packing = packing_from_schema(snapshot.manifest.schema)
    batch = batch_size if drop_remainder else None
    with (
        reading(snapshot.folder),
        _plain_path(snapshot.folder) as folder,
        _Epoch(Snapshot(folder, snapshot.manifest), packing, shard, seed) as epoch,
    ):
        batches = tf.data.Dataset.from_generator(
            lambda: epoch.batches(batch_size, drop_remainder, skip),
            output_signature=(tf.TensorSpec([batch], tf.int64), tf.TensorSpec([batch, packing.words], tf.int32)),
        )
        try:
            yield batches.map(lambda ids, rows: {IDS: ids, **fields_of(packing, rows)}).prefetch(2)
        except tf.errors.OpError as error:
            if epoch.failure is None:
                raise
            raise SnapshotError(
                f"snapshot {snapshot.folder} cannot be streamed",
                got=f"{type(epoch.failure).__name__}: {epoch.failure}",
                fix="Run `pagerec prepare`, which checks it and writes it again",
            ) from error


def fields_of(packing: Packing, rows: tf.Tensor) -> dict[str, tf.Tensor]:
    """[batch, words] int32 cut into fields, all int32: [batch, length] for lists, [batch] for single numbers."""
    fields = {}
    for field in packing.fields:
        start = packing.starts[field.name]
        values = rows[:, start : start + field.words]  # [batch, words of the field]
        if field.dtype.itemsize < WORD:
            narrow = tf.reshape(tf.bitcast(values, tf.int8), [-1, field.words * WORD])  # [batch, length and padding]
            values = tf.cast(narrow[:, : field.count], tf.int32)
        values = tf.ensure_shape(values, [rows.shape[0], field.count])
        fields[field.name] = values[:, 0] if field.length is None else values
    return fields


def _require_packed(manifest: Manifest) -> None:
    if not manifest.packed:
        raise SnapshotError(
            f"snapshot {manifest.name} is not laid out for ranks",
            wanted="one of training or validation",
            got=manifest.split,
            fix="Read it with read_batches",
        )


@contextlib.contextmanager
def _plain_path(folder: Path) -> Iterator[Path]:
    """The folder under a path that Petastorm can read: it takes paths for URLs and cuts them at #, ? and ;."""
    if not set("#?;") & set(str(folder.absolute())):
        yield folder
        return
    with tempfile.TemporaryDirectory() as scratch:
        link = Path(scratch, "snapshot")
        link.symlink_to(folder.absolute(), target_is_directory=True)
        yield link


Records = tuple[np.ndarray, np.ndarray]  # [records] int64 ids, [records, words] int32 rows


class _Epoch:
    """A Petastorm reader over one shard, and what it delivered or failed with."""

    def __init__(self, snapshot: Snapshot, packing: Packing, shard: Shard, seed: int):
        self._words = packing.words
        self._left = len(range(shard.rank, len(snapshot.manifest.row_groups), shard.count))  # row groups to deliver
        self._random = np.random.default_rng([seed % 2**63, shard.rank])
        self._reader = make_batch_reader(
            [_url(path) for path in snapshot.paths],
            schema_fields=[f"^{name}$" for name in (IDS, ROWS)],
            cur_shard=shard.rank,
            shard_count=shard.count,
            shuffle_row_groups=True,
            seed=1 + seed % (2**31 - 1),  # it takes 0 for "no seed"
            # Not 1: at the end of its epochs Petastorm asks first whether all was delivered, then whether all was asked
            # for, and on a busy machine row groups slip in between and are lost. So it goes on, and we count.
            num_epochs=None,
            reader_pool_type="thread",
            # Not 2: they take turns, but a turn is passed over while nothing is asked of a worker, so that row groups
            # come in another order than the seed's, and one of the next epoch in place of this one's last.
            workers_count=1,
            results_queue_size=10,  # row groups decoded ahead
        )
        self._reading = threading.Lock()
        self._closed = self._started = False
        self.failure: Exception | None = None

    def __enter__(self) -> "_Epoch":
        return self

    def __exit__(self, *_: object) -> None:
        """Stop Petastorm's threads, after a read that is under way: a reader stopped in between would wait for ever.

        Its own context manager is not used: that prints on the standard output.
        """
        with self._reading:
            self._closed = True
            self._reader.stop()
            self._reader.join()

    def batches(self, batch_size: int, drop_remainder: bool, skip: int) -> Iterator[Records]:
        """Batches of `batch_size` records, pooled and shuffled; the last may be smaller."""
        if self._started:
            self.failure = SnapshotError("a stream is read once", fix="Open another one for each epoch")
            raise self.failure
        self._started = True
        left: Records | None = None
        for pool in self._pools():
            ids, rows = pool if left is None else _joined([left, pool])
            order = self._random.permutation(len(ids))  # also for what is skipped: the draws must stay the same
            full = len(order) // batch_size * batch_size
            for start in range(min(skip, full), full, batch_size):
                yield _taken(ids, rows, order[start : start + batch_size])
            skip -= min(skip, full)
            left = _taken(ids, rows, order[full:])
        if left is not None and len(left[0]) and not drop_remainder:
            yield left

    def _pools(self) -> Iterator[Records]:
        """Row groups joined until there are enough records to shuffle well."""
        groups: list[Records] = []
        for group in self._row_groups():
            groups.append(group)
            if sum(len(ids) for ids, _ in groups) >= POOL_RECORDS:
                yield _joined(groups)
                groups = []
        if groups:
            yield _joined(groups)

    def _row_groups(self) -> Iterator[Records]:
        while self._left:
            with self._reading:
                if self._closed:
                    return
                try:
                    group = next(self._reader)._asdict()
                    blocks = [
                        (block_ids(ids), block_rows(rows, self._words))
                        for ids, rows in zip(group[IDS], group[ROWS], strict=True)
                    ]
                except Exception as error:  # whatever PyArrow or Petastorm raise; `open_stream` turns it into ours
                    self.failure = error
                    raise
            self._left -= 1
            yield _joined(blocks)


def _url(path: Path) -> str:
    return f"file://{path.absolute()}"


def _joined(parts: list[Records]) -> Records:
    return parts[0] if len(parts) == 1 else tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


def _taken(ids: np.ndarray, rows: np.ndarray, places: np.ndarray) -> Records:
    return ids[places], np.take(rows, places, axis=0)
