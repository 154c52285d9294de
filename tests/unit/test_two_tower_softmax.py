"""The study's model: its size, its pooling, its loss, worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.grappler import tf_optimizer

from pagerec_dbx.errors import UnknownModelError
from pagerec_dbx.models.build import build, parameter_count
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.history import MeanEmbedding
from pagerec_dbx.models.inputs import known_ids
from pagerec_dbx.models.losses import full_softmax
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


def test_mean_embedding_leaves_padding_out():
    layer = MeanEmbedding(size=4, dimension=2, name="tower")
    layer(tf.constant([[1]]))
    layer.set_weights([np.array([[9.0, 9.0], [1.0, 0.0], [3.0, 4.0], [5.0, 2.0]])])
    # ids 2 and 3: ((3 + 5) / 2, (4 + 2) / 2); nothing but padding: zeros; id 7 is past the size: unknown, (1, 0)
    pooled = layer(tf.constant([[2, 3, 0], [0, 0, 0], [7, 0, 0]]))
    np.testing.assert_allclose(pooled, [[4.0, 3.0], [0.0, 0.0], [1.0, 0.0]])


class NarrowIds(MeanEmbedding):
    """The layer as it would be written at first."""

    def _looked_up(self, distinct):
        return tf.gather(self._table, distinct)


def whole_reads(layer):
    """Operations that read a whole variable, once TensorFlow's arithmetic optimizer has gone over the layer's graph."""
    layer(tf.constant([[1]]))
    graph = (
        tf.function(lambda ids: layer(ids), autograph=False)
        .get_concrete_function(tf.TensorSpec([2, 3], tf.int32))
        .graph
    )
    meta = tf.compat.v1.train.export_meta_graph(graph_def=graph.as_graph_def(), graph=graph)
    meta.collection_def["train_op"].node_list.value.append(graph.outputs[0].name)
    config = config_pb2.ConfigProto()
    config.graph_options.rewrite_options.optimizers.append("arithmetic")
    config.graph_options.rewrite_options.min_graph_nodes = -1
    return [node.name for node in tf_optimizer.OptimizeGraph(config, meta).node if node.op == "ReadVariableOp"]


def test_mean_embedding_never_reads_the_whole_table():
    assert whole_reads(MeanEmbedding(size=50, dimension=2, name="tower")) == []
    assert whole_reads(MeanEmbedding(size=50, dimension=2, name="tower", buckets=10)) == []
    assert len(whole_reads(NarrowIds(size=50, dimension=2, name="tower"))) == 1  # the control


def test_known_ids_reads_ids_past_the_vocabulary_as_unknown():
    np.testing.assert_array_equal(known_ids(tf.constant([0, 1, 4, 5, 900]), 5), [0, 1, 4, 1, 1])


def test_full_softmax_spreads_the_target_over_the_clicks():
    logits = tf.constant([[0.0, 0.0, 1.0, 2.0, 0.0]])
    menu = tf.constant([[3, 2, 4, 0]])
    # log(3 e^0 + e^1 + e^2) = log(13.107338) = 2.573172; one click on row 3: 2.573172 - 2;
    # clicks on rows 3 and 2, half each: 2.573172 - (2 + 1) / 2
    one = full_softmax(menu, tf.constant([[1, 0, 0, 0]]), logits)
    two = full_softmax(menu, tf.constant([[1, 1, 0, 0]]), logits)
    np.testing.assert_allclose([one[0], two[0]], [0.573172, 1.073172], atol=1e-5)


def test_full_softmax_adds_the_shares_of_one_id():
    # both clicked rows are unknown (1): its share is 1, as if clicked once
    logits = tf.constant([[0.3, -1.0, 0.5]])
    twice = full_softmax(tf.constant([[1, 1]]), tf.constant([[1, 1]]), logits)
    once = full_softmax(tf.constant([[1, 2]]), tf.constant([[1, 0]]), logits)
    np.testing.assert_allclose(twice, once, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_full_softmax_equals_the_dense_cross_entropy(seed, clicks):
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(3, 9)).astype(np.float32)
    menu = np.stack([draw.permutation(np.arange(2, 9)) for _ in range(3)])
    clicked = np.zeros((3, 7), int)
    clicked[:, :clicks] = 1
    dense = np.zeros((3, 9), np.float32)
    np.put_along_axis(dense, menu, clicked / clicked.sum(1, keepdims=True), axis=1)
    wanted = tf.nn.softmax_cross_entropy_with_logits(dense, logits)
    got = full_softmax(tf.constant(menu), tf.constant(clicked), tf.constant(logits))
    np.testing.assert_allclose(got, wanted, atol=1e-5)


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
