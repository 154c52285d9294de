"""Target attention against its formula, page view by page view and row by row."""

import numpy as np
import pytest
import tensorflow as tf

from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.target_attention import HistoryAttention, ShownAttention

CONFIG = ModelConfig("", title_count=9, row_count=5, embedding_size=3, history_length=4, shown_length=4)
HISTORY = np.array([[4, 2, 7, 0], [3, 0, 0, 0], [0, 0, 0, 0]])
AGES = np.array([[200_000, 90_000, 60, 0], [0, 0, 0, 0], [0, 0, 0, 0]])


@pytest.fixture(scope="module")
def layer():
    built, draw = HistoryAttention(CONFIG), np.random.default_rng(5)
    built(query(), tf.range(5))
    for weight in built.weights:
        weight.assign(draw.normal(size=weight.shape))
    return built


def query(titles=None):
    vectors = np.random.default_rng(3).normal(size=(9, 3))[HISTORY] if titles is None else titles
    fields = {"history": tf.constant(HISTORY, tf.int32), "history_age": tf.constant(AGES, tf.int32)}
    return fields | {"titles": tf.constant(vectors, tf.float32)}


def by_hand(layer, page, row, entries=None, ids=HISTORY, ages=AGES):
    """sum of softmax(row . K entry + recency) * (row . V entry) over the entries that are there, the oldest first."""
    weights = {weight.name.split(":")[0].split("/")[-2:][-1]: weight.numpy() for weight in layer.weights}
    key, value = layer._key.get_weights()[0], layer._value.get_weights()[0]
    there = [place for place in range(4) if ids[page, place] > 0]
    if not there:
        return 0.0
    vector, titles = weights["rows"][row], (query()["titles"].numpy() if entries is None else entries)[page]
    looks, says = [], []
    for place in there:
        age, after = ages[page, place], len(there) - 1 - there.index(place)
        by_age = -weights["by_day"] * age / 86_400 if age > 0 else weights["without_age"]
        looks.append(vector @ (titles[place] @ key) + by_age - weights["by_order"] * after)
        says.append(vector @ (titles[place] @ value))
    shares = np.exp(np.array(looks) - max(looks))
    return float(shares / shares.sum() @ says)


def test_target_attention_is_the_formula(layer):
    wanted = [[by_hand(layer, page, row) for row in range(5)] for page in range(3)]
    assert wanted[2] == [0.0] * 5 and np.std(wanted[0]) > 0.1
    np.testing.assert_allclose(layer(query(), tf.range(5)), wanted, atol=1e-5)
    own = np.array([[3, 1], [0, 2], [4, 4]])
    of_own = [[wanted[page][row] for row in rows] for page, rows in enumerate(own)]
    np.testing.assert_allclose(layer(query(), tf.constant(own, tf.int32)), of_own, atol=1e-5)


def test_what_stands_where_there_is_no_title_changes_nothing(layer):
    """The control: another vector of a title that is there does."""
    before, titles = layer(query(), tf.range(5)).numpy(), query()["titles"].numpy()
    padding, real = titles.copy(), titles.copy()
    padding[HISTORY == 0] += 100.0
    real[0, 1] += 1.0
    np.testing.assert_allclose(layer(query(padding), tf.range(5)), before, atol=1e-5)
    assert np.abs(layer(query(real), tf.range(5)).numpy() - before)[0].max() > 1e-2


def test_attention_to_rows_shown_is_the_formula_with_another_entry_for_a_click():
    """The record has the latest page first; `by_hand` has the oldest first."""
    layer, draw = ShownAttention(CONFIG), np.random.default_rng(6)
    rows = np.array([[3, 2, 4, 0], [1, 2, 0, 0], [0, 0, 0, 0]])
    clicked = np.array([[1, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    ages = np.array([[50, 50, 90_000, 0], [7, 7, 0, 0], [0, 0, 0, 0]])
    shown = {"shown_row": rows, "shown_clicked": clicked, "shown_age": ages}
    record = {name: tf.constant(values, tf.int32) for name, values in shown.items()}
    layer(record, tf.range(5))
    np.testing.assert_array_equal(layer._kinds.numpy(), [[-1, -1, -1], [1, 1, 1]])
    for weight in layer.weights:
        weight.assign(draw.normal(size=weight.shape))
    table = next(weight for weight in layer.weights if weight.shape == (5, 3)).numpy()
    entries = (table[rows] * layer._kinds.numpy()[clicked])[:, ::-1]
    wanted = [
        [by_hand(layer, page, row, entries, rows[:, ::-1], ages[:, ::-1]) for row in range(5)] for page in range(3)
    ]
    np.testing.assert_allclose(layer(record, tf.range(5)), wanted, atol=1e-5)
    turned = {**record, "shown_clicked": 1 - record["shown_clicked"]}
    assert np.abs(layer(turned, tf.range(5)).numpy() - wanted)[:2].max() > 1e-2  # the control
