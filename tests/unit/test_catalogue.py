"""What a model knows of rows and titles: as of when, of which rows, and how it is kept."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from pagerec_dbx.errors import TrainingError
from pagerec_dbx.models.build import build
from pagerec_dbx.models.catalogue import load_knowledge
from pagerec_dbx.models.config import config_from_values
from pagerec_dbx.models.names import MOMENTS
from tests.knowledge import some_knowledge
from tests.known_rows import CONFIG, KNOWLEDGE, learnt
from tests.unit.test_model_options import records


@pytest.fixture
def catalogue():
    return learnt()


@pytest.mark.parametrize(("served_at", "moment"), [(0, 0), (9, 0), (10, 1), (19, 1), (500, 50), (99_999, MOMENTS)])
def test_a_page_view_knows_what_happened_before_the_last_moment_that_had_passed(catalogue, served_at, moment):
    record = {"menu": tf.zeros([1, 2], tf.int32), "served_at": tf.constant([served_at])}
    assert catalogue.moment(record).numpy().tolist() == [moment]
    del record["served_at"]
    assert catalogue.moment(record).numpy().tolist() == [MOMENTS + 1]  # a page to be ranked comes after all


def test_a_model_that_was_not_told_what_is_known_scores_numbers():
    model = build(dataclasses.replace(CONFIG, name="single_tower_softmax"), seed=3)
    assert not any(weight.numpy().any() for weight in model.catalogue.weights)
    assert np.isfinite(model.menu_scores(records(6))).all()


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
