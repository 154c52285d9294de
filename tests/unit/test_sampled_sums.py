"""Sums over all rows that are estimated from some: right on average, over draws and over batches."""

import numpy as np
import pytest
import tensorflow as tf

from pagerec_dbx.models import losses
from tests.scored_model import ScoredModel

ROWS, BATCHES = 9, 3_000
COUNTS = np.array([0, 2, 7, 0, 4, 1, 0, 3, 5])  # clicks of each row in training
CHANCES = np.where(np.arange(ROWS) > 0, COUNTS + 1, 0) / 30  # each row but padding having had one more
SCORES = np.random.default_rng(3).normal(size=(4, ROWS))
OWN = [2, 5]  # clicked on the first page view, whose sum it is
WANTED = np.exp(SCORES[0, 1:]).sum()


def batches():
    """[batches, 4, 2] rows clicked: those of the first page view, and those of others, drawn by their chances."""
    draw = np.random.default_rng(11)
    others = draw.choice(ROWS, [BATCHES, 3, 2], p=CHANCES)
    return np.concatenate([np.broadcast_to(OWN, [BATCHES, 1, 2]), others], axis=1)


def in_batch():
    """[batches] the first page view's sum."""
    model = ScoredModel(SCORES, "clicks", COUNTS)

    @tf.function(autograph=False)
    def one(menu):
        return model.losses("in_batch_softmax", menu, np.ones([4, 2]))[0]

    return np.exp([one(tf.constant(menu)).numpy() + SCORES[0, OWN].mean() for menu in batches()])


def by_clicks():
    """[draws] the same of three rows drawn."""
    model = ScoredModel(SCORES, "clicks", COUNTS, sampled_rows=3)

    @tf.function(autograph=False)
    def one(seed):
        model.seed = seed
        return model.losses("sampled_softmax", np.array([OWN] * 4), np.ones([4, 2]))[0]

    return np.exp([one(tf.constant([draw, 7])).numpy() + SCORES[0, OWN].mean() for draw in range(BATCHES)])


@pytest.mark.parametrize("sums", [in_batch, by_clicks])
def test_the_sum_over_all_rows_is_right_on_average(sums, monkeypatch):
    found = sums()
    error = found.std() / np.sqrt(BATCHES)
    assert abs(found.mean() - WANTED) < 4 * error < 0.1 * WANTED
    right = losses.sampled_softmax
    monkeypatch.setattr(losses, "sampled_softmax", lambda *given: right(*given[:-1], -given[-1]))
    assert abs(sums().mean() - WANTED) > 0.1 * WANTED  # the control: the sign of log Q


def test_the_only_page_view_of_a_batch_competes_with_nobody():
    loss = ScoredModel(SCORES[:1], "clicks", COUNTS).losses("in_batch_softmax", [OWN], [[1, 1]])
    own = SCORES[0, OWN]
    np.testing.assert_allclose(loss, [np.log(np.exp(own).sum()) - own.mean()], rtol=1e-5)
