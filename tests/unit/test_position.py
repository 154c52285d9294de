"""The position bias: what it adds to a loss, that a ranking sees it only where it is kept, and that it takes from a row
its place's share."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from pagerec_dbx.errors import SettingError
from pagerec_dbx.models import losses
from pagerec_dbx.models.build import build
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.position import PositionBias
from tests.model_records import a_record


def a_model(bias, seed=3):
    config = ModelConfig(
        "single_tower_softmax", 7, 6, embedding_size=4, hidden_sizes=(8,), loss="menu_softmax", position_bias=bias
    )
    return build(config, seed)


def set_places(layer, places, pinned):
    values = {"places": places, "pinned": pinned}
    layer.set_weights([values[weight.name.split(":")[0].split("/")[-1]] for weight in layer.weights])


def test_what_a_place_adds():
    pinned = tf.constant([[0, 1, 0]])
    additive, examination = PositionBias("additive", 40), PositionBias("examination", 40)
    for layer in (additive, examination):
        set_places(layer, np.arange(40.0), pinned=10.0)
    np.testing.assert_allclose(additive(pinned), [[0, 11, 2]])
    # log sigmoid(0) = -.693147, of 11 nearly 0, of 2: -.126928
    np.testing.assert_allclose(examination(pinned), [[-0.693147, 0, -0.126928]], atol=1e-4)


def test_places_that_training_never_saw_are_taken_for_its_last():
    layer = PositionBias("additive", 3)
    set_places(layer, np.array([0.0, -1.0, -4.0]), pinned=10.0)
    np.testing.assert_allclose(layer(tf.constant([[0, 0, 0, 0, 1]])), [[0, -1, -4, -4, 6]])
    np.testing.assert_allclose(layer(tf.constant([[0, 0]])), [[0, -1]])


@pytest.mark.parametrize("bias", ["additive", "examination"])
def test_the_loss_knows_the_place_and_the_ranking_does_not(bias):
    model = a_model(bias)
    record = {**a_record(clicked=[[0, 1, 0, 0]]), "pinned": tf.constant([[1, 0, 0, 0]])}
    model.compute_loss(record)
    scores = model.menu_scores(record)
    model.position_bias.set_weights(
        [np.linspace(2, -2, weight.shape[0]) if weight.shape.rank else 1.5 for weight in model.position_bias.weights]
    )
    np.testing.assert_array_equal(model.menu_scores(record), scores)
    wanted = losses.menu_softmax(record["menu"], record["clicked"], scores + model.position_bias(record["pinned"]))
    without = losses.menu_softmax(record["menu"], record["clicked"], scores)
    assert float(model.compute_loss(record)) == pytest.approx(float(wanted[0]), abs=1e-6)
    assert float(model.compute_loss(record)) != pytest.approx(float(without[0]), abs=1e-2)


@pytest.mark.parametrize("bias", ["additive", "examination", None])
def test_it_takes_from_a_row_what_is_its_place_s(bias):
    """Rows 2 and 3 are alike, but 2 is above 3 on three pages of four; the upper place gets three clicks of four."""
    model = a_model(bias)
    orders = [([2, 3], 3), ([3, 2], 1)]
    pages = [(menu, place) for menu, share in orders for place in [0, 0, 0, 1] for _ in range(share)]
    n = len(pages)
    record = a_record(
        history=[[2, 0]] * n, history_age=[[0, 0]] * n, menu=[menu for menu, _ in pages],
        clicked=[[int(place == 0), int(place == 1)] for _, place in pages],
        **{name: [1] * n for name in ("hour", "weekday", "device", "location")},
    )  # fmt: skip
    record["pinned"] = tf.zeros_like(record["menu"])
    optimizer = tf.keras.optimizers.legacy.Adam(0.05)
    for _ in range(200):
        with tf.GradientTape() as tape:
            loss = model.compute_loss(record, training=True)
        pairs = zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables, strict=True)
        optimizer.apply_gradients([pair for pair in pairs if pair[0] is not None])
    upper, lower = model.menu_scores(record).numpy()[0]
    if bias is None:  # the control: 3 x 3 + 1 x 1 = 10 of 16 clicks, log(10 / 6) = .51
        assert upper - lower == pytest.approx(np.log(10 / 6), abs=0.05)
    else:
        assert abs(upper - lower) < 0.05
        added = model.position_bias(tf.constant([[0, 0]])).numpy()[0]
        assert added[0] - added[1] == pytest.approx(np.log(3), abs=0.05)


@pytest.mark.parametrize("bias", ["additive", "examination"])
def test_a_place_that_is_kept_speaks_in_the_ranking(bias):
    kept = dataclasses.replace(a_model(bias).config, position_kept=True)
    record = {**a_record(), "pinned": tf.constant([[1, 0, 0, 0]])}
    without, model = a_model(bias), build(kept, 3)
    set_places(model.position_bias, np.arange(40.0), pinned=10.0)
    added = np.arange(4.0) if bias == "additive" else -np.log1p(np.exp(-np.arange(4.0)))
    difference = model.menu_scores(record).numpy() - without.menu_scores(record).numpy()
    np.testing.assert_allclose(difference, np.broadcast_to(added, difference.shape), atol=1e-5)


def test_a_place_that_is_not_learnt_cannot_be_kept():
    with pytest.raises(SettingError, match="`position_kept` keeps what is not learnt"):
        ModelConfig("single_tower_softmax", 7, 6, loss="menu_softmax", position_kept=True)


def test_a_loss_without_places_is_refused():
    with pytest.raises(SettingError, match="`position_bias` does not go with loss=full_softmax"):
        ModelConfig("single_tower_softmax", 7, 6, position_bias="additive")
