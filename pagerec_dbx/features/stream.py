"""A snapshot as batches for one rank."""

import contextlib
import dataclasses
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import tensorflow as tf

from pagerec_dbx.errors import SnapshotError
from pagerec_dbx.features.leases import reading
from pagerec_dbx.features.packing import IDS, WORD, Packing, block_ids, block_rows, packing_from_schema
from pagerec_dbx.features.parquet_groups import ParquetGroups
from pagerec_dbx.features.snapshot import Manifest, Snapshot

T = TypeVar("T")

POOL_RECORDS = 65_536  # records shuffled together: at least this many, whole row groups


class RowGroups(Protocol):
    """Whole row groups of some files, in the order of the files."""

    def next(self) -> list[tuple[bytes, bytes]]:
        """The blocks of the next row group: ids and rows of each."""

    def close(self) -> None:
        """Read no further."""


def _petastorm(paths: Sequence[Path], threads: int) -> RowGroups:
    from pagerec_dbx.features.petastorm_groups import PetastormGroups  # only now: without it there is another reader

    return PetastormGroups(paths, threads)


_MOST_THREADS = 4  # that decode row groups: more are not needed, and each has one in memory
_READERS: Mapping[str, Callable[[Sequence[Path], int], RowGroups]] = {"petastorm": _petastorm, "parquet": ParquetGroups}


@dataclasses.dataclass(frozen=True)
class Shard:
    """One rank's part: the row groups, and so the files, whose index modulo `count` is `rank`."""

    rank: int
    count: int

    def __post_init__(self):
        if not 0 <= self.rank < self.count:
            raise SnapshotError(
                "no such shard",
                wanted=f"a rank from 0 to {self.count - 1}",
                got=str(self.rank),
                fix="Number the ranks from 0",
            )

    def part_of(self, groups: Sequence[T]) -> Sequence[T]:
        """What belongs to it of a sequence with one element a row group."""
        return groups[self.rank :: self.count]


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
    return sum(shard.part_of(manifest.row_groups))


def steps_per_epoch(snapshot: Snapshot, shard_count: int, batch_size: int) -> int:
    """Full batches that every rank has in one epoch; equal on all ranks, 0 where a shard is smaller than a batch.

    Raises:
        SnapshotError: as `shard_records`.
    """
    shards = [Shard(rank, shard_count) for rank in range(shard_count)]
    return min(shard_records(snapshot.manifest, shard) for shard in shards) // batch_size


@contextlib.contextmanager
def open_stream(
    snapshot: Snapshot,
    shard: Shard,
    batch_size: int,
    seed: int,
    drop_remainder: bool = False,
    skip: int = 0,
    reader: str = "petastorm",
) -> Iterator[tf.data.Dataset]:
    """One epoch of one shard, shuffled, as a dataset of dicts: field -> [batch] or [batch, length] int32 (ids int64).

    Row groups come in an order drawn from `seed`; the records of several are pooled and drawn anew. Another seed gives
    another order of the same records. Reading runs ahead of the consumer in threads of its own. The snapshot is not
    removed while the stream is open.

    Args:
        drop_remainder: leave out the last batch where it is not full.
        skip: records at the beginning of the epoch that were delivered before, whole batches, to go on in its middle.
        reader: petastorm, or parquet, which reads the same files in the same order without it.

    Raises:
        SnapshotError: fewer row groups than ranks, a snapshot that is not laid out for ranks, one that was removed
            since it was opened, or a file that became unreadable. The dataset is iterated once.
    """
    _require_packed(snapshot.manifest)
    shard_records(snapshot.manifest, shard)
    packing = packing_from_schema(snapshot.manifest.schema)
    batch = batch_size if drop_remainder else None
    with contextlib.ExitStack() as stack:
        stack.enter_context(reading(snapshot.folder))
        read = Snapshot(stack.enter_context(_plain_path(snapshot.folder)), snapshot.manifest)
        try:
            epoch = stack.enter_context(_Epoch(read, packing.words, shard, seed, _READERS[reader]))
        except (OSError, ValueError) as error:  # Petastorm reads footers at once; PyArrow's errors are ValueErrors
            raise _unstreamable(snapshot, error) from error
        batches = tf.data.Dataset.from_generator(
            lambda: epoch.batches(batch_size, drop_remainder, skip),
            output_signature=(tf.TensorSpec([batch], tf.int64), tf.TensorSpec([batch, packing.words], tf.int32)),
        )
        try:
            named = batches.map(lambda ids, rows: {IDS: ids, **fields_of(packing, rows)}).prefetch(2)
            yield named.with_options(untuned())
        except tf.errors.OpError as error:
            if epoch.failure is None:
                raise
            raise _unstreamable(snapshot, epoch.failure) from error


