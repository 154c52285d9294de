"""Many slices, many chances to find something: p-values that account for how many were looked at."""

import math
import statistics

import numpy as np


def holm(p_values) -> np.ndarray:
    """Holm's adjusted p-values: refusing those below .05 keeps the chance of any false one at 5 % (Holm, 1979).

    The smallest is multiplied by their number, the next by one less, and so on, each at least as large as the one
    before it and at most 1. Holds whatever the dependence between slices, which share page views.

    Args:
        p_values: [tests] each in [0, 1].
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p_values, kind="stable")
    times = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p_values[order] * times))
    return adjusted


def two_sided(difference: float, standard_error: float) -> float:
    """The chance of a difference at least as far from 0, either way, if there is none; 1 where nothing differs."""
    return min(1.0, 2 * below(-abs(difference), standard_error))


def below(difference: float, standard_error: float) -> float:
    """The chance of a difference this low or lower, if there is none."""
    if standard_error > 0:
        return statistics.NormalDist().cdf(difference / standard_error)
    return 0.0 if difference < 0 else 1.0 if math.isfinite(difference) else math.nan
