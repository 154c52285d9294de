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
from pagerec_dbx.features.snapshot import Manifest, Snapshot

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it imports what later versions of its own dependencies have dropped
    from petastorm import make_batch_reader

# Petastorm 0.13 opens Parquet through an interface that PyArrow 14 calls deprecated, once for every file it touches.
warnings.filterwarnings("ignore", category=FutureWarning, module=r"petastorm(\..*)?")

POOL_RECORDS = 65_536  # records shuffled together: at least this many, whole row groups
_WIDE = {"page_view_id": tf.int64}  # every other field is int32
_LENGTHS = {  # list -> what the manifest calls its length; 0 where the snapshot has no such list
    "history": "history_length",
    "history_age": "history_length",
    "menu": "menu_length",
    "pinned": "menu_length",
    "clicked": "menu_length",
    "impressions": "impression_length",
}
_SCALARS = ("clicked_row", "hour", "weekday", "device", "location", "day", "page_view_id")


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
    snapshot: Snapshot, shard: Shard, batch_size: int, seed: int, drop_remainder: bool = False
) -> Iterator[tf.data.Dataset]:
    """One epoch of one shard, shuffled, as a dataset of dicts: field -> [batch] or [batch, length] int32 (ids int64).

    Row groups come in an order drawn from `seed`; the records of several are pooled and drawn anew. Another seed gives
    another order of the same records. Reading runs ahead of the consumer in its own threads. The snapshot is not
    removed while the stream is open.

    Args:
        drop_remainder: leave out the last batch where it is not full.

    Raises:
        SnapshotError: fewer row groups than ranks, a snapshot that was removed since it was opened, or a file that
            became unreadable. The dataset is iterated once.
    """
    shard_records(snapshot.manifest, shard)
    with (
        reading(snapshot.folder),
        _plain_path(snapshot.folder) as folder,
        _Epoch(Snapshot(folder, snapshot.manifest), shard, seed) as epoch,
    ):
        batches = tf.data.Dataset.from_generator(
            lambda: epoch.batches(batch_size, drop_remainder),
            output_signature=_signature(snapshot.manifest, batch_size if drop_remainder else None),
        )
        try:
            yield batches.prefetch(2)
        except tf.errors.OpError as error:
            if epoch.failure is None:
                raise
            raise SnapshotError(
                f"snapshot {snapshot.folder} cannot be streamed",
                got=f"{type(epoch.failure).__name__}: {epoch.failure}",
                fix="Run `pagerec prepare`, which checks it and writes it again",
            ) from error


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


def _lengths(manifest: Manifest) -> dict[str, int]:
    """The lists that a snapshot's records have, with their lengths."""
    lengths = {name: getattr(manifest, length) for name, length in _LENGTHS.items()}
    return {name: length for name, length in lengths.items() if length}


def _signature(manifest: Manifest, batch: int | None) -> dict[str, tf.TensorSpec]:
    lists = {name: tf.TensorSpec([batch, length], tf.int32) for name, length in _lengths(manifest).items()}
    return lists | {name: tf.TensorSpec([batch], _WIDE.get(name, tf.int32)) for name in _SCALARS}


class _Epoch:
    """A Petastorm reader over one shard, and what it delivered or failed with."""

    def __init__(self, snapshot: Snapshot, shard: Shard, seed: int):
        self._lengths = _lengths(snapshot.manifest)
        self._left = len(range(shard.rank, len(snapshot.manifest.row_groups), shard.count))  # row groups to deliver
        self._random = np.random.default_rng([seed % 2**63, shard.rank])
        self._reader = make_batch_reader(
            [_url(path) for path in snapshot.paths],
            schema_fields=[f"^{name}$" for name in (*self._lengths, *_SCALARS)],
            cur_shard=shard.rank,
            shard_count=shard.count,
            shuffle_row_groups=True,
            seed=1 + seed % (2**31 - 1),  # it takes 0 for "no seed"
            # Not 1: at the end of its epochs Petastorm asks first whether all was delivered, then whether all was asked
            # for, and on a busy machine row groups slip in between and are lost. So it goes on, and we count.
            num_epochs=None,
            reader_pool_type="thread",
            workers_count=2,
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

    def batches(self, batch_size: int, drop_remainder: bool) -> Iterator[dict[str, np.ndarray]]:
        """Batches of `batch_size` records, pooled and shuffled; the last may be smaller."""
        if self._started:
            self.failure = SnapshotError("a stream is read once", fix="Open another one for each epoch")
            raise self.failure
        self._started = True
        left: dict[str, np.ndarray] | None = None
        for pool in self._pools():
            records = pool if left is None else _joined([left, pool])
            order = self._random.permutation(len(records["page_view_id"]))
            full = len(order) // batch_size * batch_size
            for start in range(0, full, batch_size):
                yield _taken(records, order[start : start + batch_size])
            left = _taken(records, order[full:])
        if left is not None and len(left["page_view_id"]) and not drop_remainder:
            yield left

    def _pools(self) -> Iterator[dict[str, np.ndarray]]:
        """Row groups joined until there are enough records to shuffle well."""
        groups: list[dict[str, np.ndarray]] = []
        for group in self._row_groups():
            groups.append(group)
            if sum(len(one["page_view_id"]) for one in groups) >= POOL_RECORDS:
                yield _joined(groups)
                groups = []
        if groups:
            yield _joined(groups)

    def _row_groups(self) -> Iterator[dict[str, np.ndarray]]:
        while self._left:
            with self._reading:
                if self._closed:
                    return
                try:
                    group = next(self._reader)._asdict()
                except Exception as error:  # whatever PyArrow or Petastorm raise; `open_stream` turns it into ours
                    self.failure = error
                    raise
            self._left -= 1
            yield {name: self._typed(name, group[name]) for name in (*self._lengths, *_SCALARS)}

    def _typed(self, name: str, values: np.ndarray) -> np.ndarray:
        """[records, length] or [records], in the type of the signature."""
        wanted = [self._lengths[name]] if name in self._lengths else []
        if list(values.shape[1:]) != wanted:
            self.failure = SnapshotError(f"`{name}` has another shape", wanted=str(wanted), got=str(values.shape[1:]))
            raise self.failure
        return values.astype(_WIDE.get(name, tf.int32).as_numpy_dtype, copy=False)


def _url(path: Path) -> str:
    return f"file://{path.absolute()}"


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return parts[0] if len(parts) == 1 else {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _taken(records: dict[str, np.ndarray], places: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[places] for name, values in records.items()}
