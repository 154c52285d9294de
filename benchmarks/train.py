"""`make bench-train`: how fast training is, as ratios of two ways measured in turn inside one run.

`python -m benchmarks.train HOME` takes the newest preparation of a home, whose training part should hold some 200,000
records or more, and prints one line a question: what the two ways are, medians, the ratio, and the goal.
"""

import argparse
import dataclasses
import functools
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from benchmarks.keras_way import PlainTwoTower
from benchmarks.study_way import BATCH, in_batches, one_by_one, study_epochs, write_study_files
from pagerec_dbx.config import TrainSettings
from pagerec_dbx.features.encoding import as_arrow
from pagerec_dbx.features.packing import IDS, pack, packing_from_schema
from pagerec_dbx.features.snapshot import Snapshot, open_snapshot, read_batches
from pagerec_dbx.features.stream import Shard, fields_of, open_stream, untuned
from pagerec_dbx.models.build import build
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.training.memory import freed_between_epochs, share_heaps
from pagerec_dbx.training.optimizer import optimizer_of
from pagerec_dbx.training.steps import Steps
from pagerec_dbx.training.validation import Validation

ALONE = Shard(0, 1)


@dataclasses.dataclass(frozen=True)
class Pair:
    """Seconds of the same work done in two ways, one after the other, several times."""

    what: str
    first: tuple[float, ...]
    second: tuple[float, ...]
    goal: str
    note: str = ""

    @property
    def ratio(self) -> float:
        """How many times as fast the first way is: the median over the pairs."""
        return statistics.median(b / a for a, b in zip(self.first, self.second, strict=True))

    def line(self) -> str:
        one, other = statistics.median(self.first), statistics.median(self.second)
        return f"| {self.what} | {one:.2f} | {other:.2f} | {self.ratio:.2f} | {self.goal} | {self.note} |"


def measured(what: str, first: Callable[[], None], second: Callable[[], None], times: int, goal: str) -> Pair:
    """Both ways once unmeasured, then in turn; what one left is freed before the next, as before an epoch."""
    with freed_between_epochs() as free:
        first(), second()
        seconds = [(_timed(first, free), _timed(second, free)) for _ in range(times)]
    return Pair(what, *map(tuple, zip(*seconds, strict=True)), goal)


def _timed(work: Callable[[], None], free: Callable[[], None]) -> float:
    free()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def stream_against_scans(train: Snapshot, folder: Path, times: int) -> list[Pair]:
    """Shuffled batches ready for a step, against PyArrow on one thread: the same files, and the records as lists."""
    plain = folder / "plain.parquet"
    with pq.ParquetWriter(plain, _plain_table(next(read_batches(train, 1))).schema) as writer:
        for batch in read_batches(train, max(train.manifest.row_groups)):
            writer.write_table(_plain_table(batch))

    def stream():
        with open_stream(train, ALONE, BATCH, 1, drop_remainder=True) as batches:
            for _ in batches:
                pass

    def scan(paths):
        return lambda: [pq.ParquetFile(path).read(use_threads=False) for path in paths]

    return [
        measured("streamed / scanned by PyArrow, records as lists", stream, scan([plain]), times, ">= .5"),
        measured("streamed / scanned by PyArrow, the packed files", stream, scan(train.paths), times, ""),
    ]


def _plain_table(batch: dict[str, np.ndarray]) -> pa.Table:
    return pa.table({name: as_arrow(values) for name, values in batch.items()})


class Trainer:
    """A model and its steps, traced once, that take epochs from wherever."""

    def __init__(self, model, settings: TrainSettings, steps: int):
        self.model, self._steps = model, steps
        self._run = Steps(model, optimizer_of(settings, 1, steps), lambda gradients, _: gradients).run

    def epoch(self, batches: tf.data.Dataset) -> float:
        """Mean loss of an epoch."""
        return self._run(iter(batches), self._steps)[0] / self._steps


def streamed(train: Snapshot, seed: int) -> Callable[[Trainer], None]:
    """One epoch through Petastorm."""

    def epoch(trainer: Trainer) -> None:
        with open_stream(train, ALONE, BATCH, seed, drop_remainder=True) as batches:
            trainer.epoch(batches)

    return epoch


