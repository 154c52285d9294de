"""A small network over what is known of a row on a page view: what its parts have to do with each other."""

import tensorflow as tf
import tf_keras

from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.randomness import Randomness


class RowNetwork(tf_keras.layers.Layer):
    """score + w . relu(W parts + b), the same for all rows; it begins by saying nothing.

    The terms of `row_terms` add up what rate, taste and attributes say, each for itself. Here a taste may count for
    more the less is known of a row, or a rate for less with a viewer whose taste is known, as trees would find out.
    """

    def __init__(self, config: ModelConfig, randomness: Randomness):
        super().__init__(name="row_network", autocast=False)
        self._dropout, self._randomness = config.dropout, randomness
        penalty = tf_keras.regularizers.L2(config.l2) if config.l2 else None
        self._hidden = tf_keras.layers.Dense(
            config.row_network, activation="relu", kernel_regularizer=penalty, dtype="float32"
        )
        self._out = tf_keras.layers.Dense(
            1, use_bias=False, kernel_initializer="zeros", kernel_regularizer=penalty, dtype="float32"
        )

    def call(self, parts: tf.Tensor, training: bool = False) -> tf.Tensor:
        """[batch, n, parts] float32, each of the order of one -> [batch, n] float32."""
        hidden = self._randomness.dropped(self._hidden(parts), self._dropout, training)
        return self._out(hidden)[..., 0]
