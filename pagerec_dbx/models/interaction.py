"""Products of features, which sums of what each feature says cannot express."""

import tensorflow as tf
import tf_keras


class CrossLayers(tf_keras.layers.Layer):
    """DCN v2 (Wang et al. 2021): x <- x0 * (W x + b) + x, one such product a layer; W = U V with a rank."""

    def __init__(self, layers: int, rank: int | None):
        super().__init__(name="cross")
        self._count, self._rank = layers, rank

    def build(self, shape):
        width = shape[-1]
        narrow = [tf_keras.layers.Dense(self._rank, use_bias=False) if self._rank else None for _ in range(self._count)]
        self._narrow = [layer for layer in narrow if layer]
        self._wide = [tf_keras.layers.Dense(width) for _ in range(self._count)]
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
