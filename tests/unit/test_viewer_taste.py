"""A viewer's taste is the regression that scikit-learn makes, whichever way rows are held against each other."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from sklearn.kernel_ridge import KernelRidge

from pagerec_dbx.errors import SettingError
from pagerec_dbx.models import catalogue as catalogue_module
from pagerec_dbx.models import row_kernel, viewer_taste
from pagerec_dbx.models.row_kernel import RowKernel
from pagerec_dbx.models.row_rates import RowRates
from pagerec_dbx.models.viewer_taste import ViewerTaste, solved_for
from tests.known_rows import CLICKED, CONFIG, EVERY, KNOWLEDGE, ROWS, SHOWN, TASTED, click_odds, filled, learnt


@pytest.fixture
def catalogue():
    return learnt()


def row_vectors(rows, of_fields, rare):
    """Rows of X by definition: the weight of the field, times the rarity, over the root of the row's number of it."""
    having = [sum(token in row for row in KNOWLEDGE.row_tokens.tolist()) for token in range(7)]
    matrix = np.zeros([len(rows), 7])
    for place, row in enumerate(rows):
        held = [token for token in KNOWLEDGE.row_tokens[row] if token and KNOWLEDGE.token_fields[token] >= 0]
        of_each = [KNOWLEDGE.token_fields[token] for token in held]
        for token, field in zip(held, of_each, strict=True):
            rarity = min(1.0, np.sqrt(rare / max(having[token], 1)))
            matrix[place, token] = of_fields[field] * rarity / np.sqrt(of_each.count(field))
    assert max(having[1:]) > rare and -1 in KNOWLEDGE.token_fields  # the tenth of a number says nothing
    return matrix


WAYS = {"looked up": (True, 1e-9), "by table": (True, 1e9), "by pairs": (False, True), "by attributes": (False, False)}


@pytest.mark.parametrize("way", WAYS)
def test_viewer_taste_is_the_kernel_ridge_regression_of_scikit_learn(catalogue, way, monkeypatch):
    has_tables, how = WAYS[way]
    if has_tables:
        monkeypatch.setattr(row_kernel, "_LOOKED_UP", how)
    monkeypatch.setattr(RowKernel, "has_fewer_pairs", lambda kernel, shown: tf.constant(bool(how)))
    monkeypatch.setattr(catalogue_module, "_RARE", 2)
    catalogue.learn(KNOWLEDGE)
    rates = RowRates(catalogue)
    as_they_begin = rates.get_weights()
    layer = ViewerTaste(CONFIG, catalogue, rates)
    if has_tables:
        layer.learn_tables()
    shown, clicked, query = SHOWN, CLICKED, TASTED
    weights = filled(layer, query, tf.constant(ROWS))
    layer._gain.assign(3.0)  # as it begins
    weights["gain"] = 3.0
    weights["rate"] = layer._rate.numpy()  # not that of its rates, which have one of that name
    rates.set_weights(as_they_begin)
    softplus = {name: np.log1p(np.exp(value)) for name, value in weights.items()}

    def features(rows):
        others = [[softplus["constant"], softplus["rate"] * click_odds(row, 7)] for row in rows]
        return np.hstack([row_vectors(rows, softplus["fields"], rare=2), others])

    before = shown[0, :4]
    odds = np.array([click_odds(row, 7) for row in before])
    expected = 1 / (1 + np.exp(-weights["of_rate"] * odds - weights["expected"]))
    ridge = KernelRidge(alpha=softplus["noise"] + 0.01).fit(features(before), clicked[0, :4] - expected)
    for rows in (ROWS, EVERY):
        got = layer(query, tf.constant(rows)).numpy()
        wanted = weights["gain"] * ridge.predict(features(np.broadcast_to(rows, [2, rows.shape[-1]])[0]))
        np.testing.assert_allclose(got[0], wanted, atol=1e-4)
        assert not got[1].any()  # nothing was shown: nothing is known of this viewer's taste
    assert np.abs(got[0]).max() > 0.1


