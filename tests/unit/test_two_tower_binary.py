"""The study's binary model and the legacy's: their sizes, their pairs, worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from pagerec_dbx.config import load_settings
from pagerec_dbx.models.build import build, parameter_count
from pagerec_dbx.models.config import ModelConfig, model_config
from pagerec_dbx.models.names import MODEL_SETTINGS
from tests.model_records import a_record

SMALL = ModelConfig(
    "legacy_binary", title_count=7, row_count=5, embedding_size=4, hidden_sizes=(8, 6), dropout=0.2, loss="binary"
)


def parameters_at_the_study_s_sizes(name):
    """10,000 titles and 475 rows, with what the model was designed with."""
    settings = load_settings(designed=MODEL_SETTINGS[name]).model
    return parameter_count(build(model_config(name, settings, title_count=10_000, row_count=475), seed=1))


def test_study_sizes_give_the_study_s_parameters():
    # history 10,000 x 64 = 640,000; rows 475 x 64 = 30,400; dense 128 x 128 + 128 = 16,512, 128 x 64 + 64 = 8,256,
    # 64 + 1 = 65: 24,833; together 695,233
    assert parameters_at_the_study_s_sizes("two_tower_binary") == 640_000 + 30_400 + 24_833 == 695_233


def test_the_study_s_vocabularies_give_the_parameters_of_the_legacy():
    # history 10,000 x 100 = 1,000,000; rows 475 x 100 = 47,500; dense 200 x 128 + 128 = 25,728, 128 x 64 + 64 = 8,256,
    # 64 + 1 = 65; together 1,081,549
    assert parameters_at_the_study_s_sizes("legacy_binary") == 1_000_000 + 47_500 + 25_728 + 8_256 + 65 == 1_081_549


def test_what_the_model_was_designed_with_gives_way_to_what_is_set():
    designed = MODEL_SETTINGS["legacy_binary"]
    settings = load_settings(overrides=["epochs=3"], designed=designed)
    assert (settings.train.epochs, settings.model.dropout, settings.model.embedding_size) == (3, 0.2, 100)
    assert load_settings(designed=designed).train.epochs == 40
    assert load_settings().model.dropout == 0.0  # the control: nobody else's


def test_a_row_s_score_depends_on_no_other_row_of_the_menu():
    model = build(SMALL, seed=3)
    together = model.menu_scores(a_record(menu=[[4, 2, 99, 0]])).numpy()[0]
    alone = [float(model.menu_scores(a_record(menu=[[row]]))[0, 0]) for row in (4, 2, 1)]  # 99 is unknown: 1
    np.testing.assert_allclose(together[:3], alone, atol=1e-6)
    everything = model.vocabulary_scores(a_record()).numpy()[0]
    np.testing.assert_allclose(everything[[4, 2, 1, 0]], together, atol=1e-6)


def test_the_loss_is_the_mean_over_clicked_and_drawn_rows():
    # rows 2 and 3 are clicked, so that 4 is the only row left to be drawn, for each of the two clicks
    model = build(SMALL, seed=3)
    record = a_record(clicked=[[1, 1, 0, 0]])
    scores = model.menu_scores(record).numpy()[0]
    clicked = np.log1p(np.exp(-scores[:2]))  # -log sigmoid
    drawn = np.log1p(np.exp(scores[2]))  # -log(1 - sigmoid)
    wanted = (clicked.sum() + 2 * drawn) / 4
    assert float(model.compute_loss(record)) == pytest.approx(wanted, abs=1e-6)


def test_without_a_row_to_draw_only_the_clicks_count():
    model = build(SMALL, seed=3)
    record = a_record(clicked=[[1, 1, 1, 0]])
    clicked = np.log1p(np.exp(-model.menu_scores(record).numpy()[0, :3]))
    # a pair that lacks its other half counts for half a pair
    assert float(model.compute_loss(record)) == pytest.approx(clicked.sum() / 6, abs=1e-6)


def test_a_clicked_row_that_the_vocabulary_lacks_is_left_out():
    model = build(SMALL, seed=3)
    record = a_record(menu=[[1, 3, 0, 0], [2, 3, 0, 0]], history=[[2, 3, 0]] * 2, clicked=[[1, 0, 0, 0], [0, 1, 0, 0]])
    with tf.GradientTape() as tape:
        loss = model.compute_loss(record)
    gradient = tf.convert_to_tensor(tape.gradient(loss, model._candidate_tower.embeddings)).numpy()
    assert not gradient[:2].any()  # of padding and unknown
    assert gradient[3].any()  # the control: of the known row that was clicked


def test_dropout_is_for_training_alone():
    model = build(SMALL, seed=3)
    record = a_record(clicked=[[1, 1, 0, 0]])
    measured = {float(model.compute_loss(record)) for _ in range(3)}
    trained = {float(model.compute_loss(record, training=True)) for _ in range(5)}
    assert len(measured) == 1 and len(trained) > 1


def test_it_learns_who_clicks_what():
    model = build(SMALL, seed=3)
    # histories of title 2 click row 2, those of title 3 click row 3
    record = a_record(
        history=[[2, 0, 0], [3, 0, 0]], history_age=[[0] * 3] * 2, menu=[[2, 3, 4]] * 2,
        clicked=[[1, 0, 0], [0, 1, 0]], **{name: [1, 1] for name in ("hour", "weekday", "device", "location")},
    )  # fmt: skip
    optimizer = tf.keras.optimizers.legacy.Adam(0.05)
    for _ in range(150):
        with tf.GradientTape() as tape:
            loss = model.compute_loss(record, training=True)
        optimizer.apply_gradients(
            zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables, strict=True)
        )
    assert model.menu_scores(record).numpy().argmax(axis=1).tolist() == [0, 1]
