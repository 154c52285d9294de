"""Cross layers, if wished, then dense layers one after another."""

import tensorflow as tf
import tf_keras

from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.interaction import CrossLayers
from pagerec_dbx.models.randomness import Randomness


class Tower(tf_keras.layers.Layer):
    """The hidden layers of a configuration: ReLU, dropout and L2 as it says, on top of its cross layers."""

    def __init__(self, config: ModelConfig, randomness: Randomness):
        super().__init__(name="tower")
        self._dropout, self._randomness = config.dropout, randomness
        penalty = tf_keras.regularizers.L2(config.l2) if config.l2 else None
        self._cross = CrossLayers(config.cross_layers, config.cross_rank, penalty) if config.cross_layers else None
        self._layers = [
            tf_keras.layers.Dense(size, activation="relu", kernel_regularizer=penalty) for size in config.hidden_sizes
        ]

    def call(self, values: tf.Tensor, training: bool = False) -> tf.Tensor:
        """[..., width] -> [..., size of the last layer]."""
        if self._cross:
            values = self._cross(values)
        for layer in self._layers:
            values = self._randomness.dropped(layer(values), self._dropout, training)
        return values
