"""The graph of a call of steps."""

import numpy as np
import pytest
import tensorflow as tf

from pagerec_dbx.errors import TrainingError
from pagerec_dbx.training import steps
from pagerec_dbx.training.steps import Steps


class TwoWeights(tf.Module):
    """Squares of two weights times a feature."""

    losses = ()

    def __init__(self):
        super().__init__()
        self._weights = [tf.Variable([1.0, 2.0]), tf.Variable([3.0, 4.0])]

    @property
    def trainable_variables(self):
        return self._weights

    def compute_loss(self, batch, training):
        return tf.reduce_sum(tf.cast(batch["history"], tf.float32) * (self._weights[0] + self._weights[1]))


def test_a_stream_that_ends_before_its_steps_is_told():
    record = {"history": np.ones((1, 2), np.int32), "day": [1], "page_view_id": np.array([7], np.int64)}
    batches = tf.data.Dataset.from_tensors({name: tf.constant(value) for name, value in record.items()}).repeat(2)
    run = Steps(TwoWeights(), tf.keras.optimizers.legacy.SGD(0.1), lambda gradients, _: gradients).run
    run(iter(batches), 2)  # the control
    told = "a rank ran out of examples: wanted 3 more steps, got the end of its part of the snapshot. Run `pagerec prep"
    with pytest.raises(TrainingError, match=told):
        run(iter(batches), 3)


def operations_in_branches() -> set[str]:
    """The kinds of operations inside the branches of the graph."""
    record = {"history": np.ones((1, 2), np.int32), "day": [1], "page_view_id": np.array([7], np.int64)}
    batches = iter(tf.data.Dataset.from_tensors({name: tf.constant(value) for name, value in record.items()}).repeat())
    some = Steps(TwoWeights(), tf.keras.optimizers.legacy.SGD(0.1), lambda gradients, _: gradients)
    taken = some.run(batches, 3)
    # d loss / d weight is (1, 1) for both: their sum is 4, their length 2, at every step.
    assert taken.gradients == pytest.approx((4.0, 2.0))
    library = some._run.get_concrete_function(batches, tf.constant(3)).graph.as_graph_def().library
    branches = [one for one in library.function if "cond" in one.signature.name and "_true" in one.signature.name]
    assert branches
    return {node.op for one in branches for node in one.node_def}


def test_no_branch_holds_an_operation_that_may_keep_a_temporary_variable(monkeypatch):
    """TensorFlow may rewrite an AddN with a temporary variable; one in a branch is still there at the next call, which
    then fails (AlreadyExistsError): so it did with page_ranker and batches of 512."""
    assert "AddN" not in operations_in_branches()

    def by_add_n(gradients):
        total = tf.add_n([tf.reduce_sum(one) for one in gradients])
        return tf.stack([total, tf.sqrt(tf.add_n([tf.reduce_sum(tf.square(one)) for one in gradients]))])

    monkeypatch.setattr(steps, "_sum_and_length", by_add_n)  # the control: as it was
    assert "AddN" in operations_in_branches()
