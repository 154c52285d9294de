"""Paired bootstrap intervals, resampled by viewer: a viewer's page views are not independent of each other.

Viewers are clusters. A resample draws as many viewers as there are, with replacement, and takes the ratio of sums: all
their differences by all their page views, so that every page view weighs alike.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from pagerec_dbx.errors import NoExamplesError

LEVEL = 0.95
WEIGHTS_AT_ONCE = 4_000_000  # weights of viewers in one chunk of resamples: 32 MB


@dataclasses.dataclass(frozen=True)
class Intervals:
    """Mean differences with their intervals; arrays are [columns]."""

    difference: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    pages: np.ndarray  # page views behind each
    viewers: np.ndarray  # viewers with such a page view
    effective_viewers: np.ndarray  # as many viewers of equal activity would say as much, see `effective_viewers`


def paired_intervals(sums, counts, resamples: int, seed: int, level: float = LEVEL) -> Intervals:
    """Percentile intervals of the mean difference over page views.

    All columns see the same resamples, so that they can be read together.

    Args:
        sums: [viewers, columns] each viewer's differences summed over the viewer's page views.
        counts: [viewers, columns] the page views summed over; 0 for a viewer who has none.
        resamples: how often the viewers are drawn anew.
        seed: same seed and same order of viewers, same intervals.

    Raises:
        NoExamplesError: a column has no page view.
    """
    sums, counts = np.asarray(sums, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    _require_pages(counts)
    distinct, of_column = np.unique(counts, axis=1, return_inverse=True)  # few: columns share their page views
    both = np.ascontiguousarray(np.concatenate([sums, distinct], axis=1))
    drawn = np.concatenate([weights @ both for weights in viewer_weights(len(sums), resamples, seed)])
    totals, pages = drawn[:, : sums.shape[1]], drawn[:, sums.shape[1] :][:, of_column.ravel()]
    means = np.divide(totals, pages, out=np.full(totals.shape, np.nan), where=pages > 0)
    lower, upper = np.nanquantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return Intervals(
        difference=sums.sum(axis=0) / counts.sum(axis=0),
        lower=lower,
        upper=upper,
        pages=counts.sum(axis=0).astype(np.int64),
        viewers=(counts > 0).sum(axis=0),
        effective_viewers=effective_viewers(counts),
    )


def effective_viewers(counts: np.ndarray) -> np.ndarray:
    """[columns] the square of the page views' sum by the sum of their squares (Kish, Survey Sampling, 1965).

    With equal activity it is the number of viewers; one viewer with nearly all page views makes it nearly 1, and an
    interval over so few independent voices says too much.

    Args:
        counts: [viewers, columns] page views; each column has some.
    """
    return counts.sum(axis=0) ** 2 / (counts**2).sum(axis=0)


def viewer_weights(viewers: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each viewer is drawn, in bounded chunks [some resamples, viewers]; every row sums to viewers."""
    generator = np.random.default_rng(seed)
    step = max(1, WEIGHTS_AT_ONCE // viewers)
    for start in range(0, resamples, step):
        weights = np.empty((min(step, resamples - start), viewers))
        for row in weights:  # one at a time: the counters then fit the processor's cache
            row[:] = np.bincount(generator.integers(viewers, size=viewers), minlength=viewers)
        yield weights


def _require_pages(counts: np.ndarray) -> None:
    if counts.size == 0 or (counts.sum(axis=0) == 0).any():
        raise NoExamplesError(
            "there are no page views to compare on",
            wanted="at least one page view of one viewer for every difference",
            got=f"{len(counts)} viewers",
        )
