"""What rows and titles are about, in scores and fields: each formula in NumPy."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from pagerec_dbx.models.attributes import RowAttributes, TitleAttributes
from tests.known_rows import CONFIG, EVERY, KNOWLEDGE, ROWS, filled, learnt


@pytest.fixture
def catalogue():
    return learnt()


def common(token) -> float:
    """The root of ten times the share of the 9 rows that have it, by definition."""
    return np.sqrt(10 * max(0.01, sum(token in row for row in KNOWLEDGE.row_tokens.tolist()) / 9))


def test_row_attributes_are_the_formula(catalogue):
    layer = RowAttributes(dataclasses.replace(CONFIG, row_rates=False), catalogue)  # with rates its biases are theirs
    fields = np.random.default_rng(2).normal(size=[2, 2, 3])
    query = {"fields": [tf.constant(field, tf.float32) for field in fields]}
    weights = filled(layer, query, tf.constant(ROWS))
    for rows in (ROWS, EVERY):
        got = layer(query, tf.constant(rows)).numpy()
        for page, of_page in enumerate(np.broadcast_to(rows, [2, rows.shape[-1]])):
            for place, row in enumerate(of_page):
                held = [token for token in KNOWLEDGE.row_tokens[row] if token]
                wanted = 0.0
                if held:
                    vector = np.mean([weights["vectors"][token] for token in held], axis=0)
                    bias = sum(weights["biases"][token] * common(token) for token in held)
                    wanted = bias + fields[:, page].sum(axis=0) @ vector
                assert got[page, place] == pytest.approx(wanted, abs=1e-5)


def test_title_attributes_are_means_of_means(catalogue):
    layer, history = TitleAttributes(CONFIG, catalogue), np.array([[3, 4, 11, 0], [0, 0, 0, 0], [1, 0, 0, 0]], np.int32)
    vectors = filled(layer, tf.constant(history))["vectors"]
    about = []
    for titles in ([3, 4, 11], [], [1]):
        means = [vectors[KNOWLEDGE.title_tokens[one]][KNOWLEDGE.title_tokens[one] > 0] for one in titles]
        means = [mean.mean(axis=0) if len(mean) else np.zeros(3) for mean in means]
        about.append(np.mean(means, axis=0) if means else np.zeros(3))
    np.testing.assert_allclose(layer(tf.constant(history)), about, atol=1e-6)
    assert np.abs(about[0]).max() > 0.1
