"""Whether probabilities come true: the reliability curve and the expected calibration error (ECE), in NumPy.

Over all (page view, offered row) pairs the probability of a click on the row, given a click on the page view, is held
against the target: 1 / number of clicked rows on the clicked ones, 0 elsewhere. The pairs are put in order of their
probability and cut into bins of equal count; the error is the mean, over pairs, of the distance between a bin's two
means. Pairs of one probability have no order, so they share their targets evenly: a bin that takes k of t such pairs
takes k / t of their targets, and the figures depend on nothing but the pairs.
"""

import dataclasses

import numpy as np

from pagerec_dbx.errors import ScoresError

BINS = 15


@dataclasses.dataclass(frozen=True)
class Reliability:
    """The reliability curve; arrays are [bins], in rising order of probability, empty bins left out."""

    lower: np.ndarray  # the smallest probability in the bin
    upper: np.ndarray  # the largest
    pairs: np.ndarray  # int64
    mean_probability: np.ndarray
    mean_target: np.ndarray

    @property
    def count(self) -> int:
        """All pairs."""
        return int(self.pairs.sum())

    @property
    def error(self) -> float:
        """The expected calibration error, in [0, 1]; NaN without a pair."""
        gaps = np.abs(self.mean_probability - self.mean_target)
        return float((self.pairs * gaps).sum() / self.count) if self.count else float("nan")


@dataclasses.dataclass(frozen=True)
class Groups:
    """Pairs put together by probability: groups in rising order, none overlaps another. Arrays are [groups]."""

    first: np.ndarray  # the smallest probability in the group
    pairs: np.ndarray  # int64, at least 1
    probability: np.ndarray  # sum over the pairs
    target: np.ndarray  # sum over the pairs

    def holding(self, ranks: np.ndarray) -> np.ndarray:
        """The index of the group that holds each rank, counted from 0."""
        return np.cumsum(self.pairs).searchsorted(ranks, side="right")


def click_targets(clicked: np.ndarray) -> np.ndarray:
    """[pages, rows] 1 / number of clicked rows on the clicked ones; 0 everywhere where none is."""
    clicked = np.asarray(clicked, dtype=np.float64)
    return clicked / np.maximum(clicked.sum(axis=1, keepdims=True), 1)


def reliability(probabilities: np.ndarray, targets: np.ndarray, bins: int = BINS) -> Reliability:
    """The reliability curve of pairs, exactly.

    Args:
        probabilities: [pairs] in [0, 1].
        targets: [pairs] in [0, 1].

    Raises:
        ScoresError: the two differ in shape, or a probability is none.
    """
    probabilities, targets = np.asarray(probabilities), np.asarray(targets)
    if probabilities.shape != targets.shape or probabilities.ndim != 1:
        raise ScoresError(
            "probabilities and targets do not fit together",
            wanted="two arrays [pairs]",
            got=f"{probabilities.shape}, {targets.shape}",
        )
    wrong = ~((probabilities >= 0) & (probabilities <= 1))
    if wrong.any():
        raise ScoresError("a probability is none", wanted="0 to 1", got=str(probabilities[wrong][0]))
    values, group, pairs = np.unique(probabilities, return_inverse=True, return_counts=True)
    sums = (np.bincount(group, weights=weights, minlength=len(values)) for weights in (probabilities, targets))
    return binned(Groups(values, pairs, *sums), bins)


def bin_ends(pairs: int, bins: int = BINS) -> np.ndarray:
    """[bins + 1] ranks at which bins of equal count begin and end: they differ by one pair at most."""
    return np.arange(bins + 1, dtype=np.int64) * pairs // bins


def binned(groups: Groups, bins: int = BINS) -> Reliability:
    """The reliability curve of groups.

    It is exact where every group that a bin's first or last pair lies in holds pairs of one probability.
    """
    total = int(groups.pairs.sum())
    ends = bin_ends(total, bins)
    # Within a group targets are shared evenly: their running sum rises in a straight line from group to group.
    ranks = np.concatenate([[0], np.cumsum(groups.pairs)])
    probability, target = (
        np.diff(np.interp(ends, ranks, np.concatenate([[0.0], np.cumsum(sums)])))
        for sums in (groups.probability, groups.target)
    )
    pairs = np.diff(ends)
    some = pairs > 0
    return Reliability(
        lower=groups.first[groups.holding(ends[:-1][some])].astype(np.float64),
        upper=groups.first[groups.holding(ends[1:][some] - 1)].astype(np.float64),
        pairs=pairs[some],
        mean_probability=probability[some] / pairs[some],
        mean_target=target[some] / pairs[some],
    )
