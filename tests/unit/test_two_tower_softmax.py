"""The study's model: its size, its pooling, its loss, worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from pagerec_dbx.errors import UnknownModelError
from pagerec_dbx.models.build import build, parameter_count
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.inputs import known_ids
from tests.model_records import a_record

SMALL = ModelConfig("two_tower_softmax", title_count=7, row_count=5, embedding_size=4, hidden_sizes=(8,))


def test_study_sizes_give_the_study_s_parameters():
    # history 10,000 x 64 = 640,000; menu 506 x 64 = 32,384; dense 128 x 256 + 256 = 33,024, 256 x 128 + 128 = 32,896,
    # 128 x 64 + 64 = 8,256, 64 x 506 + 506 = 32,890; together 779,450
    model = build(ModelConfig("two_tower_softmax", title_count=10_000, row_count=506), seed=1)
    assert parameter_count(model) == 640_000 + 32_384 + 33_024 + 32_896 + 8_256 + 32_890 == 779_450
    # the control: one row more has an embedding of 64 and a logit of 64 weights and a bias
    larger = build(ModelConfig("two_tower_softmax", title_count=10_000, row_count=507), seed=1)
    assert parameter_count(larger) == 779_450 + 64 + 65


def test_known_ids_reads_ids_past_the_vocabulary_as_unknown():
    np.testing.assert_array_equal(known_ids(tf.constant([0, 1, 4, 5, 900]), 5), [0, 1, 4, 1, 1])


def test_menu_scores_are_the_vocabulary_scores_of_the_offered_rows():
    model = build(SMALL, seed=3)
    record = a_record(menu=[[4, 2, 99, 0]])
    everything = model.vocabulary_scores(record).numpy()[0]
    np.testing.assert_allclose(model.menu_scores(record)[0], everything[[4, 2, 1, 0]], atol=1e-6)


def test_loss_is_the_mean_over_page_views():
    model = build(SMALL, seed=3)
    both = a_record(
        history=[[2, 3, 0], [4, 0, 0]],
        history_age=[[1, 1, 0]] * 2,
        menu=[[2, 3, 4, 0]] * 2,
        clicked=[[0, 1, 0, 0], [1, 0, 1, 0]],
        **{name: [1, 1] for name in ("hour", "weekday", "device", "location")},
    )
    single = [{name: value[number : number + 1] for name, value in both.items()} for number in (0, 1)]
    losses = [float(model.compute_loss(record)) for record in single]
    assert float(model.compute_loss(both, training=True)) == pytest.approx(sum(losses) / 2, abs=1e-6)


def test_build_gives_the_same_weights_for_the_same_seed_only():
    one, same, other = (build(SMALL, seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_build_refuses_an_unknown_model():
    with pytest.raises(UnknownModelError, match="unknown model `magic`: wanted one of two_tower_softmax"):
        build(ModelConfig("magic", 5, 5), seed=1)
