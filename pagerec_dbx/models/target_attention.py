"""What a row makes of the history: each row looks at the titles that matter to it."""

import tensorflow as tf
import tf_keras

from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.history import Recency


class TargetAttention(tf_keras.layers.Layer):
    """Attention from each candidate row to the titles watched (Zhou et al. 2018), with softmax and one head.

    A title weighs softmax(row . K title + recency) and says row . V title; the row's score gains the weighted mean of
    what its titles say, and nothing where nothing was watched.
    """

    def __init__(self, config: ModelConfig):
        super().__init__(name="target_attention")
        size = config.embedding_size
        self._rows = self.add_weight("rows", shape=[config.row_count, size], initializer="uniform")
        self._key, self._value = (tf_keras.layers.Dense(size, use_bias=False, name=name) for name in ("key", "value"))
        self._recency = Recency()

    def call(self, query: dict, rows: tf.Tensor) -> tf.Tensor:
        """`titles` [batch, length, embedding], `history` and `history_age` [batch, length], and int32 rows, [batch, n]
        or [n] for all alike -> [batch, n] float32."""
        titles, ids = query["titles"], query["history"]
        vectors = tf.cast(tf.gather(self._rows, rows), titles.dtype)
        form = "nd,bld->bnl" if rows.shape.rank == 1 else "bnd,bld->bnl"
        looks, says = (
            tf.cast(tf.einsum(form, vectors, of_titles(titles)), tf.float32) for of_titles in (self._key, self._value)
        )
        weights = tf.nn.softmax(looks + self._recency(ids, query["history_age"])[:, None, :], axis=2)
        return tf.reduce_sum(weights * says * tf.cast(ids > 0, tf.float32)[:, None, :], axis=2)
