"""What a large vocabulary costs: milliseconds and memory of a step at 10 thousand and at 5 million titles.

`python -m benchmarks.vocabulary` draws titles by Zipf's law (exponent 1), each case in a process of its own, in turn.
Milliseconds are of processor, all threads together: they do not depend on what else the machine does.
"""

import argparse
import dataclasses
import json
import resource
import statistics
import subprocess
import sys
import time

import numpy as np
import tensorflow as tf

from benchmarks.train import machine
from pagerec_dbx.config import TrainSettings
from pagerec_dbx.models.build import build
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.training.optimizer import optimizer_of
from pagerec_dbx.training.steps import Steps

BATCH, HISTORY, MENU, ROWS = 2_048, 20, 30, 506
STEPS = 20
CASES = {
    "10,000 titles": ("two_tower_softmax", 10_000, None, "lazy_adam"),
    "5,000,000 titles": ("two_tower_softmax", 5_000_000, None, "lazy_adam"),
    "5,000,000 titles in 250,000 shared embeddings": ("two_tower_softmax", 5_000_000, 250_000, "lazy_adam"),
    "10,000 titles, dense Adam": ("two_tower_softmax", 10_000, None, "adam"),
}


@dataclasses.dataclass(frozen=True)
class Case:
    """One process's figures."""

    milliseconds: float  # of processor, a step
    peak_bytes: int
    distinct: int  # titles of a batch


def main() -> None:
    """Measure each case in turn, or (`--case`) one in this process."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.vocabulary", description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=5, help="rounds")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(dataclasses.asdict(measure(*CASES[options.case]))))
        return
    found: dict[str, list[Case]] = {name: [] for name in CASES}
    for _ in range(options.times):
        for name in CASES:
            command = [sys.executable, "-m", "benchmarks.vocabulary", "--case", name]
            said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            found[name].append(Case(**json.loads(said.splitlines()[-1])))
    print(f"{machine()}\n{table(found)}", flush=True)


def measure(model_name: str, titles: int, buckets: int | None, optimizer: str) -> Case:
    """Steps on batches of which none comes twice, the first 20 unmeasured.

    On the warm-up's own batches every title would have been met before: what a new one costs would be left out.
    """
    model = build(ModelConfig(model_name, titles, ROWS, title_buckets=buckets), 1)
    run = Steps(model, optimizer_of(TrainSettings(optimizer=optimizer), 1, 100), lambda gradients, _: gradients).run
    batches = _batches(titles, 2 * STEPS)
    distinct = len(np.unique(batches["history"][0]))
    iterator = iter(tf.data.Dataset.from_tensor_slices(batches).prefetch(2))
    run(iterator, STEPS)
    started = time.process_time()
    run(iterator, STEPS)
    milliseconds = (time.process_time() - started) / STEPS * 1e3
    return Case(milliseconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, distinct)


def _batches(titles: int, count: int) -> dict[str, np.ndarray]:
    """Field -> [batches, batch, ...] int32; ranks of titles are log-uniform, which is Zipf's law."""
    draw = np.random.default_rng(1)
    shape = (count, BATCH)
    history = ((titles - 2) ** draw.random((*shape, HISTORY))).astype(np.int32) + 1
    menu = draw.integers(2, ROWS, (*shape, MENU), dtype=np.int32)
    clicked = np.zeros((*shape, MENU), np.int32)
    clicked[:, :, 0] = 1
    singles = {name: np.ones(shape, np.int32) for name in ("day", "hour", "weekday", "device", "location")}
    singles["page_view_id"] = np.arange(count * BATCH).reshape(shape)
    return {"history": history, "history_age": np.ones_like(history), "menu": menu, "clicked": clicked, **singles}


def table(found: dict[str, list[Case]]) -> str:
    """Medians, and how many times the first case."""
    rounds = next(iter(found.values()))
    first = statistics.median(case.milliseconds for case in rounds)
    lines = [
        f"Batch {BATCH:,}, {HISTORY} titles a history, embedding 64, medians of {len(rounds)} rounds.",
        "",
        "| case | titles of a batch | ms of processor a step | times the first | peak memory, GB |",
        "|---|---|---|---|---|",
    ]
    for name, cases in found.items():
        spent = statistics.median(case.milliseconds for case in cases)
        peak = max(case.peak_bytes for case in cases) / 1e9
        lines.append(f"| {name} | {cases[0].distinct:,} | {spent:.0f} | {spent / first:.2f} | {peak:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
