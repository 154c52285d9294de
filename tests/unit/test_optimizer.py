"""Lazy Adam worked out by hand, held against Keras's where they must agree, and where they must not."""

import numpy as np
import pytest
import tensorflow as tf

from pagerec_dbx.config import TrainSettings
from pagerec_dbx.errors import SettingError
from pagerec_dbx.training.optimizer import LazyAdam, WarmUp, optimizer_of


def applied(optimizer, gradients, start):
    """A table after one step for each gradient, an IndexedSlices or an array."""
    table = tf.Variable(start, dtype=tf.float32)
    for gradient in gradients:
        optimizer.apply_gradients([(gradient, table)])
    return table.numpy()


def slices(values, rows):
    return tf.IndexedSlices(tf.constant(values, tf.float32), tf.constant(rows), tf.constant([4, 1]))


START = np.ones((4, 1), np.float32)


def test_a_step_moves_the_rows_of_the_batch_by_the_rate_and_no_other():
    # first step: mean .1 g, square .001 g^2, corrected both g and g^2: every row moves by the rate, whatever g
    moved = applied(LazyAdam(0.1), [slices([[5.0], [-0.5]], [1, 3])], START)
    np.testing.assert_allclose(moved[:, 0], [1.0, 0.9, 1.0, 1.1], atol=1e-5)


def test_a_row_left_out_keeps_its_place_where_keras_moves_it_on():
    steps = [slices([[1.0]], [0]), slices([[1.0]], [1])]
    lazy = applied(LazyAdam(0.1), steps, START)
    keras = applied(tf.keras.optimizers.legacy.Adam(0.1), steps, START)
    np.testing.assert_allclose(lazy[0, 0], 0.9, atol=1e-5)
    assert keras[0, 0] < 0.86  # the control: its mean of .09 moves it once more
    # second step of row 1: mean .1, square .001; corrected by 1 - .9^2 = .19 and 1 - .999^2 = .001999:
    # .1 * (.1 / .19) / sqrt(.001 / .001999) = .0744
    np.testing.assert_allclose(lazy[1, 0], 1 - 0.0744, atol=1e-4)


def test_rows_that_are_always_there_move_as_keras_moves_them():
    random = np.random.default_rng(3)
    steps = [slices(random.normal(size=(4, 1)), [0, 1, 2, 3]) for _ in range(20)]
    wanted = applied(tf.keras.optimizers.legacy.Adam(0.1), steps, START)
    np.testing.assert_allclose(applied(LazyAdam(0.1), steps, START), wanted, atol=1e-5)


def test_dense_weights_move_as_keras_moves_them():
    random = np.random.default_rng(4)
    steps = [tf.constant(random.normal(size=(4, 1)), tf.float32) for _ in range(20)]
    wanted = applied(tf.keras.optimizers.legacy.Adam(0.1), steps, START)
    np.testing.assert_allclose(applied(LazyAdam(0.1), steps, START), wanted, atol=1e-6)


def test_a_row_that_is_named_twice_is_moved_once_by_the_sum():
    twice = applied(LazyAdam(0.1), [slices([[1.0], [2.0]], [2, 2]), slices([[1.0]], [2])], START)
    once = applied(LazyAdam(0.1), [slices([[3.0]], [2]), slices([[1.0]], [2])], START)
    np.testing.assert_allclose(twice, once, atol=1e-6)


def test_the_rate_rises_to_that_of_the_joint_batch():
    rate = WarmUp(0.1, 0.4, steps=10)
    np.testing.assert_allclose([float(rate(step)) for step in (0, 5, 10, 99)], [0.1, 0.25, 0.4, 0.4], rtol=1e-6)
    assert isinstance(optimizer_of(TrainSettings(optimizer="adam"), 1, 10), tf.keras.optimizers.legacy.Adam)


def test_an_optimizer_there_is_not_is_refused():
    with pytest.raises(SettingError, match="optimizer.*one of lazy_adam, adam, sgd.*magic"):
        TrainSettings(optimizer="magic")
