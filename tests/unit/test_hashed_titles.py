"""Titles that share embeddings by hashing: which rows they get, how seldom two get the same, how they are learnt."""

import collections

import numpy as np
import pytest
import tensorflow as tf

from pagerec_dbx.config import ModelSettings, TrainSettings
from pagerec_dbx.errors import SettingError
from pagerec_dbx.models.build import build, parameter_count
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.embeddings import Embeddings, hashed_rows
from pagerec_dbx.training.optimizer import optimizer_of
from tests.model_records import a_record


def test_rows_are_those_of_plain_integers():
    ids = [1, 2, 9_999, 5_000_000, 2**31 - 1]
    first, second = (rows.numpy().tolist() for rows in hashed_rows(tf.constant(ids), 1_000))
    assert first == [(1_580_030_173 * one + 59_260_789) % (2**31 - 1) % 1_000 for one in ids]
    assert second == [(1_164_413_355 * one + 1_025_466_571) % (2**31 - 1) % 1_000 for one in ids]


def test_hardly_two_titles_get_the_same_rows():
    """200,000 titles, 20,000 rows: by chance 2e5^2 / 2 / 2e4^2 = 50 pairs with both alike, 50 with both swapped."""
    rows = np.sort(np.stack([row.numpy() for row in hashed_rows(tf.range(2, 200_002), 20_000)]), axis=0)
    same = sum(count - 1 for count in collections.Counter(map(tuple, rows.T)).values() if count > 1)
    assert same <= 150  # a sum does not see the order
    by_one = len(rows[0]) - len(set(rows[0]))
    assert by_one > 100_000  # the control: with one function nearly all share


def test_each_row_has_about_as_many_titles():
    for rows in hashed_rows(tf.range(2, 200_002), 1_000):
        counts = np.bincount(rows.numpy(), minlength=1_000)
        assert counts.min() > 120 and counts.max() < 280  # 200 on average, standard deviation 14


def test_a_title_is_the_sum_of_its_rows():
    layer = Embeddings(size=50, dimension=2, name="tower", buckets=4)
    table = np.array([[1.0, 0.0], [10.0, 0.0], [0.0, 100.0], [0.0, 1000.0]])
    layer.set_weights([table])
    first, second = (rows.numpy() for rows in hashed_rows(tf.constant([7, 9, 1]), 4))
    seven, nine, unknown = table[first] + table[second]
    pooled = layer.mean(tf.constant([[7, 9, 0], [7, 7, 7], [60, 0, 0], [0, 0, 0]]))  # 60 is past the size: unknown
    np.testing.assert_allclose(pooled, [(seven + nine) / 2, seven, unknown, [0, 0]])


@pytest.mark.parametrize("name", ["two_tower_softmax", "legacy_binary"])
def test_the_table_has_so_many_rows_whatever_the_vocabulary(name):
    plain, shared = (
        build(ModelConfig(name, title_count=1_000, row_count=10, title_buckets=buckets), seed=1)
        for buckets in (None, 30)
    )
    assert parameter_count(plain) - parameter_count(shared) == (1_000 - 30) * 64


def test_shared_rows_move_as_by_dense_adam_in_the_first_step():
    """A row named by several titles, or twice by one, is moved once by the sum; later steps differ by design."""
    config = ModelConfig("two_tower_softmax", 100, 10, embedding_size=4, hidden_sizes=(8,), title_buckets=5)
    record = a_record(history=[list(range(2, 22))], menu=[[2, 3, 4]], clicked=[[1, 0, 0]])
    moved = []
    for name in ("lazy_adam", "adam"):
        model = build(config, seed=3)
        optimizer = optimizer_of(TrainSettings(optimizer=name), 1, 10)
        with tf.GradientTape() as tape:
            loss = model.compute_loss(record, training=True)
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        moved.append(variables[0].numpy())
    assert moved[0].shape == (5, 4)
    np.testing.assert_allclose(moved[0], moved[1], atol=1e-6)
    assert np.abs(moved[0] - build(config, seed=3).trainable_variables[0].numpy()).min() > 1e-5  # all five moved


def test_fewer_than_two_buckets_are_refused():
    with pytest.raises(SettingError, match="title_buckets.*at least 2, or null"):
        ModelSettings(title_buckets=1)
