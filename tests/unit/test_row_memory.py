"""What a row gains from how it fared with the viewer before, against the formula."""

import math

import numpy as np
import pytest
import tensorflow as tf

from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.row_memory import RowMemory

CONFIG = ModelConfig("", title_count=3, row_count=6, shown_length=4, row_memory=True)
DAY = 86_400
SHOWN = {
    "shown_row": [[3, 2, 3, 0], [1, 5, 0, 0]],
    "shown_position": [[1, 2, 4, 0], [1, 2, 0, 0]],
    "shown_clicked": [[1, 0, 0, 0], [1, 0, 0, 0]],
    "shown_age": [[DAY, DAY, 3 * DAY, 0], [60, 60, 0, 0]],
}
QUERY = {name: tf.constant(values, tf.int32) for name, values in SHOWN.items()}


@pytest.fixture(scope="module")
def layer():
    """Clicks fade by half a day, passes by half in two days; place 4 is looked at half as much as place 1."""
    built = RowMemory(CONFIG)
    built(QUERY, tf.range(6))
    of = {weight.name.split(":")[0].split("/")[-1]: weight for weight in built.weights}
    inverse = [math.log(math.exp(value) - 1) for value in (math.log(2), math.log(2) / 2, 0.5)]  # of softplus
    of["fade"].assign(inverse[:2])
    of["by_place"].assign(inverse[2])
    of["gain"].assign([2.0, -1.0])
    return built


def test_row_memory_is_the_formula(layer):
    # row 3 on page 0: clicked a day ago, 2^-1 = .5; passed over 3 days ago at place 4: 2^-1.5 / 4^.5 = .176777
    row_3 = 2 * math.log(1.5) - math.log(1 + 2**-1.5 / 2)
    # row 2: passed over a day ago at place 2: 2^-.5 / 2^.5 = .5
    row_2 = -math.log(1.5)
    # row 5 on page 1: passed over a minute ago at place 2; the unknown row there is nobody's
    row_5 = -math.log(1 + 2 ** (-60 / DAY / 2) / math.sqrt(2))
    wanted = [[0, 0, row_2, row_3, 0, 0], [0, 0, 0, 0, 0, row_5]]
    np.testing.assert_allclose(layer(QUERY, tf.range(6)), wanted, atol=1e-6)
    some = tf.constant([3, 5, 2])
    np.testing.assert_allclose(layer(QUERY, some), np.array(wanted)[:, [3, 5, 2]], atol=1e-6)
    own = tf.constant([[3, 0], [1, 5]])
    np.testing.assert_allclose(layer(QUERY, own), [[row_3, 0], [0, row_5]], atol=1e-6)


def test_it_begins_by_saying_nothing_and_learns():
    fresh = RowMemory(CONFIG)
    with tf.GradientTape() as tape:
        scores = fresh(QUERY, tf.range(6))
        loss = tf.reduce_sum(scores[:, 3])
    assert not np.any(scores)
    gradients = [tf.convert_to_tensor(one).numpy() for one in tape.gradient(loss, fresh.trainable_variables)]
    assert any(np.any(one != 0) for one in gradients)
