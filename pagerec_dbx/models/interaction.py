"""Products of features, which sums of what each feature says cannot express."""

import tensorflow as tf
import tf_keras


class CrossLayers(tf_keras.layers.Layer):
    """DCN v2 (Wang et al. 2021): x <- x0 * (W x + b) + x, one such product a layer; W = U V with a rank.

    `penalty` is on the weights of all.
    """

    def __init__(self, layers: int, rank: int | None, penalty: tf_keras.regularizers.Regularizer | None = None):
        super().__init__(name="cross")
        self._count, self._rank, self._penalty = layers, rank, penalty

    def build(self, shape):
        def dense(width: int, use_bias: bool) -> tf_keras.layers.Dense:
            return tf_keras.layers.Dense(width, use_bias=use_bias, kernel_regularizer=self._penalty)

        self._narrow = [dense(self._rank, False) for _ in range(self._count) if self._rank]
        self._wide = [dense(shape[-1], True) for _ in range(self._count)]
        super().build(shape)

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """[..., width] -> the same."""
        crossed = values
        for number, wide in enumerate(self._wide):
            inner = self._narrow[number](crossed) if self._narrow else crossed
            crossed = values * wide(inner) + crossed
        return crossed


class FactorisationMachine(tf_keras.layers.Layer):
    """The part of a factorisation machine (Rendle 2010) that differs between rows: the products of a row's vector with
    the vectors of the page view's fields."""

    def __init__(self, row_count: int, dimension: int):
        super().__init__(name="factorisation")
        self._rows = self.add_weight("rows", shape=[row_count, dimension], initializer="uniform")

    def call(self, query: dict, rows: tf.Tensor) -> tf.Tensor:
        """`fields`, [batch, dimension] each, and int32 rows, [batch, n] or [n] for all alike -> [batch, n] float32."""
        total = tf.add_n(query["fields"])
        vectors = tf.cast(tf.gather(self._rows, rows), total.dtype)
        form = "bd,nd->bn" if rows.shape.rank == 1 else "bd,bnd->bn"
        return tf.cast(tf.einsum(form, total, vectors), tf.float32)