def untuned() -> tf.data.Options:
    """Without TensorFlow's tuner, which has nothing to tune here: its thread sleeps twice as long each time, and where
    it misses the end of an epoch everything waits until it wakes, up to as long as the epoch took."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def _unstreamable(snapshot: Snapshot, cause: Exception) -> SnapshotError:
    return SnapshotError(
        f"snapshot {snapshot.folder} cannot be streamed",
        got=f"{type(cause).__name__}: {cause}",
        fix=snapshot.manifest.prepare_again,
    )


def decoding_threads() -> int:
    """How many threads decode row groups: half as many as TensorFlow may work with, which are a rank's share.

    One gives some 600,000 records a second, and Petastorm's threads look a thousand times a second whether there is
    something to do: with as many threads as processors an epoch took 3 % more of them.
    """
    own = tf.config.threading.get_intra_op_parallelism_threads() or os.cpu_count() or 1
    return max(1, min(own // 2, _MOST_THREADS))


def fields_of(packing: Packing, rows: tf.Tensor) -> dict[str, tf.Tensor]:
    """[batch, words] int32 cut into fields, all int32: [batch, length] for lists, [batch] for single numbers."""
    fields = {}
    for field in packing.fields:
        start = packing.starts[field.name]
        values = rows[:, start : start + field.words]  # [batch, words of the field]
        if field.dtype.itemsize < WORD:
            narrow = tf.bitcast(values, field.dtype)  # [batch, words, values of a word]
            narrow = tf.reshape(narrow, [-1, field.words * WORD // field.dtype.itemsize])  # [batch, length and padding]
            values = tf.cast(narrow[:, : field.count], tf.int32)
        values = tf.ensure_shape(values, [rows.shape[0], field.count])
        fields[field.name] = values[:, 0] if field.length is None else values
    return fields


def _require_packed(manifest: Manifest) -> None:
    if not manifest.packed or len(manifest.files) != len(manifest.row_groups):
        raise SnapshotError(
            f"snapshot {manifest.name} is not laid out for ranks",
            wanted="one of training or validation, with one row group a file",
            got=f"{manifest.split}, {len(manifest.row_groups)} row groups in {len(manifest.files)} files",
            fix="Train on the training part of a preparation; if this is one, run `pagerec prepare` again",
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
    """The row groups of one shard, and what they delivered or failed with."""

    def __init__(self, snapshot: Snapshot, words: int, shard: Shard, seed: int, reader: Callable[..., RowGroups]):
        paths = shard.part_of(snapshot.paths)
        self._words = words
        self._left = len(paths)  # row groups to deliver
        self._random = np.random.default_rng([seed % 2**63, shard.rank])
        order = self._random.permutation(len(paths))
        self._groups = reader([paths[number] for number in order], decoding_threads())
        self._reading = threading.Lock()
        self._closed = self._started = False
        self.failure: Exception | None = None

    def __enter__(self) -> "_Epoch":
        return self

    def __exit__(self, *_: object) -> None:
        """Close after a read that is under way: Petastorm, stopped in between, would wait for ever."""
        with self._reading:
            self._closed = True
            self._groups.close()

    def batches(self, batch_size: int, drop_remainder: bool, skip: int) -> Iterator[Records]:
        """Batches of `batch_size` records, pooled and shuffled; the last may be smaller."""
        if self._started:
            self.failure = SnapshotError("a stream is read once", fix="Open another one for each epoch")
            raise self.failure
        self._started = True
        left: list[Records] = []
        for blocks in self._pools():
            ids, rows = _shuffled([*left, *blocks], self._random)  # also for what is skipped: the draws stay the same
            full = len(ids) // batch_size * batch_size
            for start in range(min(skip, full), full, batch_size):
                yield ids[start : start + batch_size], rows[start : start + batch_size]
            skip -= min(skip, full)
            left = [(ids[full:], rows[full:])]
        if left and len(left[0][0]) and not drop_remainder:
            yield left[0]

    def _pools(self) -> Iterator[list[Records]]:
        """The blocks of row groups, as many as it takes to have enough records to shuffle well."""
        blocks: list[Records] = []
        for group in self._row_groups():
            blocks += group
            if sum(len(ids) for ids, _ in blocks) >= POOL_RECORDS:
                yield blocks
                blocks = []
        if blocks:
            yield blocks

    def _row_groups(self) -> Iterator[list[Records]]:
        while self._left:
            with self._reading:
                if self._closed:
                    return
                try:
                    blocks = [(block_ids(ids), block_rows(rows, self._words)) for ids, rows in self._groups.next()]
                except Exception as error:  # whatever PyArrow or Petastorm raise; `open_stream` turns it into ours
                    self.failure = error
                    raise
            self._left -= 1
            yield blocks


def _shuffled(parts: list[Records], random: np.random.Generator) -> Records:
    """All records in an order drawn anew, each copied once."""
    ids = np.empty(sum(len(own) for own, _ in parts), np.int64)
    rows = np.empty((len(ids), parts[0][1].shape[1]), np.int32)
    places, start = random.permutation(len(ids)), 0
    for own_ids, own_rows in parts:
        to = places[start : start + len(own_ids)]
        ids[to], rows[to] = own_ids, own_rows
        start += len(own_ids)
    return ids, rows
