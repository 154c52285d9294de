"""Vectors of ids: each id of a batch is looked up once."""

import tensorflow as tf
import tf_keras

from pagerec_dbx.models.inputs import known_ids

_PRIME = 2**31 - 1
# Factors and terms of the hash functions, drawn once; they belong to the meaning of trained weights and never change.
_HASHES = ((1_580_030_173, 59_260_789), (1_164_413_355, 1_025_466_571))


class Embeddings(tf_keras.layers.Layer):
    """A vector for every id of a vocabulary; ids past its size are unknown (1).

    With `buckets` an id has no vector of its own: it is the sum of one row for each hash function of a table of so
    many rows (Svenstrup et al. 2017, without their weights). Two ids are taken for each other only where all their
    rows are the same.
    """

    def __init__(self, size: int, dimension: int, name: str, buckets: int | None = None):
        super().__init__(name=name)
        self._size, self._buckets = size, buckets
        self._table = self.add_weight("embeddings", shape=[buckets or size, dimension], initializer="uniform")

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        """int32 of any shape -> [..., dimension] float32."""
        distinct, places = tf.unique(tf.reshape(known_ids(ids, self._size), [-1]))
        return tf.reshape(tf.gather(self.looked_up(distinct), places), [*_shape(ids), self._table.shape[1]])

    def mean(self, ids: tf.Tensor, weights: tf.Tensor | None = None) -> tf.Tensor:
        """The mean of each list's vectors, padding left out; zeros where all is padding.

        Each distinct id of the batch is summed where it stands, so that neither the lookup nor its gradient ever takes
        [batch, length, dimension], and the gradient names each row of the table once.

        Args:
            ids: [batch, length] int32.
            weights: [batch, length] float32, the sum of each list 1 or 0; none: alike.

        Returns:
            [batch, dimension] float32.
        """
        real = tf.where(ids > 0)  # [tokens, 2]: record, place
        distinct, places = tf.unique(tf.gather_nd(known_ids(ids, self._size), real))  # [distinct], [tokens]
        records = tf.cast(real[:, 0], tf.int32)  # [tokens], rising
        vectors = self.looked_up(distinct)  # [distinct, dimension]
        if weights is not None:
            weighted = tf.gather(vectors, places) * tf.cast(tf.gather_nd(weights, real), vectors.dtype)[:, None]
            return tf.math.unsorted_segment_sum(weighted, records, tf.shape(ids)[0])
        total = tf.sparse.segment_sum(vectors, places, records, num_segments=tf.shape(ids)[0])  # [batch, dimension]
        count = tf.reduce_sum(tf.cast(ids > 0, total.dtype), axis=1, keepdims=True)  # [batch, 1]
        return total / tf.maximum(count, 1.0)

    def looked_up(self, distinct: tf.Tensor) -> tf.Tensor:
        """[distinct] ids below the size -> [distinct, dimension]."""
        if self._buckets is None:
            # Wider ids keep TensorFlow's graph optimizer from taking lookup and sum for one operation: that reads the
            # whole table in every step, 1.3 GB for 5 million titles.
            table = tf.gather(self._table, tf.cast(distinct, tf.int64))
        else:
            table = tf.add_n([tf.gather(self._table, rows) for rows in hashed_rows(distinct, self._buckets)])
        return tf.cast(table, self.compute_dtype)


def hashed_rows(ids: tf.Tensor, buckets: int) -> list[tf.Tensor]:
    """The rows of a table that ids share, one tensor for each hash function (Carter and Wegman 1979).

    Args:
        ids: int32 of any shape, at least 0.
        buckets: rows of the table.
    """
    wide = tf.cast(ids, tf.int64)
    return [tf.cast((wide * factor + term) % _PRIME % buckets, tf.int32) for factor, term in _HASHES]


def _shape(ids: tf.Tensor) -> list:
    """Static sizes where they are known."""
    return [tf.shape(ids)[at] if size is None else size for at, size in enumerate(ids.shape)]
