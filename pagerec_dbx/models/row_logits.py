"""The last layer of a softmax model: a vector and a bias for every row, held against the query."""

import tensorflow as tf
import tf_keras

from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.interaction import FactorisationMachine


class RowLogits(tf_keras.layers.Layer):
    """hidden . vector of the row + bias of the row; some rows cost no more than some rows.

    With `factorisation` the row's products with the page view's fields are added.
    """

    def __init__(self, config: ModelConfig):
        super().__init__(name="logits")
        shape = [config.row_count, config.hidden_sizes[-1]]
        self._vectors = self.add_weight("vectors", shape=shape, initializer="glorot_uniform")
        # float32 whatever the model computes in: they are added to logits, which are.
        biases = {"shape": [config.row_count], "initializer": "zeros", "experimental_autocast": False}
        self._biases = self.add_weight("biases", **biases)
        self._products = FactorisationMachine(config.row_count, config.embedding_size) if config.factorisation else None

    def call(self, query: dict) -> tf.Tensor:
        """`hidden` [batch, last hidden size] and `fields`, [batch, embedding] each -> [batch, row_count] float32."""
        hidden = query["hidden"]
        logits = tf.matmul(hidden, tf.cast(self._vectors, hidden.dtype), transpose_b=True)
        return self._with_products(tf.cast(logits, tf.float32) + self._biases, query, tf.range(self._biases.shape[0]))

    def of(self, query: dict, rows: tf.Tensor) -> tf.Tensor:
        """The same of some rows: int32 [batch, n], or [n] for all alike -> [batch, n] float32."""
        vectors = tf.cast(tf.gather(self._vectors, rows), query["hidden"].dtype)  # [batch, n, size] or [n, size]
        form = "bd,nd->bn" if rows.shape.rank == 1 else "bd,bnd->bn"
        logits = tf.cast(tf.einsum(form, query["hidden"], vectors), tf.float32) + tf.gather(self._biases, rows)
        return self._with_products(logits, query, rows)

    def _with_products(self, logits: tf.Tensor, query: dict, rows: tf.Tensor) -> tf.Tensor:
        return logits if self._products is None else logits + self._products(query["fields"], rows)
