"""Propensities of places: counted, estimated, and what they make of a loss."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from pagerec_dbx.errors import SettingError, TrainingError
from pagerec_dbx.models.build import build
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.training.propensities import PlaceCounts, by_em, click_weights, from_randomized

TRUE = 1 / np.arange(1, 9)  # of eight places


def drawn(is_random: bool, pages: int = 60_000) -> PlaceCounts:
    """Page views of eight of twelve rows, the liked ones on top unless the order is random; clicks by the model."""
    draw = np.random.default_rng(7)
    likes = np.linspace(0.05, 0.6, 12)
    noise = draw.random([pages, 12]) + (0 if is_random else 1.2) * likes
    rows = np.argsort(-noise, axis=1)[:, :8]
    clicks = draw.random([pages, 8]) < TRUE * likes[rows]
    shown, clicked = np.zeros([8, 12], np.int64), np.zeros([8, 12], np.int64)
    places = np.broadcast_to(np.arange(8), rows.shape)
    np.add.at(shown, (places, rows), 1)
    np.add.at(clicked, (places[clicks], rows[clicks]), 1)
    return PlaceCounts(shown, clicked)


def test_places_of_random_pages_are_told_by_their_clicks():
    # 100, 50 and 60 clicks on 1,000 page views each: the last two average to 55, shares 1, .55, .55
    shown = np.full([3, 1], 1_000)
    clicked = np.array([[1_000], [500], [600]])
    np.testing.assert_allclose(from_randomized(PlaceCounts(10 * shown, clicked)), [1, 0.55, 0.55])
    np.testing.assert_allclose(from_randomized(drawn(is_random=True)), TRUE, atol=0.03)


def test_em_tells_the_place_from_the_row_where_the_share_of_clicks_cannot():
    counts = drawn(is_random=False)
    naive = counts.clicked.sum(axis=1) / counts.shown.sum(axis=1)
    assert np.abs(naive / naive[0] - TRUE).max() > 0.04  # the control: good rows stand on top
    np.testing.assert_allclose(by_em(counts), TRUE, atol=0.03)


def test_too_few_random_pages_are_refused():
    few = PlaceCounts(np.full([3, 1], 10_000), np.full([3, 1], 300))
    with pytest.raises(TrainingError, match="at least 1,000 in the training snapshot, got 900. .*propensities=em"):
        from_randomized(few)


def test_places_that_no_page_view_has_do_no_harm():
    shown, clicked = np.array([[9_000], [9_000], [0]]), np.array([[900], [450], [0]])
    np.testing.assert_allclose(from_randomized(PlaceCounts(shown, clicked)), [1, 0.5, 0.5])
    np.testing.assert_allclose(by_em(PlaceCounts(shown, clicked)), [1, 0.5, 0.5], atol=1e-3)


def test_a_click_counts_the_inverse_up_to_ten():
    np.testing.assert_allclose(click_weights(np.array([1.0, 0.5, 0.01, 0.0])), [1, 2, 10, 10])


def test_every_click_s_part_of_the_loss_is_weighed():
    config = ModelConfig(
        "single_tower_softmax", title_count=6, row_count=7, embedding_size=4, hidden_sizes=(5,), history_length=3,
        loss="menu_softmax", propensities="em",
    )  # fmt: skip
    model = build(config, seed=3)
    record = {
        "history": [[2, 3, 0], [4, 0, 0]], "history_age": [[9, 5, 0], [7, 0, 0]], "menu": [[2, 3, 4], [6, 5, 0]],
        "clicked": [[1, 0, 1], [0, 1, 0]], "pinned": [[0, 0, 0], [0, 0, 0]],
        **dict.fromkeys(("hour", "weekday", "device", "location"), [0, 0]),
    }  # fmt: skip
    record = {name: tf.constant(values, tf.int32) for name, values in record.items()}
    logits = model.menu_scores(record).numpy()
    log_chances = [row - np.log(np.exp(row).sum()) for row in (logits[0], logits[1][:2])]
    plain = [-(log_chances[0][0] + log_chances[0][2]) / 2, -log_chances[1][1]]
    assert float(model.compute_loss(record)) == pytest.approx(np.mean(plain), rel=1e-5)
    model.learn_click_weights(np.array([1.0, 3.0, 4.0], np.float32))
    # half of each of the first page's two clicks, times 1 and 4; the second page's one click, times 3
    weighed = [-(1 * log_chances[0][0] + 4 * log_chances[0][2]) / 2, -3 * log_chances[1][1]]
    assert float(model.compute_loss(record)) == pytest.approx(np.mean(weighed), rel=1e-5)


def test_a_place_is_modelled_or_weighed_and_not_both():
    sound = ModelConfig("", title_count=4, row_count=4, loss="menu_softmax", propensities="randomized")
    with pytest.raises(SettingError, match="`propensities` does not go with position_bias"):
        dataclasses.replace(sound, position_bias="additive")
