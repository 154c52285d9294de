"""Encoders of a sequence of ids."""

import tensorflow as tf
import tf_keras

from pagerec_dbx.models.inputs import known_ids


class MeanEmbedding(tf_keras.layers.Layer):
    """The mean of the embeddings of the ids that are not padding; zeros where all are padding."""

    def __init__(self, size: int, dimension: int, name: str):
        super().__init__(name=name)
        self._size = size
        self._embedding = tf_keras.layers.Embedding(size, dimension, name="embedding")

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        """[batch, length] int32 -> [batch, dimension] float32."""
        present = tf.cast(ids > 0, tf.float32)  # [batch, length]
        embedded = self._embedding(known_ids(ids, self._size))  # [batch, length, dimension]
        total = tf.einsum("bld,bl->bd", embedded, present)  # [batch, dimension]
        return total / tf.maximum(tf.reduce_sum(present, axis=1, keepdims=True), 1.0)
