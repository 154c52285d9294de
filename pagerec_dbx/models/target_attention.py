"""What a row makes of what the viewer watched or was shown: each row looks at what matters to it."""

import tensorflow as tf
import tf_keras

from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.history import Recency, softmax


class TargetAttention(tf_keras.layers.Layer):
    """Attention from each candidate row to a list (Zhou et al. 2018), with softmax and one head.

    An entry weighs softmax(row . K entry + recency) and says row . V entry; the row's score gains the weighted mean of
    what its entries say, and nothing where the list is empty.
    """

    def __init__(self, config: ModelConfig, name: str, ages_known: bool = False):
        super().__init__(name=name)
        size = config.embedding_size
        self._rows = self.add_weight("rows", shape=[config.row_count, size], initializer="uniform")
        self._key, self._value = (tf_keras.layers.Dense(size, use_bias=False, name=part) for part in ("key", "value"))
        self._recency = Recency(ages_known)

    def attended(self, rows: tf.Tensor, entries: tf.Tensor, ids: tf.Tensor, ages: tf.Tensor) -> tf.Tensor:
        """What the rows' scores gain.

        Args:
            rows: int32 [batch, n], or [n] for all alike.
            entries: [batch, length, embedding].
            ids, ages: [batch, length] int32, oldest first; 0 is padding, an age of 0 is not known.

        Returns:
            [batch, n] float32.
        """
        vectors = tf.cast(tf.gather(self._rows, rows), entries.dtype)
        form = "nd,bld->bnl" if rows.shape.rank == 1 else "bnd,bld->bnl"
        looks, says = (tf.cast(tf.einsum(form, vectors, of(entries)), tf.float32) for of in (self._key, self._value))
        weights = softmax(looks + self._recency(ids, ages)[:, None, :], axis=2)
        return tf.reduce_sum(weights * says * tf.cast(ids > 0, tf.float32)[:, None, :], axis=2)


class HistoryAttention(TargetAttention):
    """To the titles watched."""

    def __init__(self, config: ModelConfig):
        super().__init__(config, "history_attention")

    def call(self, query: dict, rows: tf.Tensor) -> tf.Tensor:
        """`titles`, `history` and `history_age` of the page view, and rows as of `attended` -> [batch, n] float32."""
        return self.attended(rows, query["titles"], query["history"], query["history_age"])


class ShownAttention(TargetAttention):
    """To the rows shown on earlier page views: one that was clicked says something else than one passed over."""

    def __init__(self, config: ModelConfig):
        super().__init__(config, "shown_attention", ages_known=True)
        self._kinds = self.add_weight("kinds", shape=[2, config.embedding_size], initializer=_opposite)

    def call(self, query: dict, rows: tf.Tensor) -> tf.Tensor:
        """`shown_row`, `shown_clicked`, `shown_age`, [batch, shown] each, and rows as of `attended` -> [batch, n]
        float32."""
        ids, clicked, ages = (tf.reverse(query[f"shown_{name}"], [1]) for name in ("row", "clicked", "age"))
        entries = tf.gather(self._rows, ids) * tf.gather(self._kinds, clicked)
        return self.attended(rows, tf.cast(entries, self.compute_dtype), ids, ages)


def _opposite(shape, dtype=None, **_) -> tf.Tensor:
    """A row passed over begins as the opposite of one clicked."""
    return tf.concat([-tf.ones([1, shape[1]], dtype), tf.ones([1, shape[1]], dtype)], axis=0)
