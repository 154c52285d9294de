"""Encoders of the history: padding, order, age, and that nothing later changes an earlier state."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.history import history_encoder

CONFIG = ModelConfig("single_tower_softmax", title_count=9, row_count=5, embedding_size=6)
DAY = 86_400
ENCODERS = ["mean", "recency", "gru", "attention"]
SEQUENCES = ["gru", "attention"]


def an_encoder(name, seed=3):
    tf.keras.utils.set_random_seed(seed)
    encoder = history_encoder(dataclasses.replace(CONFIG, history_encoder=name))
    encoder(tf.constant([[2, 3]]), tf.constant([[9, 5]]))
    draw = np.random.default_rng(seed)
    encoder.set_weights(
        [draw.normal(size=weight.shape, scale=0.5) for weight in encoder.get_weights()]
    )  # none is 0 any more
    return encoder


@pytest.mark.parametrize("name", ENCODERS)
def test_padding_changes_nothing(name):
    encoder = an_encoder(name)
    short = encoder(tf.constant([[4, 2, 7]]), tf.constant([[900, 800, 60]]))
    long = encoder(tf.constant([[4, 2, 7, 0, 0]]), tf.constant([[900, 800, 60, 0, 0]]))
    np.testing.assert_allclose(long, short, atol=1e-5)
    assert np.abs(encoder(tf.constant([[4, 2, 7, 5]]), tf.constant([[900, 800, 60, 9]])) - short).max() > 1e-3


@pytest.mark.parametrize("name", ENCODERS)
def test_an_empty_history_is_zeros_and_so_is_no_harm_to_another_in_the_batch(name):
    encoder = an_encoder(name)
    both = encoder(tf.constant([[0, 0, 0], [4, 2, 0]]), tf.constant([[0, 0, 0], [90, 80, 0]])).numpy()
    assert not both[0].any() and np.isfinite(both).all()
    np.testing.assert_allclose(both[1:], encoder(tf.constant([[4, 2]]), tf.constant([[90, 80]])), atol=1e-5)


@pytest.mark.parametrize(("name", "sees"), [("mean", False), ("recency", True), ("gru", True), ("attention", True)])
def test_order_counts_where_it_should(name, sees):
    encoder = an_encoder(name)
    ages = tf.constant([[0, 0, 0]])  # unknown
    one, other = (encoder(tf.constant([ids]), ages) for ids in ([4, 2, 7], [2, 4, 7]))
    assert (np.abs(one - other).max() > 1e-3) == sees


@pytest.mark.parametrize(("name", "sees"), [("mean", False), ("recency", True), ("gru", True), ("attention", True)])
def test_age_counts_where_it_should(name, sees):
    encoder = an_encoder(name)
    ids = tf.constant([[4, 2, 7]])
    one, other = (encoder(ids, tf.constant([ages])) for ages in ([9 * DAY, 3600, 60], [2 * DAY, 3600, 60]))
    assert (np.abs(one - other).max() > 1e-3) == sees


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_later_title_never_changes_an_earlier_state(name):
    encoder = an_encoder(name)
    before = encoder.states(tf.constant([[4, 2, 7]]), tf.constant([[9 * DAY, 3600, 60]]))
    after = encoder.states(tf.constant([[4, 2, 7, 5]]), tf.constant([[9 * DAY, 3600, 60, 30]]))
    np.testing.assert_allclose(after[:, :3], before, atol=1e-5)
    other = encoder.states(tf.constant([[4, 3, 7]]), tf.constant([[9 * DAY, 3600, 60]]))
    np.testing.assert_allclose(other[:, 0], before[:, 0], atol=1e-5)
    assert np.abs(other[:, 2] - before[:, 2]).max() > 1e-3  # the control: what follows is changed


def test_recency_weighs_by_order_and_by_age_together():
    encoder = an_encoder("recency")
    values = {"by_order": 0.5, "by_day": 0.25, "without_age": 0.1}
    encoder.recency.set_weights(
        [values[weight.name.split("/")[-1].split(":")[0]] for weight in encoder.recency.weights]
    )
    vectors = encoder.titles.get_weights()[0]
    got = encoder(tf.constant([[4, 2, 7, 0]]), tf.constant([[4 * DAY, 0, 2 * DAY, 0]]))
    # 4: 2 titles after it and 4 days: -1 - 1; 2: one after it, no age: -.5 + .1; 7: none after it, 2 days: -.5
    weights = np.exp([-2.0, -0.4, -0.5])
    np.testing.assert_allclose(got[0], (weights / weights.sum()) @ vectors[[4, 2, 7]], atol=1e-5)


def test_recency_begins_as_the_mean():
    encoder, mean = history_encoder(dataclasses.replace(CONFIG, history_encoder="recency")), an_encoder("mean")
    encoder(tf.constant([[2, 3]]), tf.constant([[9, 5]]))
    encoder.titles.set_weights(mean.titles.get_weights())
    page = tf.constant([[4, 2, 7, 0]]), tf.constant([[4 * DAY, 0, 2 * DAY, 0]])
    np.testing.assert_allclose(encoder(*page), mean(*page), atol=1e-6)


def test_attention_sees_the_time_between_titles_and_not_the_time_since():
    encoder = an_encoder("attention")
    ids = tf.constant([[4, 2, 7]])
    one, later = (encoder(ids, tf.constant([[9_000 + more, 3_600 + more, 60 + more]])) for more in (0, 5 * DAY))
    np.testing.assert_allclose(one, later, atol=1e-5)


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_sequence_model_learns_what_no_mean_can(name):
    """Whoever watched 2 after 3 clicks another row than who watched 3 after 2."""
    fits = {}
    for encoder_name in ("mean", name):
        tf.keras.utils.set_random_seed(5)
        encoder, out = (
            history_encoder(dataclasses.replace(CONFIG, history_encoder=encoder_name)),
            tf.keras.layers.Dense(1),
        )
        ids, ages, labels = tf.constant([[2, 3], [3, 2]]), tf.constant([[90, 60]] * 2), tf.constant([[0.0], [1.0]])
        optimizer = tf.keras.optimizers.legacy.Adam(0.03)
        for _ in range(120):
            with tf.GradientTape() as tape:
                logits = out(encoder(ids, ages))
                loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits))
            weights = encoder.trainable_weights + out.trainable_weights
            optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        fits[encoder_name] = float(loss)
    assert fits[name] < 0.1 and fits["mean"] == pytest.approx(np.log(2), abs=0.01)
