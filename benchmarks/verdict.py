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
import time
from collections.abc import Sequence

import numpy as np

from benchmarks.paired_samples import OF_PAGES, TAIL, paired_sample
from pagerec_dbx.evaluation.intervals import effective_viewers, paired_intervals

GAIN = 0.005
RESAMPLES = 2_000
LARGE = 850_000  # page views of the holdout that the speed is measured on


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table of shares with their own uncertainty, and the seconds that a large interval takes."""
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
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for world in worlds:
            # Page views are many more than viewers; the control needs no such precision to show what it shows.
            number = options.samples if world.by_viewer else max(1, options.samples // 10)
            samples = pool.map(functools.partial(drawn, world), range(number), chunksize=5)
            print(line(world, samples), flush=True)
    print(f"\n{RESAMPLES:,} resamples of {LARGE:,} page views: median of 5, {_seconds(LARGE):.1f} s.")


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
    covered = [one.lower <= 0 <= one.upper for one in samples]
    better = [one.lower > 0 for one in samples]
    seen = [one.lower + GAIN > 0 for one in samples]
    shares = " | ".join(_share(values) for values in (covered, better, seen))
    effective = statistics.median(one.effective_viewers for one in samples)
    return f"| {world.name} | {len(samples):,} | {world.pages:,} | {effective:,.0f} | {shares} |"


def _share(values: Sequence[bool]) -> str:
    """A share with 1.96 standard errors of a binomial."""
    share = sum(values) / len(values)
    return f"{share:.1%} +- {1.96 * math.sqrt(share * (1 - share) / len(values)):.1%}"


def _seconds(pages: int) -> float:
    sums, counts = paired_sample(np.random.default_rng(1), pages, GAIN)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        paired_intervals(sums[:, None], counts[:, None], RESAMPLES, 17)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


if __name__ == "__main__":
    main()
