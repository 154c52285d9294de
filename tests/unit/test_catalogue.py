"""What a model knows of rows and titles: each term against its formula in NumPy, and what a new row is ranked by."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from sklearn.kernel_ridge import KernelRidge

from pagerec_dbx.errors import SettingError, TrainingError
from pagerec_dbx.models import catalogue as catalogue_module
from pagerec_dbx.models import row_kernel, viewer_taste
from pagerec_dbx.models.attributes import RowAttributes, TitleAttributes
from pagerec_dbx.models.build import build
from pagerec_dbx.models.catalogue import Catalogue, load_knowledge
from pagerec_dbx.models.config import ModelConfig, config_from_values
from pagerec_dbx.models.export import save_ranker
from pagerec_dbx.models.inputs import record_specs
from pagerec_dbx.models.names import MOMENTS
from pagerec_dbx.models.randomness import Randomness
from pagerec_dbx.models.row_kernel import RowKernel
from pagerec_dbx.models.row_rates import RowRates
from pagerec_dbx.models.row_terms import RowTerms
from pagerec_dbx.models.viewer_taste import ViewerTaste, solved_for
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


def common(token) -> float:
    """The root of ten times the share of the 9 rows that have it, by definition."""
    return np.sqrt(10 * max(0.01, sum(token in row for row in KNOWLEDGE.row_tokens.tolist()) / 9))


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
                    bias = sum(weights["biases"][token] * common(token) for token in held)
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
                + weights["offered"] * np.log10(1 + KNOWLEDGE.impressions[row, moment])
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
    bias too, 300 of 2,000, it says little. (The bias is its weight times the root of ten times 2 rows of 9.) Row 5:
    more clicks than offers, which a log may hold, is still a number."""
    knowledge = some_knowledge(CONFIG)
    knowledge.common_rate[:] = 0.1
    knowledge.clicks[2:6, 1], knowledge.impressions[2:6, 1] = [3, 0, 300, 9], [20, 0, 2_000, 4]
    knowledge.row_tokens[2:] = 0
    knowledge.row_tokens[3:5, 0] = 6
    known = Catalogue(CONFIG)
    known.learn(knowledge)
    attributes = RowAttributes(CONFIG, known)
    attributes._biases.assign(0.7 / np.sqrt(10 * 2 / 9) * (np.arange(7) == 6))
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
    many = tf.broadcast_to(tf.zeros([1, 1], tf.int32), [300_000, 100])
    assert bool(kernel.has_fewer_pairs(many))  # 3e9 pairs, which an int32 would take for a negative number


SHOWN, CLICKED = np.array([[2, 5, 8, 2, 0], [0] * 5]), np.array([[1, 0, 0, 1, 0], [0] * 5])
TASTED = {"shown_row": SHOWN, "shown_clicked": CLICKED, "moment": np.array([7, 7])}
TASTED = {name: tf.constant(values, tf.int32) for name, values in TASTED.items()}


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


def test_an_export_holds_no_tables(tmp_path):
    config = dataclasses.replace(CONFIG, name="page_ranker")
    model = build(config, seed=3)
    model.learn_knowledge(KNOWLEDGE)
    names = {"titles": 10, "rows": 7, "devices": 2, "locations": 2}
    vocabularies = {kind: [f"{kind} {number}" for number in range(count)] for kind, count in names.items()}
    module = save_ranker(model, config, vocabularies, tmp_path / "ranker").module

    def numbers() -> list[tuple[int, ...]]:
        """Shapes of what the graph holds beside variables and lookup tables."""
        graph = tf.function(module._masked, autograph=False).get_concrete_function(record_specs(config))
        return [tuple(one.shape) for one in graph.captured_inputs if one.dtype != tf.resource]

    assert numbers() == []
    model.learn_knowledge(KNOWLEDGE)  # the control
    assert numbers() == [(3, 81)]


def test_all_fields_past_the_last_that_is_told_apart_count_as_that():
    tokens = np.array([[1, 2, 3], [4, 5, 6]], np.int32)
    numbers = np.array([-1, 5, 62, 63, 64, 200, -1], np.int32)
    fields = dataclasses.replace(KNOWLEDGE, row_tokens=tokens, token_fields=numbers).fields()
    assert fields.tolist() == [[5, 62, 63], [63, 63, 0]]  # the last one is a number's, and of no field


def test_commonness_is_held_at_that_of_a_hundredth_of_all_rows():
    """Of 400 rows 1 has attribute 1, the share of a hundredth at least: the root of .1; 160 have attribute 2: of 4."""
    tokens = np.zeros((400, 1), np.int32)
    tokens[0], tokens[1:161] = 1, 2
    known = dataclasses.replace(KNOWLEDGE, row_tokens=tokens)
    assert known.commonness()[1:3] == pytest.approx([np.sqrt(0.1), 2.0])


def test_tables_that_take_too_much_memory_are_not_made(catalogue, monkeypatch):
    kernel = RowKernel(CONFIG, catalogue)
    kernel.learn_tables()
    fields = len(set(KNOWLEDGE.fields()[KNOWLEDGE.row_tokens > 0]))
    assert kernel._tables.shape == [fields, 81] and fields == 3
    monkeypatch.setattr(row_kernel, "_MOST_BYTES", fields * 81 * 4 - 1)
    kernel.learn_tables()
    assert kernel._tables is None


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


def test_a_network_without_rates_is_refused():
    with pytest.raises(SettingError, match="`row_network` has nothing to read"):
        dataclasses.replace(CONFIG, row_rates=False, row_network=4)


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
