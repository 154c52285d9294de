"""How alike rows are by what they are about, K = X X'. There are three ways to it, which all come to the same."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tf_keras

from pagerec_dbx.models.catalogue import MOST_FIELDS, Catalogue
from pagerec_dbx.models.config import ModelConfig

_MOST_BYTES = 1 << 29  # of the tables that training holds
_LOOKED_UP = 100  # numbers are multiplied and added in the time in which one is looked up in a table


class RowKernel(tf_keras.layers.Layer):
    """A row of X holds one number for each attribute of the row: the learnt weight of its field, times what the
    attribute says by itself (`Knowledge.likeness`: its rarity, over the root of how many of that field the row has).

    So K is a weighted sum of one table of all rows for each field, and only its weights are learnt.
    """

    def __init__(self, config: ModelConfig, catalogue: Catalogue):
        super().__init__(name="row_kernel", autocast=False)
        self._catalogue, self._token_count, self._row_count = catalogue, config.attribute_tokens, config.row_count
        start = tf_keras.initializers.Constant(0.5)  # softplus: .97
        self._weights = self.add_weight("fields", shape=[MOST_FIELDS], initializer=start, experimental_autocast=False)
        self._tables: tf.Tensor | None = None  # [fields, rows^2]
        self._fields = np.zeros(0, np.int32)  # those of the tables

    def learn_tables(self) -> None:
        """Work out how alike all rows are in each field, for many steps; not where it takes too much memory."""
        likeness, tokens, fields = self._catalogue.likeness_of_all()
        self.forget_tables()
        self._fields = np.unique(fields[likeness > 0])
        if not self._fields.size or self._fields.size * self._row_count**2 * 4 > _MOST_BYTES:
            return
        tables = np.zeros([self._fields.size, self._row_count, self._row_count], np.float32)
        for table, field in zip(tables, self._fields, strict=True):
            vectors = np.zeros([self._row_count, self._token_count], np.float32)
            rows, places = np.nonzero((likeness > 0) & (fields == field))
            vectors[rows, tokens[rows, places]] = likeness[rows, places]
            vectors = vectors[:, vectors.any(axis=0)]
            np.matmul(vectors, vectors.T, out=table)
        self._tables = tf.constant(tables.reshape(len(tables), -1))

    def forget_tables(self) -> None:
        """Do without them from now on: what is exported holds none."""
        self._tables = None

    def call(self, shown: tf.Tensor, then: Callable[["ByPairs | ByAttributes"], tf.Tensor]) -> tf.Tensor:
        """What `then` makes of the kernel of the rows shown, [batch, shown] int32; padding has no attributes, and so is
        like nothing.

        By the tables of training, where there are any. Else a table of all pairs of rows takes rows^2 products, a table
        for each page view shown^2: a batch is mostly cheaper by pairs, a single page hardly ever.
        """
        if self._tables is not None:
            squares = tf.square(tf.gather(tf.nn.softplus(self._weights), self._fields))
            table = tf.linalg.matvec(self._tables, squares, transpose_a=True)
            return then(ByPairs(tf.reshape(table, [self._row_count, self._row_count]), shown))
        return tf.cond(
            self.has_fewer_pairs(shown),
            lambda: then(ByPairs(self._table(), shown)),
            lambda: then(ByAttributes(self, shown)),
        )

    def has_fewer_pairs(self, shown: tf.Tensor) -> tf.Tensor:
        """Whether there are fewer pairs of rows than of rows shown together."""
        batch, length = tf.unstack(tf.shape(shown, tf.int64))  # the product of 200,000 pages of 100 is past int32
        return tf.cast(self._row_count, tf.int64) ** 2 < batch * length * length

    def _table(self) -> tf.Tensor:
        vectors = self.vectors(tf.range(self._row_count))
        return tf.matmul(vectors, vectors, transpose_b=True)  # [rows, rows]

    def vectors(self, rows: tf.Tensor) -> tf.Tensor:
        """[..., n] int32 -> [..., n, attributes]: rows of X."""
        flat = tf.reshape(rows, [-1])
        tokens = self._catalogue.tokens(flat)  # [all, length]
        count = tf.shape(tokens)[0]
        places = tf.stack([tf.broadcast_to(tf.range(count)[:, None], tf.shape(tokens)), tokens], axis=2)
        matrix = tf.scatter_nd(places, self._entries(flat), [count, self._token_count])
        return tf.reshape(matrix, tf.concat([tf.shape(rows), [self._token_count]], axis=0))

    def products(self, of_attributes: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """[batch, attributes] and int32 rows, [batch, n] or [n] for all alike -> [batch, n]: rows of X times it."""
        if rows.shape.rank == 1:
            return tf.matmul(of_attributes, self.vectors(rows), transpose_b=True)
        tokens = self._catalogue.tokens(rows)  # [batch, n, length]
        return tf.reduce_sum(tf.gather(of_attributes, tokens, batch_dims=1) * self._entries(rows), axis=2)

    def _entries(self, rows: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.nn.softplus(self._weights), self._catalogue.fields(rows)) * self._catalogue.likeness(rows)


class ByPairs:
    """Looked up in a table of all pairs of rows."""

    def __init__(self, table: tf.Tensor, shown: tf.Tensor):
        """`table`: [rows, rows]."""
        self._shown, self._table, self._count = shown, table, tf.shape(table)[0]

    def between(self) -> tf.Tensor:
        """[batch, shown, shown]: K of the rows shown."""
        return self._pairs(self._shown)

    def carried(self, weights: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """Weights [batch, shown, kinds] of the rows shown, and int32 rows, [batch, n] or [n] for all alike ->
        [batch, n, kinds]: the sums over the rows shown of K times the weight."""
        if self._is_looked_up(rows):
            return tf.matmul(self._pairs(rows), weights)
        batch, length, kinds = tf.unstack(tf.shape(weights))
        of_rows = tf.tensor_scatter_nd_add(
            tf.zeros([batch, self._count, kinds]),
            tf.stack([tf.repeat(tf.range(batch), length), tf.reshape(self._shown, [-1])], axis=1),
            tf.reshape(weights, [-1, kinds]),
        )
        scores = tf.einsum("brk,rs->bsk", of_rows, self._table)  # [batch, rows, kinds]
        return tf.gather(scores, rows, axis=1) if rows.shape.rank == 1 else tf.gather(scores, rows, batch_dims=1)

    def _pairs(self, rows: tf.Tensor) -> tf.Tensor:
        """[batch, n, shown]"""
        return tf.gather(tf.reshape(self._table, [-1]), rows[:, :, None] * self._count + self._shown[:, None, :])

    def _is_looked_up(self, rows: tf.Tensor) -> bool:
        """Whether looking up each pair of a page view is cheaper than multiplying with the whole table."""
        sizes = (*rows.shape[1:], self._shown.shape[1], self._table.shape[0])
        if rows.shape.rank == 1 or None in sizes:
            return False
        offered, shown, count = sizes
        return offered * shown * _LOOKED_UP < count * count


class ByAttributes:
    """Multiplied for each page view by itself."""

    def __init__(self, kernel: RowKernel, shown: tf.Tensor):
        self._kernel, self._vectors = kernel, kernel.vectors(shown)  # [batch, shown, attributes]

    def between(self) -> tf.Tensor:
        """As of `ByPairs`."""
        return tf.matmul(self._vectors, self._vectors, transpose_b=True)

    def carried(self, weights: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """As of `ByPairs`."""
        of_attributes = tf.einsum("bst,bsk->bkt", self._vectors, weights)
        kinds = [self._kernel.products(one, rows) for one in tf.unstack(of_attributes, axis=1)]
        return tf.stack(kinds, axis=2)
