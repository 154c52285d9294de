"""Chance in training as a function of seed, rank and number of draws, so that a run can go on where it stopped."""

import tensorflow as tf
import tf_keras


class Randomness(tf_keras.layers.Layer):
    """Seeds for one draw after another; how many there were is a weight, saved and restored like any other.

    Ranks share the count, which keeps their weights equal, and differ in `seed`, which is no weight: `training.loop`
    sets it before the first step.
    """

    def __init__(self):
        super().__init__(name="randomness")
        self.seed = 0
        self._draws = self.add_weight("draws", shape=[], dtype=tf.int32, initializer="zeros", trainable=False)

    def next_seed(self) -> tf.Tensor:
        """[2] int32 for the stateless operations of TensorFlow; another one at each call."""
        return tf.stack([tf.constant(self.seed, tf.int32), self._draws.assign_add(1)])

    def dropped(self, values: tf.Tensor, rate: float, training: bool) -> tf.Tensor:
        """The values with a share `rate` of them set to zero in training, the others scaled up to the same mean."""
        if not training or rate == 0:
            return values
        return tf.nn.experimental.stateless_dropout(values, rate, seed=self.next_seed())
