"""The mean of the ranks' gradients: a small table of embeddings is added up whole, of a large one only rows in use.

Rows in use are gathered from all ranks: every rank receives every other's rows and ids, which grows with the ranks. A
table added up whole is as large on any number of ranks. Either way a row that no rank's batch has stays without a
gradient, so that the lazy optimizer leaves it alone; in a table added up whole a column of marks says which rows those
are.
"""

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import tensorflow as tf

_FEW_RANKS, _WHOLE_ROWS = 2, 16_384  # measured by `benchmarks.reduction` on 2 and on 4 ranks

Gradient: TypeAlias = tf.Tensor | tf.IndexedSlices
REDUCTION = "reduction"  # the scope of its operations in a rank's graph, by which a profile knows them


def mean_over_ranks(
    gradients: Sequence[Gradient],
    variables: Sequence[tf.Variable],
    whole_table_rows: int,
    mean: Callable[[Gradient], Gradient],
) -> list[Gradient]:
    """The gradients' means, each in the kind it came in.

    Args:
        variables: the gradients' own, in their order.
        whole_table_rows: tables of at most so many embeddings are added up whole.
        mean: of one tensor or one set of rows over all ranks; called in the same order on each.
    """
    return [
        as_rows(mean(as_table(gradient, variable.shape)), variable.shape)
        if isinstance(gradient, tf.IndexedSlices) and variable.shape[0] <= whole_table_rows
        else mean(gradient)
        for gradient, variable in zip(gradients, variables, strict=True)
    ]


def whole_rows_of(setting: int | None, ranks: int) -> int:
    """Up to how many embeddings a table is added up whole: what is set, else what is cheaper on so many ranks.

    Two ranks give each other less than a whole table, whatever its size.
    """
    if setting is not None:
        return setting
    return 0 if ranks <= _FEW_RANKS else _WHOLE_ROWS


def as_table(rows: tf.IndexedSlices, shape: tf.TensorShape) -> tf.Tensor:
    """[rows, dimension + 1]: the gradient of every row of a table, and how often it was named, 0 for most.

    A table of single numbers, [rows], has the dimension 1.
    """
    values = tf.reshape(rows.values, [-1, math.prod(shape.as_list()[1:])])
    marked = tf.concat([values, tf.ones_like(values[:, :1])], axis=1)
    return tf.math.unsorted_segment_sum(marked, rows.indices, shape[0])


def as_rows(table: tf.Tensor, shape: tf.TensorShape) -> tf.IndexedSlices:
    """The rows of a table that are marked, each named once; a marked row of zeros is one of them."""
    named = tf.where(table[:, -1] > 0)[:, 0]
    values = tf.reshape(tf.gather(table, named)[:, :-1], [-1, *shape.as_list()[1:]])
    return tf.IndexedSlices(values, named, tf.constant(shape.as_list(), tf.int64))
