"""The last layer of a softmax model: a vector and a bias for every row, held against the query."""

import tensorflow as tf
import tf_keras

from pagerec_dbx.models.config import ModelConfig


class RowLogits(tf_keras.layers.Layer):
    """hidden . vector of the row + bias of the row.

    Some rows cost no more than some rows, in scores and in gradients; but `l2` is on all rows in every step: with it
    the gradient is of the whole table, all of which every step moves.
    """

    def __init__(self, config: ModelConfig):
        super().__init__(name="logits")
        penalty = tf_keras.regularizers.L2(config.l2) if config.l2 else None
        shape = [config.row_count, config.hidden_sizes[-1]]
        self._vectors = self.add_weight("vectors", shape=shape, initializer="glorot_uniform", regularizer=penalty)
        # float32 whatever the model computes in: they are added to logits, which are.
        biases = {"shape": [config.row_count], "initializer": "zeros", "experimental_autocast": False}
        self._biases = self.add_weight("biases", regularizer=penalty, **biases)

    def call(self, hidden: tf.Tensor) -> tf.Tensor:
        """[batch, last hidden size] -> [batch, row_count] float32."""
        logits = tf.matmul(hidden, tf.cast(self._vectors, hidden.dtype), transpose_b=True)
        return tf.cast(logits, tf.float32) + self._biases

    def of(self, hidden: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """The same of some rows: int32 [batch, n], or [n] for all alike -> [batch, n] float32."""
        vectors = tf.cast(tf.gather(self._vectors, rows), hidden.dtype)  # [batch, n, size] or [n, size]
        form = "bd,nd->bn" if rows.shape.rank == 1 else "bd,bnd->bn"
        return tf.cast(tf.einsum(form, hidden, vectors), tf.float32) + tf.gather(self._biases, rows)