def test_viewer_taste_bears_repeated_rows_and_noise_that_has_been_learnt_away(catalogue, monkeypatch):
    catalogue.learn(KNOWLEDGE)
    layer = ViewerTaste(CONFIG, catalogue, RowRates(catalogue))
    shown = np.tile(SHOWN[:1, :4], [1, 50]).astype(np.int32)  # 4 rows, 50 times each
    query = {**TASTED, "moment": TASTED["moment"][:1], "shown_row": tf.constant(shown)}
    query["shown_clicked"] = tf.constant(np.arange(200)[None] % 3 == 0, tf.int32)
    layer(query, tf.constant(ROWS[:1]))
    layer._noise.assign(-80.0)  # softplus: 0
    layer._kernel._weights.assign(5.0 * tf.ones_like(layer._kernel._weights))
    with tf.GradientTape() as tape:
        scores = layer(query, tf.constant(ROWS[:1]))
    gradients = tape.gradient(scores, layer.trainable_variables, unconnected_gradients="zero")
    assert all(np.isfinite(one).all() for one in (scores, *map(tf.convert_to_tensor, gradients)))
    monkeypatch.setattr(viewer_taste, "_LEAST_NOISE", 0.0)  # the control
    try:
        assert not np.isfinite(layer(query, tf.constant(ROWS[:1]))).all()
    except tf.errors.InvalidArgumentError as error:
        assert "Cholesky" in str(error)


def test_the_gradient_of_a_solution_is_that_of_tensorflow_through_its_factorisation():
    draw = np.random.default_rng(3)
    root, values, weights = (tf.constant(draw.normal(size=[2, 4, of])) for of in (4, 1, 1))

    def gradients(solve):
        with tf.GradientTape() as tape:
            tape.watch([root, values])
            matrix = tf.matmul(root, root, transpose_b=True) + tf.eye(4, dtype=tf.float64)
            total = tf.reduce_sum(weights * solve(matrix, values))
        return tape.gradient(total, [root, values])

    wanted = gradients(lambda matrix, of: tf.linalg.cholesky_solve(tf.linalg.cholesky(matrix), of))
    for got, one in zip(gradients(solved_for), wanted, strict=True):
        np.testing.assert_allclose(got, one, atol=1e-10)
        assert np.abs(one).max() > 0.1


@pytest.mark.parametrize("has_tables", [True, False], ids=["with tables", "without"])
def test_a_network_is_told_how_like_a_row_is_to_rows_clicked_and_passed_over(catalogue, has_tables, monkeypatch):
    """Of page view 1: row 2 was clicked twice, of four clicks counted (two more that are like none); 5 and 8 were
    passed over once each, of four. Page view 2 was shown nothing."""
    monkeypatch.setattr(catalogue_module, "_RARE", 2)
    catalogue.learn(KNOWLEDGE)
    layer = ViewerTaste(dataclasses.replace(CONFIG, row_network=4), catalogue, RowRates(catalogue))
    if has_tables:
        layer.learn_tables()
    weights = filled(layer, TASTED, tf.constant(ROWS))
    alike = row_vectors(EVERY, np.log1p(np.exp(weights["fields"])), rare=2)
    alike = weights["gain"] * alike @ alike.T
    wanted = np.stack([alike[:, 2] * 2 / 4, (alike[:, 5] + alike[:, 8]) / 4, np.full(9, np.log10(5))], axis=1)
    assert np.abs(wanted).max() > 0.1
    for rows in (ROWS, EVERY):
        got = layer.parts(TASTED, tf.constant(rows)).numpy()
        np.testing.assert_allclose(got[0][:, 1:], wanted[np.broadcast_to(rows, [2, rows.shape[-1]])[0]], atol=1e-5)
        assert not got[1].any()
        np.testing.assert_allclose(layer(TASTED, tf.constant(rows)), got[..., 0])


def test_taste_without_attributes_or_rows_shown_before_is_refused():
    with pytest.raises(SettingError, match="`viewer_taste` needs what rows are about"):
        dataclasses.replace(CONFIG, row_attributes=0)
    with pytest.raises(SettingError, match="`viewer_taste` needs what was shown before"):
        dataclasses.replace(CONFIG, shown_length=0)
