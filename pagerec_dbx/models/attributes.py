"""What rows and titles are about: each attribute has weights of its own, which all that have it share (Kula 2015)."""

from collections.abc import Callable

import tensorflow as tf
import tf_keras

from pagerec_dbx.models.catalogue import Catalogue
from pagerec_dbx.models.config import ModelConfig


class RowAttributes(tf_keras.layers.Layer):
    """A row's attributes add up to a bias, and their mean vector is held against the page view's fields:

        score + sum of biases + fields . mean of vectors

    An attribute's bias is a weight times how common it is (`Knowledge.commonness`), so that `l2` holds a bias down that
    is an excuse for some rows ten times as much as one that a tenth of all rows is evidence of.

    With `row_rates` the bias says what rate is to be expected of such a row, and reaches the score through that.
    Without `own_weights` titles have no vectors that theirs could be held against: biases are all then.
    A row that training never saw has the weights that its attributes got from other rows.
    """

    def __init__(self, config: ModelConfig, catalogue: Catalogue):
        super().__init__(name="row_attributes")
        self._catalogue, self._adds_bias, self._row_count = catalogue, not config.row_rates, config.row_count
        penalty = tf_keras.regularizers.L2(config.l2) if config.l2 else None
        count, size = config.attribute_tokens, config.embedding_size
        self._biases = self.add_weight(
            "biases", shape=[count], initializer="zeros", regularizer=penalty, experimental_autocast=False
        )
        if config.own_weights:
            self._vectors = self.add_weight(
                "vectors", shape=[count, size], initializer="zeros", regularizer=penalty, experimental_autocast=False
            )

    def call(self, query: dict, rows: tf.Tensor) -> tf.Tensor:
        """`fields`, [batch, embedding] each, and int32 rows, [batch, n] or [n] for all alike -> [batch, n] float32."""
        total = tf.add_n(query["fields"])
        means = self._of(rows, self._means)  # [..., n, embedding]
        form = "bd,nd->bn" if rows.shape.rank == 1 else "bd,bnd->bn"
        products = tf.cast(tf.einsum(form, total, tf.cast(means, total.dtype)), tf.float32)
        return products + self.biases(rows) if self._adds_bias else products

    def biases(self, rows: tf.Tensor) -> tf.Tensor:
        """Of the shape of the rows, float32."""
        return self._of(rows, self._sums)

    def _of(self, rows: tf.Tensor, of_rows: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
        """Made of each row once, where a batch asks for more rows than there are; both ways come to the same."""
        return tf.cond(
            tf.size(rows) > self._row_count,
            lambda: tf.gather(of_rows(tf.range(self._row_count)), rows),
            lambda: of_rows(rows),
        )

    def _sums(self, rows: tf.Tensor) -> tf.Tensor:
        tokens = self._catalogue.tokens(rows)  # [..., length]
        biases = tf.gather(self._biases, tokens) * self._catalogue.commonness(tokens)
        return tf.reduce_sum(biases * shares(tokens, 0.0), axis=-1)

    def _means(self, rows: tf.Tensor) -> tf.Tensor:
        tokens = self._catalogue.tokens(rows)
        return tf.reduce_sum(tf.gather(self._vectors, tokens) * shares(tokens, -1.0)[..., None], axis=-2)


class TitleAttributes(tf_keras.layers.Layer):
    """What the titles watched are about: the mean vector of their attributes, each title's share alike."""

    def __init__(self, config: ModelConfig, catalogue: Catalogue):
        super().__init__(name="title_attributes")
        self._catalogue = catalogue
        shape = [config.attribute_tokens, config.embedding_size]
        self._vectors = self.add_weight("vectors", shape=shape, initializer="uniform", experimental_autocast=False)

    def call(self, titles: tf.Tensor) -> tf.Tensor:
        """[batch, length] int32 ids of titles -> [batch, embedding]; zeros where nothing is known."""
        tokens = self._catalogue.title_tokens(titles)  # [batch, length, attributes]
        of_titles = tf.reduce_sum(tf.gather(self._vectors, tokens) * shares(tokens, -1.0)[..., None], axis=2)
        watched = tf.reduce_sum(tf.cast(titles > 0, tf.float32), axis=1, keepdims=True)
        return tf.cast(tf.reduce_sum(of_titles, axis=1) / tf.maximum(watched, 1.0), self.compute_dtype)


def shares(tokens: tf.Tensor, power: float) -> tf.Tensor:
    """[..., length] float32: the number of attributes to that power where there is one, 0 at padding."""
    real = tf.cast(tokens > 0, tf.float32)
    return real * tf.pow(tf.maximum(tf.reduce_sum(real, axis=-1, keepdims=True), 1.0), power)
