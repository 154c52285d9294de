"""What a legacy notebook prints, and how it differs from the referee."""

import math

import numpy as np
import pytest

from pagerec_dbx.errors import ScoresError, UsageError
from pagerec_dbx.evaluation import metrics
from pagerec_dbx.evaluation.legacy_way import legacy_batch_means, legacy_figures, mean_of_batch_means

D2, D3 = 1 / math.log2(3), 1 / 2  # discounts of places 2 and 3
TIED = np.zeros((1, 3)), np.array([[0, 1, 0]]), np.ones((1, 3), bool)  # all rows score alike, the second is clicked


def test_a_page_view_of_the_last_batch_weighs_more():
    # batches (1, 1) and (1/2): (1 + 1/2) / 2, where the mean is 2.5 / 3
    assert mean_of_batch_means(np.array([1, 1, 0.5]), 2) == 0.75
    assert mean_of_batch_means(np.array([1, 1, 0.5]), 3) == pytest.approx(2.5 / 3)  # the control: one batch
    assert math.isnan(mean_of_batch_means(np.array([]), 3))


def test_tied_rows_stay_in_the_order_in_which_they_come():
    figures = legacy_figures(*TIED)
    assert (figures["ndcg"][0], figures["mrr"][0]) == pytest.approx((D2, 1 / 2))
    # the referee: each place with 1/3
    assert metrics.ndcg(*TIED)[0] == pytest.approx((1 + D2 + D3) / 3)
    assert metrics.reciprocal_rank(*TIED)[0] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)


def test_a_constant_model_seems_to_be_as_good_as_the_order_of_the_page():
    clicked = np.eye(4)[[0, 0, 0, 1]]  # pages list what is clicked first
    everywhere = np.ones((4, 4), bool)
    assert legacy_batch_means(np.zeros((4, 4)), clicked, everywhere, 4)["mrr"] == pytest.approx(3.5 / 4)
    assert metrics.reciprocal_rank(np.zeros((4, 4)), clicked, everywhere).mean() == pytest.approx(25 / 48)


def test_both_ways_agree_in_one_batch_without_ties():
    generator = np.random.default_rng(3)
    scores = generator.random((200, 12))
    mask = np.arange(12) < generator.integers(2, 13, 200)[:, None]
    scores[:, 1] = -np.inf  # a real row at the end, before the padding
    clicked = (generator.random((200, 12)) < 0.2) & mask
    found = legacy_batch_means(scores, clicked, mask, 200)
    assert found["ndcg"] == pytest.approx(np.nanmean(metrics.ndcg(scores, clicked, mask)), abs=1e-12)
    assert found["mrr"] == pytest.approx(np.nanmean(metrics.reciprocal_rank(scores, clicked, mask)), abs=1e-12)


def test_lists_without_a_click_are_left_out_before_the_batches_are_cut():
    scores = np.tile([2.0, 1.0], (4, 1))
    clicked = np.array([[1, 0], [0, 0], [1, 0], [0, 1]])  # RR 1, none, 1, 1/2
    assert legacy_batch_means(scores, clicked, np.ones((4, 2), bool), 2)["mrr"] == (1 + 1 / 2) / 2


def test_the_legacy_way_refuses_what_the_referee_refuses():
    with pytest.raises(ScoresError, match="page view 23 has a row whose score is NaN"):
        legacy_figures(np.array([[math.nan, 1.0]]), np.array([[1, 0]]), np.ones((1, 2), bool), names=[23])
    with pytest.raises(UsageError, match="a batch needs a page view: wanted .* at least 1, got 0"):
        legacy_batch_means(*TIED, batch_size=0)
