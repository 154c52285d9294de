"""How many page views a verdict needs: worked cases, the bootstrap as a second opinion, and simulated verdicts."""

import math

import numpy as np
import pytest

from benchmarks.paired_samples import paired_sample
from pagerec_dbx.errors import NoExamplesError, UsageError
from pagerec_dbx.evaluation.intervals import paired_intervals
from pagerec_dbx.evaluation.power import Spread, measured_spread, needed


def test_spread_by_hand():
    # Sums 3, -1, 1 on 3, 1, 2 page views: d = 3 / 6 = .5, residuals 3 - 1.5, -1 - .5, 1 - 1 = 1.5, -1.5, 0
    # variance = 3 / 2 * (2.25 + 2.25) / 36 = .1875
    spread = measured_spread(np.array([3.0, -1.0, 1.0]), np.array([3, 1, 2]))
    assert (spread.difference, spread.pages, spread.viewers) == (0.5, 6, 3)
    assert spread.standard_error == pytest.approx(math.sqrt(0.1875))


def test_viewers_without_a_page_view_change_nothing():
    sums, counts = np.array([3.0, -1.0, 1.0]), np.array([3, 1, 2])
    assert measured_spread(np.append(sums, 0.0), np.append(counts, 0)) == measured_spread(sums, counts)


def test_needed_by_hand():
    # 1.95996 + 1.64485 = 3.60481 standard errors of .01 must fit into the gain of .005: (.0360481 / .005)^2 = 51.979
    result = needed(Spread(0.02, 0.01, 1_000, 100), 0.005)
    assert (result.page_views, result.viewers) == (51_979, 5_198)
    assert result.smallest_gain == pytest.approx(0.0360481, abs=1e-7)


def test_a_gain_is_counted_from_the_minimum_gain():
    spread = Spread(0.02, 0.01, 1_000, 100)
    assert needed(spread, 0.007, 0.002).page_views == needed(spread, 0.005).page_views
    with pytest.raises(UsageError, match="no number of page views shows such a gain: wanted a gain above"):
        needed(spread, 0.002, 0.002)
    with pytest.raises(UsageError):
        needed(spread, math.nan)


def test_one_viewer_has_no_spread():
    with pytest.raises(NoExamplesError, match="two viewers or more, got 1"):
        measured_spread(np.array([1.0, 0.0]), np.array([2, 0]))


def test_the_bootstrap_agrees():
    sums, counts = paired_sample(np.random.default_rng(5), 20_000, 0.005)
    spread = measured_spread(sums, counts)
    interval = paired_intervals(sums[:, None], counts[:, None], 2_000, 3)
    width = float(interval.upper[0] - interval.lower[0])
    assert width == pytest.approx(2 * 1.96 * spread.standard_error, rel=0.08)


def test_as_many_page_views_as_are_said_show_the_gain_in_19_of_20_verdicts():
    generator, gain = np.random.default_rng(6), 0.02
    pilot = measured_spread(*paired_sample(generator, 200_000, 0.0))
    pages = needed(pilot, gain).page_views
    seen = []
    for _ in range(600):
        spread = measured_spread(*paired_sample(generator, pages, gain))
        seen.append(spread.difference - 1.96 * spread.standard_error > 0)
    # 600 draws of a chance of .95 have a standard deviation of .009; half of the page views would show it in 72 %
    assert np.mean(seen) == pytest.approx(0.95, abs=0.03)
