"""Encoders of a sequence of ids."""

import tensorflow as tf
import tf_keras

from pagerec_dbx.models.inputs import known_ids


class MeanEmbedding(tf_keras.layers.Layer):
    """The mean of the embeddings of the ids that are not padding; zeros where all are padding."""

    def __init__(self, size: int, dimension: int, name: str):
        super().__init__(name=name)
        self._size = size
        self._table = self.add_weight("embeddings", shape=[size, dimension], initializer="uniform")

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        """[batch, length] int32 -> [batch, dimension] float32.

        Each distinct id of the batch is looked up once and summed where it stands, so that neither the lookup nor its
        gradient ever takes [batch, length, dimension], and the gradient names each row of the table once.
        """
        real = tf.where(ids > 0)  # [tokens, 2]: record, place
        distinct, places = tf.unique(tf.gather_nd(known_ids(ids, self._size), real))  # [distinct], [tokens]
        looked_up = tf.gather(self._table, distinct)  # [distinct, dimension]
        records = tf.cast(real[:, 0], tf.int32)  # [tokens], rising
        total = tf.sparse.segment_sum(looked_up, places, records, num_segments=tf.shape(ids)[0])  # [batch, dimension]
        count = tf.reduce_sum(tf.cast(ids > 0, total.dtype), axis=1, keepdims=True)  # [batch, 1]
        return total / tf.maximum(count, 1.0)
