"""Propensities of places: counted, estimated, and what they make of a loss."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from pagerec_dbx.errors import NoExamplesError, SettingError
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


def of_size(*clicked):
    """`randomized_clicks` of page views that all have as many rows as there are numbers."""
    return np.vstack([np.zeros([len(clicked), len(clicked)]), clicked]).astype(np.int64)


def test_places_of_random_pages_are_told_by_their_clicks():
    # 1,000, 500 and 600 clicks: the last two average to 550, 1, .55 and .55 of the first
    np.testing.assert_allclose(from_randomized(of_size(1_000, 500, 600)), [1, 0.55, 0.55])
    counts = drawn(is_random=True)
    np.testing.assert_allclose(from_randomized(of_size(*counts.clicked.sum(axis=1))), TRUE, atol=0.03)


def test_places_of_two_sizes_worked_out_by_hand():
    """Pages of one row, 900 clicks, tell nothing of places; of those of two rows a third are at the second place, so it
    is looked at half as often."""
    clicked = np.array([[0, 0], [900, 0], [800, 400]])
    np.testing.assert_allclose(from_randomized(clicked), [1, 0.5], atol=1e-4)
    # all page views taken together: 1,700 clicks on 900 + 1,200 pages at the first place, 400 on 1,200 at the second
    together = (400 / 1_200) / (1_700 / 2_100)
    assert together == pytest.approx(0.41, abs=0.01)


def test_short_pages_that_are_kept_less_often_do_not_bend_the_places():
    """Pages of 2 to 8 rows of which only those with a click are known, as in a snapshot."""
    draw, clicked, shown = np.random.default_rng(11), np.zeros([9, 8], np.int64), np.zeros(8, np.int64)
    for size in range(2, 9):
        clicks = draw.random([100_000, size]) < TRUE[:size] * draw.uniform(0.05, 0.35, [100_000, size])
        kept = clicks[clicks.any(axis=1)]
        clicked[size, :size] = kept.sum(axis=0)
        shown[:size] += len(kept)
    np.testing.assert_allclose(from_randomized(clicked), TRUE, atol=0.01)
    naive = clicked.sum(axis=0) / shown
    assert np.abs(naive / naive[0] - TRUE).max() > 0.01  # the control: by the share of clicks at each place


def test_em_tells_the_place_from_the_row_where_the_share_of_clicks_cannot():
    counts = drawn(is_random=False)
    naive = counts.clicked.sum(axis=1) / counts.shown.sum(axis=1)
    assert np.abs(naive / naive[0] - TRUE).max() > 0.04  # the control: good rows stand on top
    np.testing.assert_allclose(by_em(counts), TRUE, atol=0.03)


def test_too_few_random_pages_are_refused():
    with pytest.raises(NoExamplesError, match="at least 1,000 in the training snapshot, got 900. .*propensities=em"):
        from_randomized(of_size(300, 300, 300))


def test_places_that_no_page_view_has_do_no_harm():
    shown, clicked = np.array([[9_000], [9_000], [0]]), np.array([[900], [450], [0]])
    of_two = np.array([[0, 0, 0], [0, 0, 0], [900, 450, 0], [0, 0, 0]])
    np.testing.assert_allclose(from_randomized(of_two), [1, 0.5, 0.5])
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