def in_memory(train: Snapshot) -> Callable[[Trainer], None]:
    """One epoch of the same records from arrays."""
    packing = packing_from_schema(train.manifest.schema)
    held = [(batch[IDS], pack(packing, batch)) for batch in read_batches(train, 100_000)]
    ids, rows = (np.concatenate(parts) for parts in zip(*held, strict=True))

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        order = np.random.default_rng(1).permutation(len(rows))
        for start in range(0, len(rows) // BATCH * BATCH, BATCH):
            places = order[start : start + BATCH]
            yield ids[places], np.take(rows, places, axis=0)

    def epoch(trainer: Trainer) -> None:
        dataset = tf.data.Dataset.from_generator(
            batches,
            output_signature=(tf.TensorSpec([BATCH], tf.int64), tf.TensorSpec([BATCH, packing.words], tf.int32)),
        )
        named = dataset.map(lambda own, one: {IDS: own, **fields_of(packing, one)}).prefetch(2)
        trainer.epoch(named.with_options(untuned()))

    return epoch


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train", description=__doc__.splitlines()[0])
    parser.add_argument("home", type=Path, help="a home in which `pagerec prepare` has run")
    parser.add_argument("--times", type=int, default=5, help="pairs of each question")
    options = parser.parse_args()
    train, validation = (newest(options.home, part) for part in ("train", "validation"))
    share_heaps()  # as a training does
    print(f"{_sizes(train)} {machine()}\n", flush=True)
    print(
        "| first / second | first, s | second, s | times as fast | goal | note |\n|---|---|---|---|---|---|", flush=True
    )
    with tempfile.TemporaryDirectory() as scratch:
        for pair in stream_against_scans(train, Path(scratch), options.times):
            print(pair.line(), flush=True)
        print(training_from_memory(train, options.times).line(), flush=True)
        print(step_against_keras(train, validation, options.times).line(), flush=True)
        for pair in whole_against_study(train, Path(scratch), options.times):
            print(pair.line(), flush=True)


def training_from_memory(train: Snapshot, times: int) -> Pair:
    """What streaming costs a training."""
    trainer = Trainer(build(config_of(train), 1), TrainSettings(), train.manifest.records // BATCH)
    first, second = streamed(train, 1), in_memory(train)
    what = "an epoch streamed / from arrays in memory"
    return measured(what, lambda: first(trainer), lambda: second(trainer), times, ">= .90")


def step_against_keras(train: Snapshot, validation: Snapshot, times: int) -> Pair:
    """This package's step against the same model in plain Keras, and what both come to on the validation part."""
    steps = train.manifest.records // BATCH
    ours = Trainer(build(config_of(train), 1), TrainSettings(), steps)
    plain = Trainer(PlainTwoTower(config_of(train), seed=1), TrainSettings(optimizer="adam"), steps)
    epoch = in_memory(train)
    pair = measured("an epoch of our step / of plain Keras", lambda: epoch(ours), lambda: epoch(plain), times, ">= 1.5")
    figures = [_ndcg(one.model, validation) for one in (ours, plain)]
    return dataclasses.replace(
        pair, note="validation NDCG {:.4f} and {:.4f} after {} epochs".format(*figures, times + 1)
    )


def whole_against_study(train: Snapshot, folder: Path, times: int) -> Iterator[Pair]:
    """Two epochs of 200,000 records, model and graph included, against TFRecords, strings looked up, and Keras fit."""
    part = first_records(train, 200_000)
    files = write_study_files(part, folder / "study")
    steps = part.manifest.records // BATCH

    def ours():
        trainer = Trainer(build(config_of(part), 1), TrainSettings(), steps)
        for seed in (1, 2):
            streamed(part, seed)(trainer)

    ways = {"records parsed one by one": (one_by_one, ">= 5"), "parsed in batches": (in_batches, "")}
    for name, (records, goal) in ways.items():
        what = f"two epochs of 200,000 / the study's way, {name}"
        study = functools.partial(study_epochs, files, config_of(part), part, records, 2)
        yield measured(what, ours, study, times, goal)


def first_records(train: Snapshot, wanted: int, ranks: int = 1) -> Snapshot:
    """As many whole files as it takes, and more until so many ranks can share them."""
    manifest = train.manifest
    count = int(np.searchsorted(np.cumsum(manifest.row_groups), wanted) + 1)
    count = -(-count // ranks) * ranks
    groups = manifest.row_groups[:count]
    changed = dataclasses.replace(manifest, files=manifest.files[:count], row_groups=groups, records=sum(groups))
    return Snapshot(train.folder, changed)


def _ndcg(model, validation: Snapshot) -> float:
    _, total, count = Validation(model).sums(validation, ALONE, TrainSettings(batch_size=BATCH))
    return total / count


def config_of(train: Snapshot) -> ModelConfig:
    """The study's model with the vocabularies of a snapshot."""
    manifest = train.manifest
    return ModelConfig(
        "two_tower_softmax", manifest.title_count, manifest.row_count, manifest.device_count, manifest.location_count,
        manifest.history_length,
    )  # fmt: skip


def newest(home: Path, part: str) -> Snapshot:
    """The training or validation snapshot that a home made last."""
    folders = sorted((home / "snapshots").glob(f"{part}-v*"), key=lambda folder: folder.stat().st_mtime)
    return open_snapshot(folders[-1])


def _sizes(train: Snapshot) -> str:
    manifest = train.manifest
    return f"{manifest.records:,} records, {manifest.title_count:,} titles, {manifest.row_count} rows."


def machine() -> str:
    """What figures were measured on, as a sentence."""
    names = ("tensorflow", "horovod", "petastorm", "pyarrow", "pyspark")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    gpus = len(tf.config.list_physical_devices("GPU"))
    return f"{os.cpu_count()} processors ({platform.machine()}), {gpus} GPUs; {versions}."


if __name__ == "__main__":
    main()
