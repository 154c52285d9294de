"""The network over what is known of a row, and models that tell rows apart by nothing else."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from pagerec_dbx.errors import SettingError
from pagerec_dbx.models.build import build
from pagerec_dbx.models.randomness import Randomness
from pagerec_dbx.models.row_terms import RowTerms
from tests.knowledge import some_knowledge
from tests.known_rows import CONFIG, EVERY, ROWS, TASTED, learnt
from tests.unit.test_model_options import records


@pytest.fixture
def catalogue():
    return learnt()


def test_row_network_is_the_formula_over_what_is_known(catalogue):
    """With the terms' other gains at nothing the score is w . relu(W parts + b), and to begin with it is 0."""
    config = dataclasses.replace(CONFIG, row_network=4)
    terms = RowTerms(config, catalogue, Randomness())
    query = {**TASTED, "fields": [tf.zeros([2, 3])]}
    without = RowTerms(CONFIG, catalogue, Randomness())
    begin = [layer(tf.zeros([2, 4]), query, tf.constant(ROWS)).numpy() for layer in (terms, without)]
    np.testing.assert_allclose(begin[0], begin[1], atol=1e-6)
    draw = np.random.default_rng(7)
    for weight in terms._network.trainable_variables:
        weight.assign(draw.normal(size=weight.shape))
    kernel, bias, out = (weight.numpy() for weight in terms._network.trainable_variables)
    terms._attributes._biases.assign(draw.normal(size=7))
    parts = [terms._rates.parts(query, tf.constant(ROWS)), terms._taste.parts(query, tf.constant(ROWS))]
    parts = np.concatenate([*parts, terms._attributes.biases(tf.constant(ROWS)).numpy()[..., None]], axis=2)
    assert parts.shape == (2, 4, 2 + 4 + 1)
    summed = parts[..., 0] + parts[..., 2]  # as they begin: the odds, and the taste
    wanted = summed + (np.maximum(parts @ kernel + bias, 0) @ out)[..., 0]
    got = terms(tf.zeros([2, 4]), query, tf.constant(ROWS)).numpy()
    np.testing.assert_allclose(got, wanted, atol=1e-4)
    assert np.abs(wanted - summed).max() > 0.1
    every = terms(tf.zeros([2, 9]), query, tf.constant(EVERY)).numpy()  # of all rows at once the same
    np.testing.assert_allclose(np.take_along_axis(every, ROWS, axis=1), got, atol=1e-4)


def test_a_network_without_rates_is_refused():
    with pytest.raises(SettingError, match="`row_network` has nothing to read"):
        dataclasses.replace(CONFIG, row_rates=False, row_network=4)


def test_without_own_weights_rows_are_told_apart_by_what_is_known_of_them():
    config = dataclasses.replace(CONFIG, name="page_ranker", own_weights=False, title_attributes=0, row_network=4)
    model, batch = build(config, seed=3), records(6)
    known_by_id = {config.row_count, config.title_count}
    assert not any(known_by_id & set(weight.shape) for weight in model.trainable_variables)
    knowledge = some_knowledge(config)
    for array in (knowledge.row_tokens, knowledge.clicks, knowledge.impressions):
        array[3] = array[4]  # of row 3 the same is known as of row 4
    model.learn_knowledge(knowledge)
    scores = model.vocabulary_scores(batch).numpy()
    np.testing.assert_allclose(scores[:, 3], scores[:, 4], atol=1e-5)
    assert np.abs(scores[:, 3] - scores[:, 5]).max() > 0.01
    np.testing.assert_allclose(
        model.menu_scores(batch), np.take_along_axis(scores, batch["menu"].numpy(), axis=1), atol=1e-5
    )
    with_own = build(dataclasses.replace(config, own_weights=True), seed=3)  # the control
    with_own.learn_knowledge(knowledge)
    scores = with_own.vocabulary_scores(batch).numpy()
    assert np.abs(scores[:, 3] - scores[:, 4]).max() > 1e-3


@pytest.mark.parametrize("changed", [{"name": "two_tower_softmax"}, {"row_rates": False}, {"row_attributes": 0}])
def test_what_leaves_nothing_to_tell_rows_apart_by_is_refused(changed):
    sound = dataclasses.replace(CONFIG, name="page_ranker", own_weights=False, viewer_taste=False, title_attributes=0)
    with pytest.raises(SettingError, match="`own_weights` leaves nothing that tells rows apart"):
        dataclasses.replace(sound, **changed)


@pytest.mark.parametrize("changed", [{"factorisation": True}, {"context": ("hour",)}, {"title_attributes": 2}])
def test_what_is_known_by_ids_is_refused_without_own_weights(changed):
    sound = dataclasses.replace(CONFIG, name="page_ranker", own_weights=False, title_attributes=0)
    with pytest.raises(SettingError, match="goes without what is learnt for ids") as refused:
        dataclasses.replace(sound, **changed)
    assert f"got {next(iter(changed))}" in str(refused.value)
