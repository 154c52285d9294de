"""Losses: worked out by hand, against NumPy, and the sampled one against what it estimates."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pagerec_dbx.models.losses import binary, full_softmax, log_partition, menu_softmax, sampled_softmax
from pagerec_dbx.models.sampling import LOG_UNIFORM, UNIFORM, drawn_for_all, row_chances

ROWS = 507  # the study's 506 and padding


def test_full_softmax_spreads_the_target_over_the_clicks():
    logits = tf.constant([[9.0, 0.0, 1.0, 2.0, 0.0]])  # column 0 is padding
    menu = tf.constant([[3, 2, 4, 0]])
    # log(2 e^0 + e^1 + e^2) = log(12.107338) = 2.493812; one click on row 3: 2.493812 - 2;
    # clicks on rows 3 and 2, half each: 2.493812 - (2 + 1) / 2
    one = full_softmax(menu, tf.constant([[1, 0, 0, 0]]), logits)
    two = full_softmax(menu, tf.constant([[1, 1, 0, 0]]), logits)
    np.testing.assert_allclose([one[0], two[0]], [0.493812, 0.993812], atol=1e-5)


def test_full_softmax_adds_the_shares_of_one_class():
    # both clicked rows are unknown (1): its share is 1, as if clicked once
    logits = tf.constant([[0.3, -1.0, 0.5]])
    twice = full_softmax(tf.constant([[1, 1]]), tf.constant([[1, 1]]), logits)
    once = full_softmax(tf.constant([[1, 2]]), tf.constant([[1, 0]]), logits)
    np.testing.assert_allclose(twice, once, atol=1e-6)


def a_draw(seed, clicks, rows=9, pages=3):
    """Menus of seven of eight rows, so many of each clicked; logits of nine entries."""
    draw = np.random.default_rng(seed)
    menu = np.stack([draw.permutation(np.arange(2, rows)) for _ in range(pages)]).astype(np.int32)
    clicked = np.zeros_like(menu)
    clicked[:, :clicks] = 1
    return menu, clicked, draw.normal(size=(pages, rows)).astype(np.float32)


def cross_entropy(target, logits):
    """[pages] from the formula, in float64: - sum over classes of target * log softmax."""
    shifted = logits.astype(float) - logits.max(axis=1, keepdims=True)
    log_softmax = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -(target * log_softmax).sum(axis=1)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.sampled_from([0.0, 0.1, 0.5]))
def test_full_softmax_equals_the_dense_cross_entropy(seed, clicks, smoothing):
    menu, clicked, logits = a_draw(seed, clicks)
    target = np.zeros((3, 9))
    np.put_along_axis(target, menu, clicked / clicked.sum(1, keepdims=True), axis=1)
    wanted = cross_entropy((1 - smoothing) * target[:, 1:] + smoothing / 8, logits[:, 1:])
    np.testing.assert_allclose(full_softmax(menu, clicked, tf.constant(logits), smoothing), wanted, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.sampled_from([0.0, 0.1, 0.5]))
def test_menu_softmax_equals_the_cross_entropy_of_the_rows_offered(seed, clicks, smoothing):
    menu, clicked, logits = a_draw(seed, clicks)
    of_menu = np.take_along_axis(logits, menu, axis=1)
    target = (1 - smoothing) * clicked / clicked.sum(1, keepdims=True) + smoothing / 7
    wanted = cross_entropy(target, of_menu)
    padded = [np.pad(values, ((0, 0), (0, 2))) for values in (menu, clicked)]
    with_padding = np.pad(of_menu, ((0, 0), (0, 2)), constant_values=50.0)  # whatever padding scores
    got = menu_softmax(*map(tf.constant, padded), tf.constant(with_padding), smoothing)
    np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_binary_is_the_mean_of_both_entropies():
    # -log sigmoid(1) = .313262, -log(1 - sigmoid(-1)) = .313262; alone it counts for half a pair
    both, alone = binary(tf.constant([1.0, 1.0]), tf.constant([-1.0, 7.0]), tf.constant([True, False])).numpy()
    np.testing.assert_allclose([both, alone], [0.313262, 0.313262 / 2], atol=1e-5)
    # a smoothing of .2 makes the labels .9 and .1: each entropy grows by .1 times the score's size
    smoothed = binary(tf.constant([1.0]), tf.constant([-1.0]), tf.constant([True]), smoothing=0.2)
    np.testing.assert_allclose(smoothed, [0.313262 + 0.1], atol=1e-5)


def scored(scale, pages=256, seed=0):
    """Logits of that scale, and one click a page view, drawn by them."""
    draw = np.random.default_rng(seed)
    logits = (draw.normal(size=(pages, ROWS)) * scale).astype(np.float32)
    chances = np.exp(logits[:, 1:])
    chances /= chances.sum(axis=1, keepdims=True)
    menu = np.array([[1 + draw.choice(ROWS - 1, p=one)] for one in chances], np.int32)
    return tf.constant(menu), tf.ones_like(menu), tf.constant(logits)


def sampled(menu, clicked, logits, rows, log_expected, loss=sampled_softmax):
    of_clicks, of_rows = tf.gather(logits, menu, batch_dims=1), tf.gather(logits, rows, axis=1)
    return loss(menu, clicked, of_clicks, rows, of_rows, log_expected)


def gradient(loss, logits):
    with tf.GradientTape() as tape:
        tape.watch(logits)
        total = tf.reduce_sum(loss(logits))
    return tf.convert_to_tensor(tape.gradient(total, logits)).numpy()


@pytest.mark.parametrize("chances", [UNIFORM, LOG_UNIFORM])
def test_with_every_row_drawn_it_is_the_full_softmax(chances):
    menu, clicked, logits = scored(scale=3)
    menu = tf.concat([menu, tf.ones_like(menu), 5 * tf.ones_like(menu), tf.ones_like(menu)], axis=1)
    clicked = tf.concat([clicked, clicked, 0 * clicked, clicked], axis=1)  # the unknown rows are one class
    rows, log_expected = drawn_for_all(row_chances(chances, ROWS), ROWS - 1, tf.constant([1, 2]))
    full, some = full_softmax(menu, clicked, logits), sampled(menu, clicked, logits, rows, log_expected)
    np.testing.assert_allclose(some, full, rtol=1e-5)
    of_full = gradient(lambda logits: full_softmax(menu, clicked, logits), logits)
    of_some = gradient(lambda logits: sampled(menu, clicked, logits, rows, log_expected), logits)
    np.testing.assert_allclose(of_some, of_full, atol=1e-5)


def test_a_drawn_row_is_left_out_of_the_sums_of_page_views_that_clicked_it():
    menu = tf.constant([[1, 1, 4, 0], [2, 3, 0, 0], [5, 2, 3, 0]])
    clicked = tf.constant([[1, 1, 0, 0], [0, 0, 0, 0], [1, 0, 1, 0]])  # unknown twice; none; rows 5 and 3
    rows, logits = tf.constant([1, 2, 5, 2]), tf.zeros([3, 7])
    got = np.exp(sampled(menu, clicked, logits, rows, tf.math.log([2.0, 0.5, 1.0, 0.5]), loss=log_partition))
    # e^0 of each clicked row, unknown rows being one, and 1 / Q of the rows drawn that are none of these:
    # 1 + (2 + 1 + 2); 1/2 + 2 + 1 + 2; 2 + (1/2 + 2 + 2)
    np.testing.assert_allclose(got, [6.0, 5.5, 6.5], rtol=1e-6)


def estimates(chances, number, sign, draws=400):
    """[draws, pages] the estimated sum over all rows by the full one."""
    menu, clicked, logits = scored(scale=1, pages=20)
    wanted = tf.reduce_logsumexp(logits[:, 1:], axis=1)

    @tf.function(autograph=False)
    def one(seed):
        rows, log_expected = drawn_for_all(row_chances(chances, ROWS), number, seed)
        return tf.exp(sampled(menu, clicked, logits, rows, sign * log_expected, loss=log_partition) - wanted)

    return np.stack([one(tf.constant([draw, 7])).numpy() for draw in range(draws)])


@pytest.mark.parametrize("chances", [UNIFORM, LOG_UNIFORM])
def test_the_partition_sum_is_right_on_average_over_draws(chances):
    found = estimates(chances, number=60, sign=1)
    error = found.std(axis=0) / np.sqrt(len(found))
    assert np.all(np.abs(found.mean(axis=0) - 1) < 4.5 * error)
    assert error.max() < 0.05
    flipped = estimates(chances, number=60, sign=-1)  # the control
    assert np.abs(flipped.mean(axis=0) - 1).min() > 0.3


def cosines(number, sign, draws=20):
    """Of the sampled gradient with the full one: for each page view, and of their means over page views and draws."""
    menu, clicked, logits = scored(scale=3)
    full = gradient(lambda logits: full_softmax(menu, clicked, logits), logits)
    chances = row_chances(LOG_UNIFORM, ROWS)

    @tf.function(autograph=False)
    def one(seed):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            rows, log_expected = drawn_for_all(chances, number, seed)
            loss = tf.reduce_sum(sampled(menu, clicked, logits, rows, sign * log_expected))
        return tf.convert_to_tensor(tape.gradient(loss, logits))

    some = np.stack([one(tf.constant([draw, 7])).numpy() for draw in range(draws)])
    return cosine(some, full[None]).mean(), cosine(some.mean(axis=(0, 1)), full.mean(axis=0))


def cosine(some, others):
    lengths = np.linalg.norm(some, axis=-1) * np.linalg.norm(others, axis=-1)
    return (some * others).sum(axis=-1) / lengths


def test_the_gradient_nears_the_full_one_with_the_number_drawn():
    # biased at a fixed number: the logarithm of a right sum is not right
    of_pages, of_means = zip(*(cosines(number, sign=1) for number in (20, 100, 400)), strict=True)
    np.testing.assert_allclose(of_pages, [0.80, 0.89, 0.98], atol=0.02)
    assert of_means[0] < of_means[1] < of_means[2] and of_means[0] > 0.6 and of_means[2] > 0.99
    # the control: at the scale of single page views the clicked row hides the sign, in the mean it shows
    flipped = [cosines(number, sign=-1)[1] for number in (20, 100, 400)]
    assert flipped[0] < 0.4 and flipped[1] < 0.7 and flipped[2] < 0.96
