"""How training grows with ranks: records a second of 1, 2 and 4 ranks of one thread each, each an executor of its own.

`python -m benchmarks.ranks HOME` takes the first records of the home's newest training snapshot, trains on 1, 2 and 4
ranks in turn, several times, and prints medians, the ratio to so many times one rank, and the bytes reduced a step.
"""

import argparse
import os
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from benchmarks.train import BATCH, config_of, first_records, machine, newest
from pagerec_dbx.config import TrainSettings
from pagerec_dbx.features.snapshot import MANIFEST, Snapshot
from pagerec_dbx.features.stream import Shard, open_stream
from pagerec_dbx.models.build import build
from pagerec_dbx.spark import spark_session
from pagerec_dbx.training.distributed import run_on_ranks
from pagerec_dbx.training.job import TrainingJob
from pagerec_dbx.training.loop import fit
from pagerec_dbx.training.reduction import mean_over_ranks, whole_rows_of

RANKS = (1, 2, 4)
EPOCHS = 3  # the first builds the graph and is not counted


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ranks", description=__doc__.splitlines()[0])
    parser.add_argument("home", type=Path, help="a home in which `pagerec prepare` has run")
    parser.add_argument("--times", type=int, default=5, help="rounds")
    parser.add_argument("--records", type=int, default=100_000, help="a rank, or somewhat more")
    options = parser.parse_args()
    spark = spark_session(f"local-cluster[{max(RANKS)},1,1024]", Path(tempfile.mkdtemp(), "spark.log"))
    speeds: dict[int, list[float]] = {ranks: [] for ranks in RANKS}
    with tempfile.TemporaryDirectory() as scratch:
        whole, validation = (newest(options.home, part) for part in ("train", "validation"))
        parts = {ranks: _part(whole, options.records, ranks, Path(scratch, f"train-{ranks}")) for ranks in RANKS}
        for number in range(options.times):
            for ranks in RANKS:
                job = _job(parts[ranks], validation, Path(scratch, f"run-{number}-{ranks}"))
                speeds[ranks].append(_speed(job, ranks, Path(scratch, "ranks.log")))
        print(f"{machine()}\n{table(parts, speeds)}", flush=True)
    spark.stop()


def _part(train: Snapshot, records: int, ranks: int, folder: Path) -> Snapshot:
    """So many records a rank, or somewhat more: what an epoch costs once weighs alike on any number of ranks."""
    return linked(first_records(train, min(records * ranks, train.manifest.records), ranks), folder)


def linked(part: Snapshot, folder: Path, paths: Sequence[Path] | None = None) -> Snapshot:
    """A part of a snapshot as a snapshot of its own, without copying its files.

    Args:
        paths: where the files are, if not under their names.
    """
    for file, path in zip(part.manifest.files, paths or part.paths, strict=True):
        (folder / file.name).parent.mkdir(parents=True, exist_ok=True)
        os.symlink(path.absolute(), folder / file.name)
    (folder / MANIFEST).write_text(part.manifest.to_json(), encoding="utf-8")
    return Snapshot(folder, part.manifest)


def _job(train: Snapshot, validation: Snapshot, folder: Path) -> TrainingJob:
    settings = TrainSettings(epochs=EPOCHS, patience=EPOCHS, batch_size=BATCH)
    return TrainingJob(config_of(train), str(train.folder), str(validation.folder), settings, str(folder))


def _speed(job: TrainingJob, ranks: int, log: Path) -> float:
    """Records a second of all ranks together, from first step to last of the epochs that count."""
    results = run_on_ranks(lambda group: fit(job, group, lambda _: None), ranks, max(RANKS), log, threads=1)
    return statistics.mean(report.examples_per_second for report in results[0].reports[1:])


def table(parts: dict[int, Snapshot], speeds: dict[int, list[float]]) -> str:
    """Medians, the ratio round by round, and what one rank sends in a step."""
    rows = [
        f"Batch {BATCH:,} a rank, one thread a rank, medians of {len(speeds[1])} rounds.",
        "",
        "| ranks | records | records a second | of so many times one rank | bytes a rank gives in a step |",
        "|---|---|---|---|---|",
    ]
    for ranks, measured in speeds.items():
        whole, gathered = reduced_bytes(parts[1], ranks)
        ratio = statistics.median(a / (ranks * b) for a, b in zip(measured, speeds[1], strict=True))
        given = f"{whole:,} added up, {gathered:,} gathered" if ranks > 1 else "0"
        records = parts[ranks].manifest.records
        rows.append(f"| {ranks} | {records:,} | {statistics.median(measured):,.0f} | {ratio:.2f} | {given} |")
    return "\n".join(rows)


def reduced_bytes(train: Snapshot, ranks: int) -> tuple[int, int]:
    """Bytes of a step's gradients as they are reduced: what is added up whole, and what is gathered row by row.

    Dense weights and small tables of embeddings are added up; of large tables the rows that a batch has are gathered,
    with their ids.
    """
    model = build(config_of(train), 1)
    with open_stream(train, Shard(0, 1), BATCH, 1, drop_remainder=True) as batches:
        batch = next(iter(batches))
    with tf.GradientTape() as tape:
        loss = model.compute_loss(batch, training=True)
    whole, gathered = [], []

    def counted(gradient):
        if isinstance(gradient, tf.IndexedSlices):
            gathered.extend((gradient.values, gradient.indices))
        else:
            whole.append(gradient)
        return gradient

    variables = model.trainable_variables
    limit = whole_rows_of(TrainSettings().whole_table_rows, ranks)
    mean_over_ranks(tape.gradient(loss, variables), variables, limit, counted)
    return _bytes(whole), _bytes(gathered)


def _bytes(tensors: Sequence[tf.Tensor]) -> int:
    return sum(int(tf.size(tensor)) * tensor.dtype.size for tensor in tensors)


if __name__ == "__main__":
    main()
