"""The last layer of a softmax model: a vector and a bias for every row, held against the query."""

import tensorflow as tf
import tf_keras

from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.row_terms import RowTerms


class RowLogits(tf_keras.layers.Layer):
    """hidden . vector of the row + bias of the row; some rows cost no more than some rows.

    The terms that the configuration asks for are added.
    """

    def __init__(self, config: ModelConfig):
        super().__init__(name="logits")
        shape = [config.row_count, config.hidden_sizes[-1]]
        self._vectors = self.add_weight("vectors", shape=shape, initializer="glorot_uniform")
        # float32 whatever the model computes in: they are added to logits, which are.
        biases = {"shape": [config.row_count], "initializer": "zeros", "experimental_autocast": False}
        self._biases = self.add_weight("biases", **biases)
        self._terms = RowTerms(config)

    def call(self, query: dict) -> tf.Tensor:
        """`hidden` [batch, last hidden size], and what the terms read -> [batch, row_count] float32."""
        hidden = query["hidden"]
        logits = tf.matmul(hidden, tf.cast(self._vectors, hidden.dtype), transpose_b=True)
        return self._terms(tf.cast(logits, tf.float32) + self._biases, query, tf.range(self._biases.shape[0]))

    def of(self, query: dict, rows: tf.Tensor) -> tf.Tensor:
        """The same of some rows: int32 [batch, n], or [n] for all alike -> [batch, n] float32."""
        vectors = tf.cast(tf.gather(self._vectors, rows), query["hidden"].dtype)  # [batch, n, size] or [n, size]
        form = "bd,nd->bn" if rows.shape.rank == 1 else "bd,bnd->bn"
        logits = tf.cast(tf.einsum(form, query["hidden"], vectors), tf.float32) + tf.gather(self._biases, rows)
        return self._terms(logits, query, rows)
