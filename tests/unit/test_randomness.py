"""Chance in training: another draw each time, the same again from the same count, and another on another rank."""

import numpy as np
import tensorflow as tf

from pagerec_dbx.models.randomness import Randomness

VALUES = tf.ones([1, 2_000])


def test_seeds_differ_and_go_on_where_they_stopped():
    one = Randomness()
    seeds = [one.next_seed().numpy().tolist() for _ in range(4)]
    assert seeds == [[0, 1], [0, 2], [0, 3], [0, 4]]
    other = Randomness()
    other.set_weights([np.array(2)])  # as a checkpoint after two draws does
    assert other.next_seed().numpy().tolist() == [0, 3]


def test_dropout_keeps_the_mean_and_differs_between_draws_and_ranks():
    randomness, other_rank = Randomness(), Randomness()
    other_rank.seed = 1
    first, second = (randomness.dropped(VALUES, 0.25, True).numpy() for _ in range(2))
    # 2,000 values kept with .75 and scaled to 4 / 3: the mean is 1 with a standard error of .013
    assert abs(first.mean() - 1) < 0.06 and np.allclose(np.unique(first), [0.0, 4 / 3])
    assert np.any(first != second)
    assert np.any(first != other_rank.dropped(VALUES, 0.25, True).numpy())


def test_without_dropout_or_training_nothing_is_drawn():
    randomness = Randomness()
    assert randomness.dropped(VALUES, 0.5, False) is VALUES and randomness.dropped(VALUES, 0.0, True) is VALUES
    assert randomness.get_weights() == [0]
