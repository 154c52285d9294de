"""Cross layers and the factorisation machine against their formulas."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from pagerec_dbx.models.interaction import CrossLayers, FactorisationMachine


def test_cross_layers_are_the_formula():
    layer = CrossLayers(2, None)
    values = tf.constant([[1.0, 2.0, -1.0]])
    layer(values)
    draw = np.random.default_rng(1)
    layer.set_weights([draw.normal(size=weight.shape) for weight in layer.get_weights()])
    (first, first_bias), (second, second_bias) = (dense.get_weights() for dense in layer._wide)
    once = values * (values @ first + first_bias) + values
    np.testing.assert_allclose(layer(values), values * (once @ second + second_bias) + once, rtol=1e-5)


def test_a_rank_makes_the_weights_a_product():
    layer = CrossLayers(1, 2)
    values = tf.constant([[[1.0, 2.0, -1.0, 0.5]]])  # whatever stands before the last dimension
    layer(values)
    assert sorted(weight.shape for weight in layer.get_weights()) == [(2, 4), (4,), (4, 2)]
    narrow, (wide, bias) = layer._narrow[0].get_weights()[0], layer._wide[0].get_weights()
    np.testing.assert_allclose(layer(values), values * (values @ narrow @ wide + bias) + values, rtol=1e-5)


def test_the_penalty_is_on_all_weights_of_the_products():
    layer = CrossLayers(2, 3, tf_keras.regularizers.L2(0.1))
    layer(tf.constant([[1.0, 2.0, -1.0, 0.5]]))
    kernels = [weight for weight in layer.get_weights() if weight.ndim == 2]
    assert len(kernels) == 4
    assert float(tf.add_n(layer.losses)) == pytest.approx(0.1 * sum((kernel**2).sum() for kernel in kernels))
    assert not CrossLayers(2, 3).losses


def test_factorisation_is_the_sum_of_all_products_with_the_row():
    layer = FactorisationMachine(row_count=4, dimension=2)
    rows = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [2.0, -1.0]])
    layer.set_weights([rows])
    one, other = tf.constant([[1.0, 2.0], [0.5, 0.0]]), tf.constant([[3.0, 0.0], [0.0, 1.0]])
    # row 3 on page 0: (1, 2).(2, -1) + (3, 0).(2, -1) = 0 + 6; row 2: 2 + 0; on page 1 row 3: 1 - 1, row 2: 0 + 1
    query = {"fields": [one, other]}
    np.testing.assert_allclose(layer(query, tf.constant([3, 2])), [[6, 2], [0, 1]])
    np.testing.assert_allclose(layer(query, tf.constant([[3, 2], [2, 3]])), [[6, 2], [1, 0]])
