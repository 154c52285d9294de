"""The study's way of storing training data, TFRecord files of tf.train.Example, against a Parquet snapshot.

`python -m benchmarks.tfrecords SNAPSHOT` writes the snapshot's records as TFRecords into a scratch folder, reads both
once and prints size and speed.
"""

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from pagerec_dbx.errors import SnapshotError
from pagerec_dbx.features.snapshot import Snapshot, open_snapshot, read_batches
from pagerec_dbx.features.stream import Shard, open_stream

_WRITTEN_AT_ONCE = 4_096  # records turned into Python lists together


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The same records both ways."""

    records: int
    parquet_bytes: int
    tfrecord_bytes: int
    tfrecord_write_seconds: float
    parquet_read_seconds: float  # one epoch, shuffled, through open_stream
    tfrecord_read_seconds: float  # one epoch, shuffled in a buffer of the same size, parsed in batches

    def lines(self) -> list[str]:
        """A table for people."""
        rows = [("Parquet snapshot", self.parquet_bytes, self.parquet_read_seconds),
                ("TFRecords", self.tfrecord_bytes, self.tfrecord_read_seconds)]  # fmt: skip
        table = [f"{self.records:,} records", f"{'':<18}{'bytes':>15}{'bytes/record':>14}{'records/s read':>16}"]
        table += [
            f"{name:<18}{size:>15,}{size / self.records:>14.1f}{self.records / seconds:>16,.0f}"
            for name, size, seconds in rows
        ]
        return [*table, f"TFRecords written in {self.tfrecord_write_seconds:.1f} s"]


def compare(snapshot: Snapshot, folder: Path, batch_size: int = 2_048) -> Comparison:
    """Write a snapshot as TFRecords into a folder and read both, each once.

    Raises:
        SnapshotError: a reader did not deliver every record.
    """
    started = time.perf_counter()
    files = write_tfrecords(snapshot, folder)
    written = time.perf_counter() - started
    return Comparison(
        records=snapshot.manifest.records,
        parquet_bytes=sum(file.bytes for file in snapshot.manifest.files),
        tfrecord_bytes=sum(file.stat().st_size for file in files),
        tfrecord_write_seconds=written,
        parquet_read_seconds=_timed(lambda: _read_snapshot(snapshot, batch_size), snapshot.manifest.records),
        tfrecord_read_seconds=_timed(lambda: _read_tfrecords(snapshot, files, batch_size), snapshot.manifest.records),
    )


def write_tfrecords(snapshot: Snapshot, folder: Path) -> list[Path]:
    """One file of tf.train.Examples for each file of the snapshot, every field an int64 list.

    Fields that are no numbers (`user_hash` of the holdout) are left out.
    """
    files = []
    for number, file in enumerate(snapshot.manifest.files):
        one = dataclasses.replace(snapshot.manifest, files=(file,))
        path = folder / f"part-{number:05d}.tfrecord"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for batch in read_batches(Snapshot(snapshot.folder, one), _WRITTEN_AT_ONCE):
                for text in _examples(batch):
                    writer.write(text)
        files.append(path)
    return files


def _examples(batch: dict[str, np.ndarray]) -> list[bytes]:
    """[records] serialized tf.train.Examples."""
    numbers = {name: values for name, values in batch.items() if values.dtype != object}
    lists = {name: values.reshape(len(values), -1).astype(np.int64).tolist() for name, values in numbers.items()}
    records = len(next(iter(lists.values())))
    return [_example({name: values[number] for name, values in lists.items()}) for number in range(records)]


def _example(fields: dict[str, list[int]]) -> bytes:
    features = {name: tf.train.Feature(int64_list=tf.train.Int64List(value=values)) for name, values in fields.items()}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def _read_snapshot(snapshot: Snapshot, batch_size: int) -> int:
    with open_stream(snapshot, Shard(0, 1), batch_size, seed=1) as batches:
        return sum(int(batch["page_view_id"].shape[0]) for batch in batches)


def _read_tfrecords(snapshot: Snapshot, files: list[Path], batch_size: int) -> int:
    specs = _specs(snapshot)
    batches = (
        tf.data.TFRecordDataset([str(file) for file in files], num_parallel_reads=2)
        .shuffle(65_536, seed=1)
        .batch(batch_size)
        .map(lambda texts: tf.io.parse_example(texts, specs), num_parallel_calls=2)
        .prefetch(2)
    )
    return sum(int(batch["page_view_id"].shape[0]) for batch in batches)


def _specs(snapshot: Snapshot) -> dict[str, tf.io.FixedLenFeature]:
    first = next(read_batches(snapshot, 1))
    return {
        name: tf.io.FixedLenFeature(list(values.shape[1:]), tf.int64)
        for name, values in first.items()
        if values.dtype != object
    }


def _timed(read: Callable[[], int], wanted: int) -> float:
    """Seconds of one reading.

    Raises:
        SnapshotError: it was not the whole.
    """
    started = time.perf_counter()
    found = read()
    if found != wanted:
        raise SnapshotError("not every record was read", wanted=f"{wanted:,}", got=f"{found:,}")
    return time.perf_counter() - started


def main() -> None:
    """Compare the snapshot named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tfrecords", description=__doc__)
    parser.add_argument("snapshot", type=Path, help="a folder in HOME/snapshots")
    parser.add_argument("--batch-size", type=int, default=2_048)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        print("\n".join(compare(open_snapshot(given.snapshot), Path(scratch), given.batch_size).lines()))


if __name__ == "__main__":
    main()
