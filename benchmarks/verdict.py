"""`make bench-verdict`: is the verdict right? Intervals and decisions on samples whose truth is known.

Prints how often the 95 % interval covers the true difference, how often "better" is said where there is none, and how
often a gain is seen; beside it the same by resampling page views, which is wrong, and how long the interval takes.
"""

import argparse
import dataclasses
import functools
import math
import multiprocessing
import statistics
import sys
import time
from collections.abc import Sequence

import numpy as np

from benchmarks.paired_samples import OF_PAGES, TAIL, paired_sample
from pagerec_dbx.evaluation.intervals import effective_viewers, paired_intervals
from pagerec_dbx.progress import Progress

GAIN = 0.005
RESAMPLES = 2_000
LARGE = 850_000  # page views of the holdout that the speed is measured on
COLUMNS = 150  # of a comparison with some dozen baselines under three protocols, five metrics each
COVERS, BETTER, SEES = (0.93, 0.97), 0.035, 0.95  # what the intervals of the first world are held to


@dataclasses.dataclass(frozen=True)
class World:
    """What is drawn, and how it is judged."""

    name: str
    pages: int = 100_000
    tail: float = TAIL
    by_viewer: bool = True  # False: page views are resampled as if they were independent


@dataclasses.dataclass(frozen=True)
class Sample:
    """The interval of one sample whose true difference is 0, and on how many effective viewers it stands."""

    lower: float
    upper: float
    effective_viewers: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table of shares with their own uncertainty, and the seconds that a large comparison takes.

    Returns:
        The exit code: 1 where the first world's intervals are not as right as they must be.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verdict", description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=2_000, help="of each world")
    parser.add_argument("--pages", type=int, default=100_000, help="page views of a sample")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args(arguments)
    worlds = (
        World("viewers resampled", options.pages),
        World("page views resampled (wrong)", options.pages, by_viewer=False),
        World("viewers resampled, heavier tail (Pareto 1.05)", options.pages, tail=1.05),
        World("viewers resampled, 1,000 page views", 1_000),
    )
    print(HEAD, flush=True)
    faults: list[str] = []
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for world in worlds:
            # Page views are many more than viewers; the control needs no such precision to show what it shows.
            number = options.samples if world.by_viewer else max(1, options.samples // 10)
            progress, samples = Progress(world.name, number, "samples"), []
            for sample in pool.imap(functools.partial(drawn, world), range(number), chunksize=5):
                samples.append(sample)
                progress.update(len(samples))
            progress.close()
            print(line(world, samples), flush=True)
            faults += missed(samples) if world is worlds[0] else []
    print(
        f"\n{RESAMPLES:,} resamples of {LARGE:,} page views, a comparison of {COLUMNS} columns: median of 5, "
        f"{_seconds(LARGE, COLUMNS):.1f} s."
    )
    for fault in faults:
        print(f"Missed: {fault}")
    return 1 if faults else 0


HEAD = (
    f'| how | samples | page views | effective viewers, median | covers the truth | "better" without a difference '
    f"| sees {GAIN} |\n|---|---|---|---|---|---|---|"
)


def drawn(world: World, seed: int) -> Sample:
    """One sample of a world and its interval."""
    generator = np.random.default_rng((seed, world.pages, round(100 * world.tail)))
    sums, counts = paired_sample(generator, world.pages, 0.0, world.tail)
    effective = float(effective_viewers(counts[:, None].astype(float))[0])
    if not world.by_viewer:
        sums, counts = split_into_pages(generator, sums, counts)
    interval = paired_intervals(sums[:, None], counts[:, None], RESAMPLES, seed)
    return Sample(float(interval.lower[0]), float(interval.upper[0]), effective)


def split_into_pages(generator: np.random.Generator, sums, counts) -> tuple[np.ndarray, np.ndarray]:
    """The page views of these viewers one by one, with the viewers' means and the spread that page views have."""
    means = np.repeat(sums / counts, counts)
    noise = generator.normal(0, OF_PAGES, len(means))
    centred = noise - np.repeat(np.bincount(np.repeat(np.arange(len(counts)), counts), noise) / counts, counts)
    return means + centred, np.ones(len(means), int)


def line(world: World, samples: Sequence[Sample]) -> str:
    """The truth is 0 in all; a true gain shifts a sample's interval by itself, so one interval tells of both."""
    shares = " | ".join(_share(values) for values in _told(samples))
    effective = statistics.median(one.effective_viewers for one in samples)
    return f"| {world.name} | {len(samples):,} | {world.pages:,} | {effective:,.0f} | {shares} |"


def _told(samples: Sequence[Sample]) -> tuple[list[bool], list[bool], list[bool]]:
    """Of each sample: whether the interval covers the truth, says "better" wrongly, and sees a gain."""
    covered = [one.lower <= 0 <= one.upper for one in samples]
    better = [one.lower > 0 for one in samples]
    return covered, better, [one.lower + GAIN > 0 for one in samples]


def missed(samples: Sequence[Sample]) -> list[str]:
    """What the samples fail to keep, a sentence each."""
    covers, better, sees = (sum(values) / len(values) for values in _told(samples))
    faults = []
    if not COVERS[0] <= covers <= COVERS[1]:
        faults.append(
            f"the interval covers the truth in {covers:.1%} of samples, not in {COVERS[0]:.0%} to {COVERS[1]:.0%}."
        )
    if better > BETTER:
        faults.append(f'"better" is said without a difference in {better:.1%} of samples, more than {BETTER:.1%}.')
    if sees < SEES:
        faults.append(f"a gain of {GAIN} is seen in {sees:.1%} of samples, less than {SEES:.0%}.")
    return faults


def _share(values: Sequence[bool]) -> str:
    """A share with 1.96 standard errors of a binomial."""
    share = sum(values) / len(values)
    return f"{share:.1%} +- {1.96 * math.sqrt(share * (1 - share) / len(values)):.1%}"


def _seconds(pages: int, columns: int) -> float:
    """Of a comparison whose columns share the page views, as those of one protocol do."""
    generator = np.random.default_rng(1)
    sums, counts = paired_sample(generator, pages, GAIN)
    wide = sums[:, None] + generator.normal(0, 1e-3, (len(sums), columns))  # no two columns alike
    of_columns = np.repeat(counts[:, None], columns, axis=1)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        paired_intervals(wide, of_columns, RESAMPLES, 17)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


if __name__ == "__main__":
    sys.exit(main())
