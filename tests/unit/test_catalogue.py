"""What a model knows of rows and titles: each term against its formula in NumPy, and what a new row is ranked by."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from sklearn.kernel_ridge import KernelRidge

from pagerec_dbx.errors import SettingError, TrainingError
from pagerec_dbx.models import catalogue as catalogue_module
from pagerec_dbx.models.attributes import RowAttributes, TitleAttributes
from pagerec_dbx.models.build import build
from pagerec_dbx.models.catalogue import Catalogue, load_knowledge
from pagerec_dbx.models.config import ModelConfig, config_from_values
from pagerec_dbx.models.names import MOMENTS
from pagerec_dbx.models.row_kernel import RowKernel
from pagerec_dbx.models.row_rates import RowRates
from pagerec_dbx.models.viewer_taste import ViewerTaste
from tests.knowledge import some_knowledge
from tests.unit.test_model_options import records

CONFIG = ModelConfig(
    "single_tower_softmax", 12, 9, device_count=4, location_count=4, history_length=4, shown_length=5, embedding_size=3,
    hidden_sizes=(5,), row_attributes=3, title_attributes=2, attribute_tokens=7, row_rates=True, viewer_taste=True,
    loss="menu_softmax",
)  # fmt: skip
KNOWLEDGE = some_knowledge(CONFIG)
ROWS = np.array([[2, 5, 8, 1], [3, 3, 7, 0]], np.int32)
EVERY = np.arange(9, dtype=np.int32)


@pytest.fixture
def catalogue():
    catalogue = Catalogue(CONFIG)
    catalogue.learn(KNOWLEDGE)
    return catalogue


def filled(layer, *inputs):
    """The layer with weights drawn by chance, which are handed out by name."""
    layer(*inputs)
    draw = np.random.default_rng(5)
    for weight in layer.trainable_variables:
        weight.assign(draw.normal(size=weight.shape))
    return {weight.name.split("/")[-1].split(":")[0]: weight.numpy() for weight in layer.trainable_variables}


def test_row_attributes_are_the_formula(catalogue):
    layer = RowAttributes(dataclasses.replace(CONFIG, row_rates=False), catalogue)  # with rates its biases are theirs
    fields = np.random.default_rng(2).normal(size=[2, 2, 3])
    query = {"fields": [tf.constant(field, tf.float32) for field in fields]}
    weights = filled(layer, query, tf.constant(ROWS))
    for rows in (ROWS, EVERY):
        got = layer(query, tf.constant(rows)).numpy()
        for page, of_page in enumerate(np.broadcast_to(rows, [2, rows.shape[-1]])):
            for place, row in enumerate(of_page):
                held = [token for token in KNOWLEDGE.row_tokens[row] if token]
                wanted = 0.0
                if held:
                    vector = np.mean([weights["vectors"][token] for token in held], axis=0)
                    bias = sum(weights["biases"][token] for token in held)
                    wanted = bias + fields[:, page].sum(axis=0) @ vector
                assert got[page, place] == pytest.approx(wanted, abs=1e-5)


def test_title_attributes_are_means_of_means(catalogue):
    layer, history = TitleAttributes(CONFIG, catalogue), np.array([[3, 4, 11, 0], [0, 0, 0, 0], [1, 0, 0, 0]], np.int32)
    vectors = filled(layer, tf.constant(history))["vectors"]
    about = []
    for titles in ([3, 4, 11], [], [1]):
        means = [vectors[KNOWLEDGE.title_tokens[one]][KNOWLEDGE.title_tokens[one] > 0] for one in titles]
        means = [mean.mean(axis=0) if len(mean) else np.zeros(3) for mean in means]
        about.append(np.mean(means, axis=0) if means else np.zeros(3))
    np.testing.assert_allclose(layer(tf.constant(history)), about, atol=1e-6)
    assert np.abs(about[0]).max() > 0.1


@pytest.mark.parametrize(("served_at", "moment"), [(0, 0), (9, 0), (10, 1), (19, 1), (500, 50), (99_999, MOMENTS)])
def test_a_page_view_knows_what_happened_before_the_last_moment_that_had_passed(catalogue, served_at, moment):
    record = {"menu": tf.zeros([1, 2], tf.int32), "served_at": tf.constant([served_at])}
    assert catalogue.moment(record).numpy().tolist() == [moment]
    del record["served_at"]
    assert catalogue.moment(record).numpy().tolist() == [MOMENTS + 1]  # a page to be ranked comes after all


def click_odds_of(clicks, impressions, common, k=10.0, bias=0.0) -> float:
    """By definition, in plain Python."""
    prior = 1 / (1 + (1 / common - 1) * np.exp(-bias))
    rate = (clicks + k * prior) / (impressions + k)
    return np.log(rate / (1 - rate)) - np.log(common / (1 - common))


def click_odds(row, moment, k=10.0, bias=0.0) -> float:
    counts = (KNOWLEDGE.clicks[row, moment], KNOWLEDGE.impressions[row, moment], KNOWLEDGE.common_rate[moment])
    return click_odds_of(*counts, k, bias)


def test_row_rates_are_those_of_the_page_view_s_moment(catalogue):
    layer, query = RowRates(catalogue), {"moment": tf.constant([3, 50])}
    to_begin_with = [click_odds(row, 50) for row in ROWS[1]]
    np.testing.assert_allclose(layer(query, tf.constant(ROWS))[1], to_begin_with, atol=1e-5)
    weights = filled(layer, query, tf.constant(ROWS))
    for rows in (ROWS, EVERY):
        offered = np.broadcast_to(rows, [2, rows.shape[-1]])
        wanted = [
            [
                weights["rate"] * click_odds(row, moment, 10 * np.exp(weights["smoothing"]))
                + weights["offered"] * np.log1p(KNOWLEDGE.impressions[row, moment])
                for row in of_page
            ]
            for of_page, moment in zip(offered, (3, 50), strict=True)
        ]
        np.testing.assert_allclose(layer(query, tf.constant(rows)), wanted, atol=1e-5)


def test_a_rate_is_shrunk_to_that_of_rows_with_the_same_attributes(catalogue):
    """The sum of a row's biases moves its prior's odds, and the more it was offered the less it says."""
    attributes = RowAttributes(CONFIG, catalogue)
    rates, query = RowRates(catalogue, attributes), {"moment": tf.constant([3, 50]), "fields": [tf.zeros([2, 3])]}
    assert not attributes(query, tf.constant(ROWS)).numpy().any()
    filled(attributes, query, tf.constant(ROWS))
    biases = attributes.biases(tf.constant(EVERY)).numpy()
    assert np.abs(biases).max() > 0.1
    wanted = [click_odds(row, 50, bias=biases[row]) for row in ROWS[1]]
    np.testing.assert_allclose(rates(query, tf.constant(ROWS))[1], wanted, atol=1e-5)
    # the control: biases say nothing in the score beside that, unless there are no rates
    assert not attributes(query, tf.constant(ROWS)).numpy().any()
    alone = RowAttributes(dataclasses.replace(CONFIG, row_rates=False), catalogue)
    filled(alone, query, tf.constant(ROWS))
    np.testing.assert_allclose(alone(query, tf.constant(EVERY))[0], alone.biases(tf.constant(EVERY)), atol=1e-6)


def test_a_rate_worked_out_by_hand():
    """Row 2: 3 clicks of 20, all rows 1 of 10, 10 times offered more: (3 + 1) / (20 + 10), odds 4 / 26 over 1 / 9.
    Row 3: nothing was offered, so the odds are those of all times e to its only attribute's bias, .7. Row 4: with that
    bias too, 300 of 2,000, it says little. Row 5: more clicks than offers, which a log may hold, is still a number."""
    knowledge = some_knowledge(CONFIG)
    knowledge.common_rate[:] = 0.1
    knowledge.clicks[2:6, 1], knowledge.impressions[2:6, 1] = [3, 0, 300, 9], [20, 0, 2_000, 4]
    knowledge.row_tokens[2:6] = 0
    knowledge.row_tokens[3:5, 0] = 6
    known = Catalogue(CONFIG)
    known.learn(knowledge)
    attributes = RowAttributes(CONFIG, known)
    attributes._biases.assign(0.7 * (np.arange(7) == 6))
    odds = RowRates(known, attributes).odds(tf.constant([2, 3, 4, 5]), tf.constant([1]))[0].numpy()
    assert odds[:2] == pytest.approx([np.log((4 / 26) / (1 / 9)), 0.7], abs=1e-5)
    without = np.log((301 / 1_709) / (1 / 9))  # (300 + 1) of (2,000 + 10)
    assert 0 < odds[2] - without < 0.01
    assert np.isfinite(odds[3]) and odds[3] > 1


def test_a_model_that_was_not_told_what_is_known_scores_numbers():
    model = build(dataclasses.replace(CONFIG, name="single_tower_softmax"), seed=3)
    assert not any(weight.numpy().any() for weight in model.catalogue.weights)
    assert np.isfinite(model.menu_scores(records(6))).all()


def test_a_single_page_is_ranked_without_the_table_of_all_pairs_and_a_batch_with_it(catalogue):
    kernel = RowKernel(CONFIG, catalogue)
    # 9 rows: 81 pairs; one page view has 5 x 5 = 25, three 75, four 100
    found = [bool(kernel.has_fewer_pairs(tf.zeros([pages, 5], tf.int32))) for pages in (1, 3, 4)]
    assert found == [False, False, True]


@pytest.mark.parametrize("by_pairs", [True, False], ids=["by pairs", "by attributes"])
def test_viewer_taste_is_the_kernel_ridge_regression_of_scikit_learn(catalogue, by_pairs, monkeypatch):
    monkeypatch.setattr(RowKernel, "has_fewer_pairs", lambda kernel, shown: tf.constant(by_pairs))
    monkeypatch.setattr(catalogue_module, "_RARE", 2)
    catalogue.learn(KNOWLEDGE)
    rates = RowRates(catalogue)
    as_they_begin = rates.get_weights()
    layer = ViewerTaste(CONFIG, catalogue, rates)
    shown, clicked = np.array([[2, 5, 8, 2, 0], [0] * 5], np.int32), np.array([[1, 0, 0, 1, 0], [0] * 5], np.int32)
    query = {"shown_row": shown, "shown_clicked": clicked, "moment": np.array([7, 7])}
    query = {name: tf.constant(values, tf.int32) for name, values in query.items()}
    weights = filled(layer, query, tf.constant(ROWS))
    layer._gain.assign(3.0)  # as it begins
    weights["gain"] = 3.0
    weights["rate"] = layer._rate.numpy()  # not that of its rates, which have one of that name
    rates.set_weights(as_they_begin)
    softplus = {name: np.log1p(np.exp(value)) for name, value in weights.items()}
    having = [sum(token in row for row in KNOWLEDGE.row_tokens.tolist()) for token in range(7)]
    rarity = [min(1.0, np.sqrt(2 / max(one, 1))) for one in having]
    assert max(having[1:]) > 2

    def features(rows):
        matrix = np.zeros([len(rows), 7 + 2])
        for place, row in enumerate(rows):
            held = [token for token in KNOWLEDGE.row_tokens[row] if token]
            for token in held:
                matrix[place, token] = softplus["tokens"][token] * rarity[token] / np.sqrt(len(held))
            matrix[place, 7:] = softplus["constant"], softplus["rate"] * click_odds(row, 7)
        return matrix

    before = shown[0, :4]
    odds = np.array([click_odds(row, 7) for row in before])
    expected = 1 / (1 + np.exp(-weights["of_rate"] * odds - weights["expected"]))
    ridge = KernelRidge(alpha=softplus["noise"]).fit(features(before), clicked[0, :4] - expected)
    for rows in (ROWS, EVERY):
        got = layer(query, tf.constant(rows)).numpy()
        wanted = weights["gain"] * ridge.predict(features(np.broadcast_to(rows, [2, rows.shape[-1]])[0]))
        np.testing.assert_allclose(got[0], wanted, atol=1e-4)
        assert not got[1].any()  # nothing was shown: nothing is known of this viewer's taste
    assert np.abs(got[0]).max() > 0.1


def test_a_row_that_training_never_saw_is_ranked_by_its_attributes():
    """Whatever stands at its id, its own weights say nothing."""
    config = dataclasses.replace(CONFIG, factorisation=True, target_attention=True, shown_attention=True)
    model, batch = build(config, seed=3), records(6)
    knowledge = some_knowledge(config, new_rows=[4])
    knowledge.row_tokens[4], knowledge.row_tokens[5] = [1, 2, 3], [6, 0, 0]
    knowledge.clicks[4] = knowledge.clicks[1]
    knowledge.impressions[4] = knowledge.impressions[1]
    model.learn_knowledge(knowledge)
    of_rows = lambda: (model.menu_scores(batch).numpy(), model.vocabulary_scores(batch).numpy())  # noqa: E731
    batch["menu"] = tf.constant([[4, 5, 1, 6, 7, 8]] * 6)
    menu, every = of_rows()
    np.testing.assert_allclose(menu, every[:, [4, 5, 1, 6, 7, 8]], atol=1e-5)
    for weight in model.trainable_variables:  # what stands at its own id says nothing
        if weight.shape.rank and weight.shape[0] == config.row_count:
            weight.assign(weight + 9.0 * (np.arange(9) == 4).reshape([-1] + [1] * (weight.shape.rank - 1)))
    np.testing.assert_allclose(of_rows()[0], menu, atol=1e-5)
    model.learn_knowledge(dataclasses.replace(knowledge, is_new=np.zeros(9, np.int32)))
    assert np.abs(of_rows()[0][:, 0] - menu[:, 0]).min() > 0.1  # the control: of a row that was seen it says a lot
    bare = dataclasses.replace(knowledge, row_tokens=knowledge.row_tokens * (np.arange(9) != 4)[:, None])
    model.learn_knowledge(bare)
    without = of_rows()[0]
    assert np.abs(without[:, 0] - menu[:, 0]).max() > 1e-3  # its attributes do


def test_knowledge_is_read_back_and_its_absence_told(tmp_path):
    KNOWLEDGE.save(tmp_path / "run" / "knowledge.npz")
    again = load_knowledge(tmp_path / "run" / "knowledge.npz")
    for field in dataclasses.fields(KNOWLEDGE):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(KNOWLEDGE, field.name))
    with pytest.raises(TrainingError, match="what is known of rows and titles cannot be read"):
        load_knowledge(tmp_path / "other.npz")
    for half in (b"", b"PK", b"PK\x03\x04half"):
        (tmp_path / "cut.npz").write_bytes(half)
        with pytest.raises(TrainingError, match="cannot be read"):
            load_knowledge(tmp_path / "cut.npz")


def test_a_ranker_that_was_saved_before_a_setting_came_is_read():
    values = dataclasses.asdict(CONFIG)
    assert config_from_values(values) == CONFIG
    del values["attribute_fields"], values["title_attributes"]
    assert config_from_values(values) == dataclasses.replace(CONFIG, title_attributes=0)


def test_taste_without_attributes_or_rows_shown_before_is_refused():
    with pytest.raises(SettingError, match="`viewer_taste` needs what rows are about"):
        dataclasses.replace(CONFIG, row_attributes=0)
    with pytest.raises(SettingError, match="`viewer_taste` needs what was shown before"):
        dataclasses.replace(CONFIG, shown_length=0)
