"""Up to which size a table's gradients are cheaper added up whole: the measure behind `whole_table_rows`.

`python -m benchmarks.reduction` reduces gradients like those of a batch on several ranks, both ways in turn: histories
of 20 titles, popularity falling as 1 / rank, tables of several sizes, each reduction with what the optimizer then does.
Gathered rows grow with the ranks, a table added up whole does not: `--ranks 4` measures four.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from benchmarks.train import BATCH, machine
from pagerec_dbx.spark import spark_session
from pagerec_dbx.training.distributed import run_on_ranks
from pagerec_dbx.training.optimizer import LazyAdam

TABLES = (500, 2_000, 8_000, 16_000, 32_000, 64_000, 128_000, 500_000)
DIMENSION, HISTORY = 64, 20
STEPS = 20  # a measurement


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reduction", description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=5, help="rounds")
    parser.add_argument("--ranks", type=int, default=2)
    options = parser.parse_args()
    count, times = options.ranks, options.times
    folder = Path(tempfile.mkdtemp())
    spark = spark_session(f"local-cluster[{count},1,1024]", folder / "spark.log")
    measured = run_on_ranks(lambda ranks: _measured(ranks, times), count, count, folder / "ranks.log", threads=1)[0]
    print(f"{machine()}\n{table(measured, count)}", flush=True)
    spark.stop()


def _measured(ranks, times: int) -> dict[int, tuple[int, list[float], list[float]]]:
    """By rows of the table: distinct titles of a batch, seconds a step whole and row by row."""
    found = {}
    for rows in TABLES:
        ids = np.unique(drawn(rows, ranks.rank))
        steps = [_step(ranks, rows, ids, whole_table_rows) for whole_table_rows in (rows, 0)]
        seconds: tuple[list[float], list[float]] = ([], [])
        for _ in range(times):
            for step, kept in zip(steps, seconds, strict=True):
                started = time.monotonic()
                for _ in range(STEPS):
                    step()
                kept.append((time.monotonic() - started) / STEPS)
        found[rows] = (len(ids), *seconds)
    return found


def drawn(rows: int, seed: int) -> np.ndarray:
    """The titles of a batch of histories."""
    weights = 1.0 / np.arange(1, rows + 1)
    return np.random.default_rng(seed).choice(rows, BATCH * HISTORY, p=weights / weights.sum())


def _step(ranks, rows: int, ids: np.ndarray, whole_table_rows: int):
    variable, optimizer = tf.Variable(tf.zeros([rows, DIMENSION])), LazyAdam(1e-3)
    values, indices = tf.random.normal([len(ids), DIMENSION], seed=17), tf.constant(ids, tf.int64)
    optimizer.apply_gradients([(tf.IndexedSlices(values, indices, tf.constant([rows, DIMENSION])), variable)])

    @tf.function(autograph=False)
    def step():
        # Named: a rank finds its partners by the names, and a captured tensor's own counts what a process made before.
        own = tf.identity(values, name="values"), tf.identity(indices, name="indices")
        gradient = tf.IndexedSlices(*own, tf.constant([rows, DIMENSION]))
        optimizer.apply_gradients([(*ranks.mean([gradient], [variable], whole_table_rows), variable)])

    step()
    return step


def table(measured: dict[int, tuple[int, list[float], list[float]]], ranks: int) -> str:
    """Medians, and the ratio round by round."""
    lines = [
        f"Gradients of tables of {DIMENSION} numbers a row, batch {BATCH:,}, {ranks} ranks of one thread, medians.",
        "",
        "| rows of the table | of them in a batch | whole, ms | row by row, ms | whole / row by row |",
        "|---|---|---|---|---|",
    ]
    for rows, (distinct, whole, single) in measured.items():
        ratio = statistics.median(a / b for a, b in zip(whole, single, strict=True))
        ms = [f"{statistics.median(seconds) * 1e3:.1f}" for seconds in (whole, single)]
        lines.append(f"| {rows:,} | {distinct:,} | {ms[0]} | {ms[1]} | {ratio:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
