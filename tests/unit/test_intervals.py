"""Bootstrap by viewer: worked cases, enumeration of every resample, coverage, and a control that resamples pages."""

import itertools

import numpy as np
import pytest

from pagerec_dbx.errors import NoExamplesError
from pagerec_dbx.evaluation.intervals import paired_intervals, viewer_weights


def intervals(sums, counts, resamples=2_000, seed=17):
    """Of one column."""
    return paired_intervals(np.array(sums)[:, None], np.array(counts)[:, None], resamples, seed)


def test_difference_is_the_mean_over_page_views_and_not_over_viewers():
    # viewer 1: three page views, +1 each; viewer 2: one page view, -1: (3 - 1) / 4
    result = intervals([3.0, -1.0], [3, 1])
    assert (result.difference[0], result.pages[0], result.viewers[0]) == (0.5, 4, 2)


def test_interval_equals_the_enumeration_of_every_resample():
    sums, counts = [3.0, -1.0, 1.0], [3, 1, 2]
    values = sorted(
        sum(sums[viewer] for viewer in draw) / sum(counts[viewer] for viewer in draw)
        for draw in itertools.product(range(3), repeat=3)
    )
    # the 27 equally likely resamples: each end has 1/27 = 3.7 % on -1 and 3/27 on 1, past the 2.5 % cut
    result = intervals(sums, counts, resamples=4_000)
    assert (result.lower[0], result.upper[0]) == (values[0], values[-1]) == (-1.0, 1.0)


def test_one_viewer_has_an_interval_without_width():
    result = intervals([2.0], [4])
    assert (result.lower[0], result.difference[0], result.upper[0]) == (0.5, 0.5, 0.5)


def test_same_seed_gives_the_same_interval_whatever_the_other_columns():
    generator = np.random.default_rng(1)
    counts = generator.integers(1, 5, (50, 1)).repeat(3, axis=1)
    sums = generator.normal(size=(50, 3))
    together, alone = paired_intervals(sums, counts, 500, 7), paired_intervals(sums[:, 1:2], counts[:, 1:2], 500, 7)
    assert together.lower[1] == pytest.approx(alone.lower[0], abs=1e-12)
    assert paired_intervals(sums, counts, 500, 8).lower[1] != together.lower[1]


def test_viewers_without_a_page_view_count_neither_as_viewers_nor_in_the_mean():
    sums, counts = np.array([[1.0, 1.0], [3.0, 0.0]]), np.array([[1, 1], [1, 0]])
    result = paired_intervals(sums, counts, 200, 17)
    assert result.difference.tolist() == [2.0, 1.0]
    assert result.viewers.tolist() == [2, 1]
    assert (result.lower[1], result.upper[1]) == (1.0, 1.0)  # resamples of nobody but viewer 2 have no mean


def test_effective_viewers_by_hand():
    # (6 + 1 + 1)^2 / (36 + 1 + 1) = 64 / 38; with equal activity all of them count
    result = intervals([0.0, 0.0, 0.0], [6, 1, 1])
    assert result.effective_viewers[0] == pytest.approx(64 / 38)
    assert intervals([0.0] * 4, [2] * 4).effective_viewers[0] == 4.0


def test_nothing_to_compare_is_an_error():
    with pytest.raises(NoExamplesError, match="no page views to compare on.*got 2 viewers"):
        intervals([0.0, 0.0], [0, 0])
    with pytest.raises(NoExamplesError):
        paired_intervals(np.zeros((0, 1)), np.zeros((0, 1)), 200, 17)


def test_every_resample_draws_as_many_viewers_as_there_are(monkeypatch):
    monkeypatch.setattr("pagerec_dbx.evaluation.intervals.WEIGHTS_AT_ONCE", 30)
    chunks = list(viewer_weights(viewers=10, resamples=8, seed=3))
    assert [len(chunk) for chunk in chunks] == [3, 3, 2]  # bounded chunks
    assert all((chunk.sum(axis=1) == 10).all() for chunk in chunks)
    monkeypatch.undo()
    np.testing.assert_array_equal(np.concatenate(chunks), np.concatenate(list(viewer_weights(10, 8, 3))))


def sample(generator, viewers, gain):
    """Differences of page views: a viewer's page views share a part of theirs; returns [viewers] sums and counts."""
    counts = np.minimum(np.ceil(generator.pareto(1.3, viewers) + 0.01), 30).astype(int)
    of_viewer = generator.normal(gain, 0.2, viewers)
    sums = counts * of_viewer + generator.normal(0, 0.3, viewers) * np.sqrt(counts)
    return sums, counts


def test_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(5)
    covered = 0
    for seed in range(200):
        result = intervals(*sample(generator, viewers=200, gain=0.05), resamples=300, seed=seed)
        covered += bool(result.lower[0] <= 0.05 <= result.upper[0])
    assert 180 <= covered <= 199  # 95 % of 200 is 190; three standard deviations are 9


def test_control_resampling_page_views_gives_an_interval_that_is_too_narrow():
    generator = np.random.default_rng(6)
    counts = np.full(100, 20)
    of_viewer = generator.normal(0, 0.2, 100)
    pages = of_viewer[:, None] + generator.normal(0, 0.1, (100, 20))
    by_viewer = intervals(pages.sum(axis=1), counts)
    by_page = intervals(pages.ravel(), np.ones(2_000))
    # the spread of the mean is about .2 / sqrt(100) = .02, not .22 / sqrt(2,000) = .005
    assert by_viewer.upper[0] - by_viewer.lower[0] == pytest.approx(2 * 1.96 * 0.02, rel=0.2)
    assert by_page.upper[0] - by_page.lower[0] < (by_viewer.upper[0] - by_viewer.lower[0]) / 3
