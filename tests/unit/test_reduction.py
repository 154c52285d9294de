"""The mean over ranks by hand: two ranks' gradients of one table, whole and row by row."""

import numpy as np
import pytest
import tensorflow as tf

from pagerec_dbx.training.optimizer import LazyAdam
from pagerec_dbx.training.reduction import as_rows, as_table, mean_over_ranks, whole_rows_of

TABLE = tf.TensorShape([4, 2])


def rows(values, indices):
    return tf.IndexedSlices(tf.constant(values, tf.float32), tf.constant(indices, tf.int64), tf.constant([4, 2]))


# Row 0 is named by both ranks, row 2 twice by the first, row 3 by the second with a gradient of zero, row 1 by nobody.
FIRST = rows([[1, 2], [3, 4], [10, 20]], [2, 0, 2])
SECOND = rows([[5, 6], [0, 0]], [0, 3])
# (3 + 5) / 2 and (4 + 6) / 2; nothing; (1 + 10) / 2 and (2 + 20) / 2; nothing, but named
MEAN = [[4, 5], [0, 0], [5.5, 11], [0, 0]]


def test_a_table_has_every_row_and_how_often_it_was_named():
    np.testing.assert_array_equal(as_table(FIRST, TABLE), [[3, 4, 1], [0, 0, 0], [11, 22, 2], [0, 0, 0]])
    back = as_rows(as_table(SECOND, TABLE), TABLE)
    np.testing.assert_array_equal(back.indices, [0, 3])  # row 3 too: named, though its gradient is zero
    np.testing.assert_array_equal(back.values, [[5, 6], [0, 0]])


def of_two_ranks(gradient):
    """The mean of FIRST and SECOND, whichever way the first one comes."""
    if isinstance(gradient, tf.IndexedSlices):
        values = tf.concat([gradient.values, SECOND.values], 0) / 2
        return tf.IndexedSlices(values, tf.concat([gradient.indices, SECOND.indices], 0), gradient.dense_shape)
    return (gradient + as_table(SECOND, TABLE)) / 2


@pytest.mark.parametrize("whole_table_rows", [3, 4])
def test_whole_or_row_by_row_the_mean_and_the_rows_it_has_are_the_same(whole_table_rows):
    variable = tf.Variable(np.ones((4, 2), np.float32))
    (mean,) = mean_over_ranks([FIRST], [variable], whole_table_rows, of_two_ranks)
    np.testing.assert_array_equal(tf.convert_to_tensor(mean), MEAN)
    assert set(mean.indices.numpy()) == {0, 2, 3}
    assert (len(mean.indices) == 3) == (whole_table_rows == 4)  # gathered, rows 0 and 2 come twice


def test_rows_that_no_rank_has_stay_where_they_are():
    moved = {}
    for whole_table_rows in (0, 4):
        variable, optimizer = tf.Variable(np.ones((4, 2), np.float32)), LazyAdam(0.1)
        optimizer.apply_gradients([(rows([[1, 1]], [1]), variable)])  # row 1 has moments now
        (mean,) = mean_over_ranks([FIRST], [variable], whole_table_rows, of_two_ranks)
        optimizer.apply_gradients([(mean, variable)])
        moved[whole_table_rows] = variable.numpy()
    np.testing.assert_allclose(moved[0], moved[4], atol=1e-7)
    np.testing.assert_allclose(moved[4][1], 0.9, atol=1e-6)  # its own step alone
    # the control: without marks row 1 is moved once more by its moments
    variable, optimizer = tf.Variable(np.ones((4, 2), np.float32)), LazyAdam(0.1)
    optimizer.apply_gradients([(rows([[1, 1]], [1]), variable)])
    optimizer.apply_gradients([(tf.IndexedSlices(tf.constant(MEAN, tf.float32), tf.range(4)), variable)])
    assert variable.numpy()[1, 0] < 0.87


def test_dense_gradients_are_left_to_the_mean():
    weights = tf.Variable(np.ones((2, 2), np.float32))
    (mean,) = mean_over_ranks([tf.ones([2, 2])], [weights], 4, lambda gradient: gradient * 3)
    np.testing.assert_array_equal(mean, np.full((2, 2), 3.0))


def test_two_ranks_give_each_other_rows_and_more_ranks_add_up_tables_that_are_small():
    assert [whole_rows_of(None, ranks) for ranks in (2, 3, 4, 8)] == [0, 16_384, 16_384, 16_384]
    assert (whole_rows_of(0, 4), whole_rows_of(500, 2)) == (0, 500)


def test_a_table_of_single_numbers_is_added_up_as_well():
    """As the biases of rows, of which a loss over the rows offered names some."""
    shape = tf.TensorShape([4])
    numbers = tf.IndexedSlices(tf.constant([1.0, 3.0, 10.0]), tf.constant([2, 0, 2], tf.int64), tf.constant([4]))
    np.testing.assert_array_equal(as_table(numbers, shape), [[3, 1], [0, 0], [11, 2], [0, 0]])
    (mean,) = mean_over_ranks([numbers], [tf.Variable(np.ones(4, np.float32))], 4, lambda table: table / 2)
    np.testing.assert_array_equal(mean.indices, [0, 2])
    np.testing.assert_array_equal(mean.values, [1.5, 5.5])
