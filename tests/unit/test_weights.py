"""The digest by which ranks compare their weights."""

import numpy as np
import tensorflow as tf

from pagerec_dbx.training.weights import are_alike, digest


def digests(*of_ranks):
    return np.stack([digest([tf.Variable(values) for values in of_rank]) for of_rank in of_ranks])


def test_one_bit_is_noticed_and_a_gpu_may_differ_by_it():
    weights = np.linspace(-1, 1, 1_000, dtype=np.float32)
    nudged = weights.copy()
    nudged[500] = np.nextafter(nudged[500], np.float32(1))
    same, apart = digests([weights, [1]], [weights, [1]]), digests([weights, [1]], [nudged, [1]])
    assert are_alike(same, exact=True)
    assert not are_alike(apart, exact=True)
    assert are_alike(apart, exact=False)


def test_ranks_that_were_not_reduced_are_noticed_on_any_machine():
    weights = np.linspace(-1, 1, 1_000, dtype=np.float32)
    apart = digests([weights], [weights * np.float32(1.001)])
    assert not are_alike(apart, exact=True) and not are_alike(apart, exact=False)


def test_the_place_of_a_weight_matters():
    assert not are_alike(digests([np.array([1.0, 2.0])], [np.array([2.0, 1.0])]), exact=True)
