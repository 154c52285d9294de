"""Vectors of ids: padding left out, unknown ids, what is looked up, what a gradient names."""

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.grappler import tf_optimizer

from pagerec_dbx.models.embeddings import Embeddings


def test_mean_leaves_padding_out():
    layer = Embeddings(size=4, dimension=2, name="tower")
    layer.set_weights([np.array([[9.0, 9.0], [1.0, 0.0], [3.0, 4.0], [5.0, 2.0]])])
    # ids 2 and 3: ((3 + 5) / 2, (4 + 2) / 2); nothing but padding: zeros; id 7 is past the size: unknown, (1, 0)
    pooled = layer.mean(tf.constant([[2, 3, 0], [0, 0, 0], [7, 0, 0]]))
    np.testing.assert_allclose(pooled, [[4.0, 3.0], [0.0, 0.0], [1.0, 0.0]])


class NarrowIds(Embeddings):
    """The layer as it would be written at first."""

    def looked_up(self, distinct):
        return tf.gather(self._table, distinct)


def whole_reads(layer):
    """Operations that read a whole variable, once TensorFlow's arithmetic optimizer has gone over the layer's graph."""
    graph = (
        tf.function(lambda ids: layer.mean(ids), autograph=False)
        .get_concrete_function(tf.TensorSpec([2, 3], tf.int32))
        .graph
    )
    meta = tf.compat.v1.train.export_meta_graph(graph_def=graph.as_graph_def(), graph=graph)
    meta.collection_def["train_op"].node_list.value.append(graph.outputs[0].name)
    config = config_pb2.ConfigProto()
    config.graph_options.rewrite_options.optimizers.append("arithmetic")
    config.graph_options.rewrite_options.min_graph_nodes = -1
    return [node.name for node in tf_optimizer.OptimizeGraph(config, meta).node if node.op == "ReadVariableOp"]


def test_mean_never_reads_the_whole_table():
    assert whole_reads(Embeddings(size=50, dimension=2, name="tower")) == []
    assert whole_reads(Embeddings(size=50, dimension=2, name="tower", buckets=10)) == []
    assert len(whole_reads(NarrowIds(size=50, dimension=2, name="tower"))) == 1  # the control


def test_weights_say_how_much_each_id_counts():
    layer = Embeddings(size=4, dimension=2, name="tower")
    layer.set_weights([np.array([[9.0, 9.0], [1.0, 0.0], [3.0, 4.0], [5.0, 2.0]])])
    weighted = layer.mean(tf.constant([[2, 3, 0], [0, 0, 0]]), tf.constant([[0.25, 0.75, 0.0], [0.0, 0.0, 0.0]]))
    # .25 (3, 4) + .75 (5, 2)
    np.testing.assert_allclose(weighted, [[4.5, 2.5], [0.0, 0.0]])


def test_vectors_stand_where_their_ids_do_and_gradients_name_each_once():
    layer = Embeddings(size=4, dimension=2, name="tower")
    table = np.array([[9.0, 9.0], [1.0, 0.0], [3.0, 4.0], [5.0, 2.0]])
    layer.set_weights([table])
    ids = tf.constant([[3, 2, 3], [0, 7, 2]])
    with tf.GradientTape() as tape:
        vectors = layer(ids)
        total = tf.reduce_sum(vectors)
    np.testing.assert_allclose(vectors, table[[[3, 2, 3], [0, 1, 2]]])
    gradient = tape.gradient(total, layer.trainable_variables[0])
    assert sorted(gradient.indices.numpy().tolist()) == [0, 1, 2, 3]
    np.testing.assert_allclose(tf.convert_to_tensor(gradient)[:, 0], [1, 1, 2, 2])
