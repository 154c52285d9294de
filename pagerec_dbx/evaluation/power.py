"""How many page views a verdict needs: from the spread of a difference between viewers, to a sample that shows it.

The mean difference over page views is a ratio of two sums over viewers, and a viewer's page views are not independent.
Its variance is that of the viewers' residuals (Taylor linearisation of a ratio of cluster totals; Cochran, Sampling
Techniques, 1977, chapter 6):

    variance = V / (V - 1) * sum over viewers of (s - d * n)^2 / (sum of n)^2

with s a viewer's summed difference, n the viewer's page views, V viewers and d the mean difference. It falls as 1 / V
when more viewers of the same kind come.
"""

import dataclasses
import math
import statistics

import numpy as np

from pagerec_dbx.errors import NoExamplesError, UsageError
from pagerec_dbx.evaluation.intervals import LEVEL

POWER = 0.95  # in how many of such verdicts a gain of that size should be seen


@dataclasses.dataclass(frozen=True)
class Spread:
    """What is known of a difference: its size and how much it varies between viewers."""

    difference: float
    standard_error: float  # of the mean over page views, on the page views below
    pages: int
    viewers: int


@dataclasses.dataclass(frozen=True)
class Needed:
    """What a verdict needs to see a gain."""

    gain: float
    page_views: int
    viewers: int
    smallest_gain: float  # that the page views at hand would show


def measured_spread(sums: np.ndarray, counts: np.ndarray) -> Spread:
    """The spread of a mean difference over page views.

    Args:
        sums: [viewers] each viewer's differences summed over the viewer's page views.
        counts: [viewers] the page views summed over.

    Raises:
        NoExamplesError: fewer than two viewers, between whom nothing can vary.
    """
    seen = counts > 0
    sums, counts = sums[seen], counts[seen]
    if len(sums) < 2:
        raise NoExamplesError(
            "the spread between viewers cannot be measured", wanted="two viewers or more", got=f"{len(sums)}"
        )
    pages = counts.sum()
    difference = sums.sum() / pages
    residuals = sums - difference * counts
    error = standard_error(float(residuals @ residuals), float(pages), len(sums))
    return Spread(float(difference), error, int(pages), len(sums))


def standard_error(squares: float, pages: float, viewers: int) -> float:
    """Of a mean difference over page views.

    Args:
        squares: the sum over viewers of (s - d n)^2.
        viewers: at least 2.
    """
    return math.sqrt(viewers / (viewers - 1) * squares) / pages


def normal_width(error: float) -> float:
    """Half of a normal 95 % interval: 1.96 standard errors."""
    return statistics.NormalDist().inv_cdf((1 + LEVEL) / 2) * error


def needed(spread: Spread, gain: float, minimum_gain: float = 0.0, power: float = POWER) -> Needed:
    """How many page views a verdict needs, so that the interval's lower end lies above the minimum gain.

    With a true gain g the estimate is normal around g, and the lower end is 1.96 standard errors below it; in a share
    `power` of samples it lies above the minimum m if (g - m) / standard error >= 1.96 + z(power). More page views are
    taken to be those of more viewers of the same kind: more page views of the same viewers help less.

    Args:
        gain: the true gain that should be seen.

    Raises:
        UsageError: the gain is not above the minimum gain, so that no number of page views would do.
    """
    if not gain > minimum_gain:
        raise UsageError(
            "no number of page views shows such a gain",
            wanted=f"a gain above minimum_gain, {minimum_gain:g}",
            got=f"{gain:g}",
            fix="Name a larger --gain or set a smaller minimum_gain",
        )
    errors = _standard_errors(power)
    times = (errors * spread.standard_error / (gain - minimum_gain)) ** 2
    return Needed(
        gain=gain,
        page_views=max(1, math.ceil(times * spread.pages)),
        viewers=max(1, math.ceil(times * spread.viewers)),
        smallest_gain=minimum_gain + errors * spread.standard_error,
    )


def _standard_errors(power: float) -> float:
    """How many standard errors a gain must be away from the minimum: 1.96 + 1.645 = 3.605 at 95 %."""
    normal = statistics.NormalDist()
    return normal.inv_cdf((1 + LEVEL) / 2) + normal.inv_cdf(power)
