"""How alike rows are by what they are about, K = X X', in whichever of two ways costs less. Both come to the same."""

from collections.abc import Callable

import tensorflow as tf
import tf_keras

from pagerec_dbx.models.attributes import shares
from pagerec_dbx.models.catalogue import Catalogue
from pagerec_dbx.models.config import ModelConfig


class RowKernel(tf_keras.layers.Layer):
    """A row of X holds one number for each attribute of the row: its learnt weight times its rarity, over the root of
    their number."""

    def __init__(self, config: ModelConfig, catalogue: Catalogue):
        super().__init__(name="row_kernel", autocast=False)
        self._catalogue, self._token_count, self._row_count = catalogue, config.attribute_tokens, config.row_count
        self._weights = self.add_weight(
            "tokens", shape=[config.attribute_tokens], initializer="zeros", experimental_autocast=False
        )  # softplus: .69

    def call(self, shown: tf.Tensor, then: Callable[["ByPairs | ByAttributes"], tf.Tensor]) -> tf.Tensor:
        """What `then` makes of the kernel of the rows shown, [batch, shown] int32; padding has no attributes, and so is
        like nothing. One table of all pairs of rows takes rows^2 products, a table for each page view shown^2: a batch
        of a step is mostly cheaper by pairs, a single page hardly ever."""
        return tf.cond(
            self.has_fewer_pairs(shown),
            lambda: then(ByPairs(self.vectors(tf.range(self._row_count)), shown)),
            lambda: then(ByAttributes(self, shown)),
        )

    def has_fewer_pairs(self, shown: tf.Tensor) -> tf.Tensor:
        """Whether there are fewer pairs of rows than of rows shown together."""
        batch, length = tf.shape(shown)[0], tf.shape(shown)[1]
        return tf.cast(self._row_count, tf.float32) ** 2 < tf.cast(batch * length * length, tf.float32)

    def vectors(self, rows: tf.Tensor) -> tf.Tensor:
        """[..., n] int32 -> [..., n, attributes]: rows of X."""
        tokens = self._catalogue.tokens(tf.reshape(rows, [-1]))  # [all, length]
        count = tf.shape(tokens)[0]
        places = tf.stack([tf.broadcast_to(tf.range(count)[:, None], tf.shape(tokens)), tokens], axis=2)
        flat = tf.scatter_nd(places, self._entries(tokens), [count, self._token_count])
        return tf.reshape(flat, tf.concat([tf.shape(rows), [self._token_count]], axis=0))

    def products(self, of_attributes: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """[batch, attributes] and int32 rows, [batch, n] or [n] for all alike -> [batch, n]: rows of X times it."""
        if rows.shape.rank == 1:
            return tf.matmul(of_attributes, self.vectors(rows), transpose_b=True)
        tokens = self._catalogue.tokens(rows)  # [batch, n, length]
        return tf.reduce_sum(tf.gather(of_attributes, tokens, batch_dims=1) * self._entries(tokens), axis=2)

    def _entries(self, tokens: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.nn.softplus(self._weights), tokens) * self._catalogue.rarity(tokens) * shares(tokens, -0.5)


class ByPairs:
    """Looked up in the table of all pairs of rows."""

    def __init__(self, vectors: tf.Tensor, shown: tf.Tensor):
        self._shown, self._count = shown, tf.shape(vectors)[0]
        self._table = tf.matmul(vectors, vectors, transpose_b=True)  # [rows, rows]

    def between(self) -> tf.Tensor:
        """[batch, shown, shown]: K of the rows shown."""
        pairs = self._shown[:, :, None] * self._count + self._shown[:, None, :]
        return tf.gather(tf.reshape(self._table, [-1]), pairs)

    def carried(self, weights: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """Weights [batch, shown] of the rows shown, and int32 rows, [batch, n] or [n] for all alike -> [batch, n]: the
        sum over the rows shown of K times the weight."""
        batch, length = tf.shape(self._shown)[0], tf.shape(self._shown)[1]
        places = tf.stack([tf.repeat(tf.range(batch), length), tf.reshape(self._shown, [-1])], axis=1)
        of_rows = tf.scatter_nd(places, tf.reshape(weights, [-1]), tf.stack([batch, self._count]))
        scores = tf.matmul(of_rows, self._table)  # [batch, rows]
        return tf.gather(scores, rows, axis=1) if rows.shape.rank == 1 else tf.gather(scores, rows, batch_dims=1)


class ByAttributes:
    """Multiplied for each page view by itself."""

    def __init__(self, kernel: RowKernel, shown: tf.Tensor):
        self._kernel, self._vectors = kernel, kernel.vectors(shown)  # [batch, shown, attributes]

    def between(self) -> tf.Tensor:
        """As of `ByPairs`."""
        return tf.matmul(self._vectors, self._vectors, transpose_b=True)

    def carried(self, weights: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """As of `ByPairs`."""
        return self._kernel.products(tf.einsum("bst,bs->bt", self._vectors, weights), rows)
