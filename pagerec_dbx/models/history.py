"""Encoders of a sequence of ids."""

import tensorflow as tf
import tf_keras

from pagerec_dbx.models.inputs import known_ids

_PRIME = 2**31 - 1
# Factors and terms of the hash functions, drawn once; they belong to the meaning of trained weights and never change.
_HASHES = ((1_580_030_173, 59_260_789), (1_164_413_355, 1_025_466_571))


class MeanEmbedding(tf_keras.layers.Layer):
    """The mean of the embeddings of the ids that are not padding; zeros where all are padding.

    With `buckets` an id has no embedding of its own: it is the sum of one row for each hash function of a table of so
    many rows (Svenstrup et al. 2017, without their weights). Two ids are taken for each other only where all their
    rows are the same.
    """

    def __init__(self, size: int, dimension: int, name: str, buckets: int | None = None):
        super().__init__(name=name)
        self._size, self._buckets = size, buckets
        self._table = self.add_weight("embeddings", shape=[buckets or size, dimension], initializer="uniform")

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        """[batch, length] int32 -> [batch, dimension] float32.

        Each distinct id of the batch is looked up once and summed where it stands, so that neither the lookup nor its
        gradient ever takes [batch, length, dimension], and the gradient names each row of the table once.
        """
        real = tf.where(ids > 0)  # [tokens, 2]: record, place
        distinct, places = tf.unique(tf.gather_nd(known_ids(ids, self._size), real))  # [distinct], [tokens]
        records = tf.cast(real[:, 0], tf.int32)  # [tokens], rising
        looked_up = self._looked_up(distinct)  # [distinct, dimension]
        total = tf.sparse.segment_sum(looked_up, places, records, num_segments=tf.shape(ids)[0])  # [batch, dimension]
        count = tf.reduce_sum(tf.cast(ids > 0, total.dtype), axis=1, keepdims=True)  # [batch, 1]
        return total / tf.maximum(count, 1.0)

    def _looked_up(self, distinct: tf.Tensor) -> tf.Tensor:
        """[distinct] ids -> [distinct, dimension]."""
        if self._buckets is None:
            # Wider ids keep TensorFlow's graph optimizer from taking lookup and sum for one operation: that reads the
            # whole table in every step, 1.3 GB for 5 million titles.
            return tf.gather(self._table, tf.cast(distinct, tf.int64))
        return tf.add_n([tf.gather(self._table, rows) for rows in hashed_rows(distinct, self._buckets)])


def hashed_rows(ids: tf.Tensor, buckets: int) -> list[tf.Tensor]:
    """The rows of a table that ids share, one tensor for each hash function (Carter and Wegman 1979).

    Args:
        ids: int32 of any shape, at least 0.
        buckets: rows of the table.
    """
    wide = tf.cast(ids, tf.int64)
    return [tf.cast((wide * factor + term) % _PRIME % buckets, tf.int32) for factor, term in _HASHES]
