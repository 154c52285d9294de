"""Rates of rows as of the page view: the formula in plain Python, and what they are shrunk to."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from pagerec_dbx.models.attributes import RowAttributes
from pagerec_dbx.models.catalogue import Catalogue
from pagerec_dbx.models.row_rates import RowRates
from tests.knowledge import some_knowledge
from tests.known_rows import CONFIG, EVERY, KNOWLEDGE, ROWS, click_odds, filled, learnt


@pytest.fixture
def catalogue():
    return learnt()


def test_row_rates_are_those_of_the_page_view_s_moment(catalogue):
    layer, query = RowRates(catalogue), {"moment": tf.constant([3, 50])}
    to_begin_with = [click_odds(row, 50) for row in ROWS[1]]
    np.testing.assert_allclose(layer(query, tf.constant(ROWS))[1], to_begin_with, atol=1e-5)
    weights = filled(layer, query, tf.constant(ROWS))
    for rows in (ROWS, EVERY):
        offered = np.broadcast_to(rows, [2, rows.shape[-1]])
        wanted = [
            [
                weights["rate"] * click_odds(row, moment, 10 * np.exp(weights["smoothing"]))
                + weights["offered"] * np.log10(1 + KNOWLEDGE.impressions[row, moment])
                for row in of_page
            ]
            for of_page, moment in zip(offered, (3, 50), strict=True)
        ]
        np.testing.assert_allclose(layer(query, tf.constant(rows)), wanted, atol=1e-5)


def test_a_rate_is_shrunk_to_that_of_rows_with_the_same_attributes(catalogue):
    """The sum of a row's biases moves its prior's odds, and the more it was offered the less it says."""
    attributes = RowAttributes(CONFIG, catalogue)
    rates, query = RowRates(catalogue, attributes), {"moment": tf.constant([3, 50]), "fields": [tf.zeros([2, 3])]}
    assert not attributes(query, tf.constant(ROWS)).numpy().any()
    filled(attributes, query, tf.constant(ROWS))
    biases = attributes.biases(tf.constant(EVERY)).numpy()
    assert np.abs(biases).max() > 0.1
    wanted = [click_odds(row, 50, bias=biases[row]) for row in ROWS[1]]
    np.testing.assert_allclose(rates(query, tf.constant(ROWS))[1], wanted, atol=1e-5)
    # the control: biases say nothing in the score beside that, unless there are no rates
    assert not attributes(query, tf.constant(ROWS)).numpy().any()
    alone = RowAttributes(dataclasses.replace(CONFIG, row_rates=False), catalogue)
    filled(alone, query, tf.constant(ROWS))
    np.testing.assert_allclose(alone(query, tf.constant(EVERY))[0], alone.biases(tf.constant(EVERY)), atol=1e-6)


def test_a_rate_worked_out_by_hand():
    """Row 2: 3 clicks of 20, all rows 1 of 10, 10 times offered more: (3 + 1) / (20 + 10), odds 4 / 26 over 1 / 9.
    Row 3: nothing was offered, so the odds are those of all times e to its only attribute's bias, .7. Row 4: with that
    bias too, 300 of 2,000, it says little. (The bias is its weight times the root of ten times 2 rows of 9.) Row 5:
    more clicks than offers, which a log may hold, is still a number."""
    knowledge = some_knowledge(CONFIG)
    knowledge.common_rate[:] = 0.1
    knowledge.clicks[2:6, 1], knowledge.impressions[2:6, 1] = [3, 0, 300, 9], [20, 0, 2_000, 4]
    knowledge.row_tokens[2:] = 0
    knowledge.row_tokens[3:5, 0] = 6
    known = Catalogue(CONFIG)
    known.learn(knowledge)
    attributes = RowAttributes(CONFIG, known)
    attributes._biases.assign(0.7 / np.sqrt(10 * 2 / 9) * (np.arange(7) == 6))
    odds = RowRates(known, attributes).odds(tf.constant([2, 3, 4, 5]), tf.constant([1]))[0].numpy()
    assert odds[:2] == pytest.approx([np.log((4 / 26) / (1 / 9)), 0.7], abs=1e-5)
    without = np.log((301 / 1_709) / (1 / 9))  # (300 + 1) of (2,000 + 10)
    assert 0 < odds[2] - without < 0.01
    assert np.isfinite(odds[3]) and odds[3] > 1
