"""What models are trained for: that each loss is asked of the right scores, by every model."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pagerec_dbx.errors import SettingError
from pagerec_dbx.models import losses
from pagerec_dbx.models.build import build, parameter_count
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.names import LEGACY_BINARY, MODEL_NAMES, MODEL_SETTINGS, PAGE_RANKER
from tests.knowledge import some_knowledge
from tests.model_records import a_record

MODELS = [name for name in MODEL_NAMES if name != LEGACY_BINARY]  # which is two_tower_binary, of other sizes
DOCS = Path(__file__).parents[2] / "docs" / "models.md"
ROWS = 9
RECORD = a_record(
    history=[[2, 3, 0], [4, 0, 0], [0, 0, 0]],
    history_age=[[0] * 3] * 3,
    menu=[[2, 3, 4, 0], [8, 5, 99, 2], [6, 2, 1, 0]],
    clicked=[[0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 0]],
    **{name: [1] * 3 for name in ("hour", "weekday", "device", "location", "day")},
)
MENU = np.array([[2, 3, 4, 0], [8, 5, 1, 2], [6, 2, 1, 0]])  # 99 is unknown


SHOWN = {
    "shown_row": [[3, 5], [8, 0], [0, 0]],
    "shown_position": [[1, 2], [3, 0], [0, 0]],
    "shown_clicked": [[1, 0], [0, 0], [0, 0]],
    "shown_age": [[600, 600], [90, 0], [0, 0]],
}
RECORD |= {name: tf.constant(values) for name, values in SHOWN.items()} | {"served_at": tf.constant([55, 500, 1_200])}


def a_model(name, loss, **options):
    """As it was designed, small; `page_ranker` with what it knows of rows."""
    designed = {"history_encoder": "recency", "row_attributes": 3, "attribute_tokens": 7}
    designed = {**MODEL_SETTINGS[PAGE_RANKER], **designed, "dropout": 0.0, "l2": 0.0} if name == PAGE_RANKER else {}
    small = {"embedding_size": 4, "hidden_sizes": (8,), "shown_length": 2, "loss": loss}
    model = build(ModelConfig(name, 7, ROWS, **{**designed, **small, **options}), seed=3)
    if name == PAGE_RANKER:
        model.learn_knowledge(some_knowledge(model.config))
    if model.needs_click_counts:
        model.learn_click_counts(np.array([0, 1, 3, 0, 2, 0, 0, 1, 4]))
    return model


@pytest.mark.parametrize("name", MODELS)
def test_full_and_menu_softmax_are_those_of_the_model_s_scores(name):
    full = a_model(name, "full_softmax", label_smoothing=0.1)
    wanted = losses.full_softmax(MENU, RECORD["clicked"], full.vocabulary_scores(RECORD), 0.1)
    assert float(full.compute_loss(RECORD)) == pytest.approx(float(tf.reduce_mean(wanted)), abs=1e-6)
    of_menu = a_model(name, "menu_softmax", label_smoothing=0.1)
    wanted = losses.menu_softmax(MENU, RECORD["clicked"], of_menu.menu_scores(RECORD), 0.1)
    assert float(of_menu.compute_loss(RECORD)) == pytest.approx(float(tf.reduce_mean(wanted)), abs=1e-6)


def dense_gradients(model, training=True):
    with tf.GradientTape() as tape:
        loss = model.compute_loss(RECORD, training=training)
    gradients = tape.gradient(loss, model.trainable_variables, unconnected_gradients="zero")
    return float(loss), [tf.convert_to_tensor(one).numpy() for one in gradients]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("sampling", ["uniform", "log_uniform", "clicks"])
def test_with_every_row_drawn_the_sampled_softmax_trains_as_the_full_one(name, sampling):
    full, of_full = dense_gradients(a_model(name, "full_softmax"))
    sampled, of_sampled = dense_gradients(a_model(name, "sampled_softmax", sampled_rows=ROWS - 1, sampling=sampling))
    assert sampled == pytest.approx(full, abs=1e-5)
    for some, others in zip(of_sampled, of_full, strict=True):
        np.testing.assert_allclose(some, others, atol=1e-5)
    some, _ = dense_gradients(a_model(name, "sampled_softmax", sampled_rows=3, sampling=sampling))
    assert some != pytest.approx(full, abs=1e-3)  # the control


def test_a_sampled_softmax_touches_no_other_rows():
    model = a_model("single_tower_softmax", "sampled_softmax", sampled_rows=2)
    with tf.GradientTape() as tape:
        loss = model.compute_loss(RECORD, training=True)
    gradient = tape.gradient(loss, model._logits._vectors)
    assert isinstance(gradient, tf.IndexedSlices)
    assert len(set(gradient.indices.numpy())) <= 4 + 2  # the clicked rows 3, 8, 1, 2 and those drawn
    held = a_model("single_tower_softmax", "sampled_softmax", sampled_rows=2, l2=0.01)  # which is on all rows
    with tf.GradientTape() as tape:
        loss = held.compute_loss(RECORD, training=True) + tf.add_n(held.losses)
    dense = tf.convert_to_tensor(tape.gradient(loss, held._logits._vectors)).numpy()
    assert np.any(dense != 0, axis=1).all()


@pytest.mark.parametrize("name", MODELS)
def test_in_batch_softmax_is_that_of_the_clicks_of_the_batch(name):
    model = a_model(name, "in_batch_softmax")
    scores = model.vocabulary_scores(RECORD).numpy().astype(float)
    # clicked: row 3 on page 0, rows 8 and 1 on page 1, row 2 on page 2. Counts and one more of rows 1 to 8:
    # 2 4 1 3 1 1 2 5 of 19; of the 3, 2 and 3 clicks on the other pages a row is expected so many times its chance
    chances = {row: count / 19 for row, count in ((3, 1), (8, 5), (1, 2), (2, 4))}
    wanted = []
    for page, own in enumerate([(3,), (8, 1), (2,)]):
        others, number = [row for row in chances if row not in own], 4 - len(own)
        total = sum(np.exp(scores[page, row]) for row in own)
        total += sum(np.exp(scores[page, row]) / (number * chances[row]) for row in others)
        wanted.append(np.log(total) - np.mean([scores[page, row] for row in own]))
    assert float(model.compute_loss(RECORD)) == pytest.approx(np.mean(wanted), abs=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_binary_weighs_page_views_alike_and_leaves_unknown_rows_out(name):
    model = a_model(name, "binary", sampling="menu")
    record = {**RECORD, "menu": tf.constant([[2, 3, 0, 0], [8, 99, 2, 0], [6, 2, 1, 0]]),
              "clicked": tf.constant([[0, 1, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0]])}  # fmt: skip
    scores = model.vocabulary_scores(record).numpy()
    no, yes = np.logaddexp(0, scores), np.logaddexp(0, -scores)
    # left to be drawn: row 2 beside 3, row 2 beside 8 (half of page 1, whose other half is unknown), row 6 beside 2
    wanted = ((yes[0, 3] + no[0, 2]) / 2 + (yes[1, 8] + no[1, 2]) / 2 / 2 + (yes[2, 2] + no[2, 6]) / 2) / 3
    assert float(model.compute_loss(record)) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("loss", ["full_softmax", "sampled_softmax", "in_batch_softmax", "menu_softmax", "binary"])
def test_every_model_learns_by_every_loss_who_clicks_what(name, loss):
    model = a_model(name, loss, sampled_rows=4)
    # histories of title 2 click row 2, those of title 3 click row 3
    record = a_record(
        history=[[2, 0, 0], [3, 0, 0]], history_age=[[0] * 3] * 2, menu=[[2, 3, 4]] * 2,
        clicked=[[1, 0, 0], [0, 1, 0]], **{name: [1, 1] for name in ("hour", "weekday", "device", "location")},
        served_at=[55, 55], **{name: [[0, 0]] * 2 for name in SHOWN},
    )  # fmt: skip
    optimizer = tf.keras.optimizers.legacy.Adam(0.05)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            value = model.compute_loss(record, training=True)
        variables = model.trainable_variables
        gradients = tape.gradient(value, variables)
        optimizer.apply_gradients([pair for pair in zip(gradients, variables, strict=True) if pair[0] is not None])

    for _ in range(120):
        step()
    assert model.menu_scores(record).numpy().argmax(axis=1).tolist() == [0, 1]


@pytest.mark.parametrize("name", MODELS)
def test_scores_of_a_menu_are_those_of_the_vocabulary_and_move_with_the_rows(name):
    model = a_model(name, "full_softmax")
    everything = model.vocabulary_scores(RECORD).numpy()
    np.testing.assert_allclose(model.menu_scores(RECORD), np.take_along_axis(everything, MENU, axis=1), atol=1e-5)
    turned = {**RECORD, "menu": RECORD["menu"][:, ::-1]}
    np.testing.assert_allclose(model.menu_scores(turned), model.menu_scores(RECORD)[:, ::-1], atol=1e-5)


def test_single_tower_softmax_has_the_study_s_parameters():
    # history 10,000 x 64 = 640,000; dense 64 x 256 + 256 = 16,640, 256 x 128 + 128 = 32,896, 128 x 64 + 64 = 8,256,
    # 64 x 506 + 506 = 32,890: 90,682; together 730,682
    model = build(ModelConfig("single_tower_softmax", title_count=10_000, row_count=506), seed=1)
    assert parameter_count(model) == 640_000 + 90_682 == 730_682


def test_page_ranker_has_the_parameters_that_the_docs_say():
    # titles 10,000 x 32, hour, weekday and device (25 + 8 + 5) x 32, recency 3: 321,219; dense 128 x 64 + 64 = 8,256,
    # 64 x 506 + 506 = 32,890: 41,146; factorisation 506 x 32 = 16,192; attributes 1,000 x 32 + 1,000 = 33,000;
    # rates 3, memory 5, taste 64 + 6: 78; together 411,635
    sizes = {"title_count": 10_000, "row_count": 506, "device_count": 5, "shown_length": 100}
    model = build(ModelConfig(PAGE_RANKER, **sizes, **MODEL_SETTINGS[PAGE_RANKER]), seed=1)
    assert parameter_count(model) == 321_219 + 41_146 + 16_192 + 33_000 + 78 == 411_635
    assert f"{parameter_count(model):,} (5 devices)" in DOCS.read_text(encoding="utf-8")


def test_what_the_page_offers_is_nothing_to_a_single_tower():
    model = a_model("single_tower_softmax", "full_softmax")
    other = {**RECORD, "menu": RECORD["menu"][:, :2]}
    np.testing.assert_allclose(model.vocabulary_scores(other), model.vocabulary_scores(RECORD), atol=1e-6)
    two = a_model("two_tower_softmax", "full_softmax")  # the control
    assert np.abs(two.vocabulary_scores(other) - two.vocabulary_scores(RECORD)).max() > 1e-3


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"loss": "sampled_softmax", "sampled_rows": 9}, "`sampled_rows` is more than there are rows: wanted 1 to 8"),
        ({"loss": "full_softmax", "sampling": "menu"}, "`sampling` does not go with loss=full_softmax"),
        ({"loss": "sampled_softmax", "sampled_rows": 8, "label_smoothing": 0.1}, "`label_smoothing` does not go with"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, what):
    with pytest.raises(SettingError, match=what):
        ModelConfig("two_tower_softmax", 7, ROWS, **options)
    assert dataclasses.asdict(ModelConfig("two_tower_softmax", 7, ROWS))["loss"] == "full_softmax"  # the control
