"""Gradients of every loss against differences of its formula, in float64 and without TensorFlow."""

import numpy as np
import pytest
import tensorflow as tf

from pagerec_dbx.models.sampling import drawn_for_all
from tests.scored_model import ScoredModel

COUNTS = np.array([0, 2, 7, 0, 4, 1, 0])  # of the rows, clicks in training: chances 3 8 1 5 2 1 of 20
CHANCES = np.array([0, 3, 8, 1, 5, 2, 1]) / 20
SCORES = np.random.default_rng(3).normal(size=(3, 7))
MENU = np.array([[2, 3, 4, 0], [6, 5, 1, 2], [1, 4, 1, 0]])
CLICKED = np.array([[0, 1, 0, 0], [1, 0, 0, 1], [1, 0, 1, 0]])  # on the last page view unknown rows, twice
OWN = [sorted({*menu[clicked > 0]}) for menu, clicked in zip(MENU, CLICKED, strict=True)]


def log_sum(values):
    return np.log(np.exp(values).sum())


def of_clicks(scores):
    """[pages] mean score of the clicked rows."""
    return np.array([one[menu[on > 0]].mean() for one, menu, on in zip(scores, MENU, CLICKED, strict=True)])


def full(scores):
    return np.array([log_sum(one[1:]) for one in scores]) - of_clicks(scores)


def of_menu(scores):
    return np.array([log_sum(one[menu[menu > 0]]) for one, menu in zip(scores, MENU, strict=True)]) - of_clicks(scores)


def from_some(scores, rows, expected):
    """expected: of each page view, by row."""
    sums = [
        sum(np.exp(one[row]) for row in own) + sum(np.exp(one[row]) / q[row] for row in rows if row not in own)
        for one, own, q in zip(scores, OWN, expected, strict=True)
    ]
    return np.log(sums) - of_clicks(scores)


def in_batch(scores):
    # clicks: row 3; rows 6 and 2; unknown twice. Of others 4, 3 and 3
    return from_some(scores, [3, 6, 2, 1, 1], [CHANCES * others for others in (4, 3, 3)])


def sampled(scores):
    chances = ScoredModel(SCORES, "clicks", COUNTS).row_chances
    rows, _ = drawn_for_all(chances, 4, tf.constant((1, 2)))
    return from_some(scores, rows.numpy(), [chances.expected(4)] * 3)


def binary(scores):
    """As each page view has one known row that was not clicked, or none: rows 4; 5; 4."""
    no, yes = np.logaddexp(0, scores), np.logaddexp(0, -scores)
    one = (yes[0, 3] + no[0, 4]) / 2
    two = (yes[1, 6] + yes[1, 2]) / 2 / 2 + no[1, 5] / 2
    return np.array([one, two, 0.0])  # unknown rows are left out


LOSSES = {
    "full_softmax": (full, {}),
    "menu_softmax": (of_menu, {}),
    "in_batch_softmax": (in_batch, {"sampling": "clicks", "counts": COUNTS}),
    "sampled_softmax": (sampled, {"sampling": "clicks", "counts": COUNTS, "sampled_rows": 4}),
    "binary": (binary, {"sampling": "menu"}),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_and_its_gradient_are_those_of_the_formula(loss):
    formula, settings = LOSSES[loss]
    menu = MENU.copy()
    if loss == "binary":
        menu[0, 0] = 1  # so that row 4 alone is left to be drawn
    model = ScoredModel(SCORES, **settings)
    with tf.GradientTape() as tape:
        tape.watch(model.scores)
        losses = model.losses(loss, menu, CLICKED)
    gradient = tf.convert_to_tensor(tape.gradient(losses, model.scores)).numpy()
    np.testing.assert_allclose(losses, formula(SCORES), atol=1e-5)
    wanted = np.zeros_like(SCORES)
    for place in np.ndindex(SCORES.shape):
        step = np.zeros_like(SCORES)
        step[place] = 1e-5
        wanted[place] = (formula(SCORES + step) - formula(SCORES - step)).sum() / 2e-5
    np.testing.assert_allclose(gradient, wanted, atol=1e-5)
    assert np.abs(wanted).max() > 0.1
