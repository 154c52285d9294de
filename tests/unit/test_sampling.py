"""Draws of rows: the chances that each has, none twice, none that must not be drawn, the same from the same seed."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pagerec_dbx.models.sampling import (
    CLICKS,
    LOG_UNIFORM,
    UNIFORM,
    RowChances,
    drawn_for_all,
    drawn_for_each,
    drawn_from_menu,
    row_chances,
)


def test_chances_by_name():
    np.testing.assert_allclose(row_chances(UNIFORM, 5).chances, [0, 0.25, 0.25, 0.25, 0.25])
    # log(2), log(3/2), log(4/3), log(5/4) by their sum, log(5)
    wanted = np.log([2, 3 / 2, 4 / 3, 5 / 4]) / np.log(5)
    np.testing.assert_allclose(row_chances(LOG_UNIFORM, 5).chances, [0, *wanted])
    # clicks 0, 1, 4, 1 of ids 1 to 4, each one more: 1, 2, 5, 2 of 10; what is counted for padding does not matter
    np.testing.assert_allclose(row_chances(CLICKS, 5, np.array([9, 0, 1, 4, 1])).chances, [0, 0.1, 0.2, 0.5, 0.2])


def test_no_row_is_expected_more_than_once():
    chances = RowChances(np.array([0, 0.7, 0.1, 0.1, 0.1]))
    # of two rows the first is certain, the other place is shared; of three, two thirds each
    np.testing.assert_allclose(chances.expected(2), [0, 1, 1 / 3, 1 / 3, 1 / 3])
    np.testing.assert_allclose(chances.expected(1), [0, 0.7, 0.1, 0.1, 0.1])
    np.testing.assert_allclose(chances.expected(4), [0, 1, 1, 1, 1])


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 300), st.data(), st.sampled_from([UNIFORM, LOG_UNIFORM]))
def test_as_many_different_rows_as_asked_for_without_padding(row_count, data, name):
    number = data.draw(st.integers(1, row_count - 1))
    rows, log_expected = drawn_for_all(
        row_chances(name, row_count), number, tf.constant([data.draw(st.integers(0, 99)), 1])
    )
    assert len(set(rows.numpy().tolist())) == number and rows.numpy().min() >= 1 and rows.numpy().max() < row_count
    wanted = np.log(row_chances(name, row_count).expected(number)[rows.numpy()])  # padding has no logarithm
    np.testing.assert_allclose(log_expected, wanted, atol=1e-5)


def test_rows_are_drawn_by_their_chances():
    chances = row_chances(LOG_UNIFORM, 30)
    draws = [drawn_for_all(chances, 6, tf.constant([seed, 3]))[0].numpy() for seed in range(1_500)]
    counts = np.bincount(np.concatenate(draws), minlength=30) / 1_500
    expected = chances.expected(6)
    error = np.sqrt(expected * (1 - expected) / 1_500)
    assert np.all(np.abs(counts - expected) <= 4.5 * error + 1e-9)
    assert expected[1] == 1 and counts[1] == 1  # log(2) / log(30) x 6 = 1.22: certain
    np.testing.assert_array_equal(draws[5], drawn_for_all(chances, 6, tf.constant([5, 3]))[0])


def test_pairs_of_rows_are_drawn_together_as_chance_has_it():
    # 3 of 6 alike: a pair has 3/6 x 2/5 = .2; rows that always came in one order would have 0 or .5
    draws = [drawn_for_all(row_chances(UNIFORM, 7), 3, tf.constant([seed, 3]))[0].numpy() for seed in range(2_000)]
    together = np.mean([{2, 3} <= set(rows.tolist()) for rows in draws])
    assert abs(together - 0.2) < 4.5 * np.sqrt(0.2 * 0.8 / 2_000)


def test_one_row_for_each_list_by_the_chances_of_those_that_are_left():
    chances = RowChances(np.array([0, 0.2, 0.1, 0.1, 0.4, 0.2]))  # of padding, unknown and rows 2 to 5
    taken = tf.constant([[4, 0, 2]] * 8_000)
    drawn = drawn_for_each(chances, taken, tf.constant([1, 2])).numpy()
    counts = np.bincount(drawn, minlength=6) / 8_000
    # rows 3 and 5 are left, with .1 and .2
    np.testing.assert_allclose(counts, [0, 0, 0, 1 / 3, 0, 2 / 3], atol=4.5 * np.sqrt(2 / 9 / 8_000))
    np.testing.assert_array_equal(drawn, drawn_for_each(chances, taken, tf.constant([1, 2])))
    assert not np.array_equal(drawn, drawn_for_each(chances, taken, tf.constant([1, 3])))
    all_taken = tf.constant([[2, 3, 5, 4]])
    assert int(drawn_for_each(chances, all_taken, tf.constant([1, 2]))[0]) == 0


@settings(max_examples=50, deadline=None)
@given(st.integers(3, 40), st.sets(st.integers(1, 39), max_size=20), st.integers(0, 99))
def test_a_taken_row_is_never_drawn(row_count, taken, seed):
    taken = sorted(one for one in taken if one < row_count)
    lists = tf.constant([[*taken, 0]] * 50, tf.int32)
    drawn = set(drawn_for_each(row_chances(LOG_UNIFORM, row_count), lists, tf.constant([seed, 1])).numpy().tolist())
    free = set(range(2, row_count)) - set(taken)
    assert drawn <= free if free else drawn == {0}


def test_rows_of_the_menu_that_were_not_clicked():
    menu = tf.constant([[4, 1, 2, 3, 0]] * 6_000 + [[4, 1, 0, 0, 0]])
    clicked = tf.constant([[0, 0, 1, 0, 0]] * 6_000 + [[1, 0, 0, 0, 0]])
    drawn = drawn_from_menu(menu, clicked, tf.constant([1, 2])).numpy()
    counts = np.bincount(drawn[:-1], minlength=5) / 6_000
    np.testing.assert_allclose(counts, [0, 0, 0, 0.5, 0.5], atol=4.5 * 0.5 / np.sqrt(6_000))
    assert drawn[-1] == 0  # an unknown row and padding are none


@pytest.mark.parametrize("name", [UNIFORM, LOG_UNIFORM])
def test_chances_sum_to_one(name):
    assert row_chances(name, 10_000).chances.sum() == pytest.approx(1, abs=1e-12)
