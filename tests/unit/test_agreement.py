"""By what ranks notice that they no longer hold or read the same."""

import numpy as np
import pytest
import tensorflow as tf

from pagerec_dbx.config import TrainSettings
from pagerec_dbx.errors import TrainingError
from pagerec_dbx.models.build import build
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.training.agreement import (
    are_alike,
    digest,
    require_own_records,
    require_same_gradients,
    require_same_start,
    require_same_weights,
)
from pagerec_dbx.training.checkpoints import Checkpoint
from pagerec_dbx.training.job import OneRank, Position
from pagerec_dbx.training.optimizer import optimizer_of
from pagerec_dbx.training.steps import Taken
from tests.model_records import a_record
from tests.page_views import write_snapshot


def digests(*of_ranks):
    return np.stack([digest([tf.Variable(values) for values in of_rank]) for of_rank in of_ranks])


def test_one_bit_is_noticed_and_a_gpu_may_differ_by_it():
    weights = np.linspace(-1, 1, 1_000, dtype=np.float32).reshape(100, 10)
    nudged = weights.copy()
    nudged[50, 5] = np.nextafter(nudged[50, 5], np.float32(1))
    same, apart = digests([weights, [1]], [weights, [1]]), digests([weights, [1]], [nudged, [1]])
    assert are_alike(same, exact=True)
    assert not are_alike(apart, exact=True)
    assert are_alike(apart, exact=False)


def test_the_digest_has_a_projection_and_a_length_for_each_variable():
    found = digest([tf.Variable([[3.0, 4.0]]), tf.Variable(7)])
    assert found.shape == (5,)
    assert (found[2], found[4], abs(found[3])) == (5.0, 7.0, 7.0)  # 3-4-5
    assert abs(found[1]) in (1.0, 7.0)  # 3 and 4 with signs


@pytest.mark.parametrize("exact", [True, False])
def test_two_replicas_that_were_not_reduced_are_noticed(exact):
    """Trained apart on other records, by a few small steps; the control: on the same ones they are alike."""
    config = ModelConfig("two_tower_softmax", 200, 20, embedding_size=8, hidden_sizes=(16,))

    def trained(seed):
        model, draw = build(config, seed=1), np.random.default_rng(seed)
        optimizer = optimizer_of(TrainSettings(), 1, 10)
        for _ in range(5):
            record = a_record(history=draw.integers(2, 200, (1, 20)), menu=draw.integers(2, 20, (1, 4)))
            with tf.GradientTape() as tape:
                loss = model.compute_loss(record, training=True)
            variables = model.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return digest(model.variables)

    assert are_alike(np.stack([trained(1), trained(1)]), exact)
    assert not are_alike(np.stack([trained(1), trained(2)]), exact)


class TwoRanks(OneRank):
    """One of two; the other one sends the same figures plus `apart`."""

    size = 2

    def __init__(self, apart):
        self._apart = apart

    def gather(self, values):
        return np.stack([values, values + np.resize(self._apart, len(values))])


def test_ranks_that_read_other_files_or_start_elsewhere_are_refused(tmp_path):
    snapshot = write_snapshot(tmp_path / "train-v1-0123456789abcdef", [3])
    found = Checkpoint(20, {"epoch": 1}, {})
    require_same_start(TwoRanks([0]), [snapshot], found)
    told = r"read different files.*rank 0: manifests \w+, step 20, state \w+; rank 1: .*step 20, "
    with pytest.raises(TrainingError, match=told):
        require_same_start(TwoRanks([1, 0, 0]), [snapshot], found)
    with pytest.raises(TrainingError, match=told):  # an epoch's last step and its end
        require_same_start(TwoRanks([0, 0, 1]), [snapshot], found)
    with pytest.raises(TrainingError, match="step -1, .*; rank 1: .*step 9"):
        require_same_start(TwoRanks([0, 10, 0]), [snapshot], None)


def test_ranks_at_another_step_or_with_other_weights_are_refused():
    variables, position = [tf.Variable([1.0, 2.0])], Position(2, 30)
    require_same_weights(TwoRanks([0]), variables, position)
    for apart, what in (
        ([0, 16, 0, 0, 0], "rank 1: epoch 2, step 46"),
        ([0, 0, 1, 0.5, 0], "rank 1: epoch 2, step 30"),
    ):
        with pytest.raises(TrainingError, match=f"different weights at epoch 2, step 30.*{what}"):
            require_same_weights(TwoRanks(apart), variables, position)


def test_ranks_with_the_same_records_or_other_gradients_are_refused():
    position = Position(2, 30)
    require_own_records(TwoRanks([1, 2, 3, 4]), np.array([5, 6, 7, 8]), position)
    require_own_records(OneRank(), np.array([5, 6, 7, 8]), position)
    require_own_records(TwoRanks([0, 0, 0, 0]), np.full(4, np.inf), position)  # it goes on after an epoch's last step
    with pytest.raises(TrainingError, match=r"same records in epoch 2: .*rank 1: least ids \[6, 8, 7, 12\]. Report"):
        require_own_records(TwoRanks([1, 2, 0, 4]), np.array([5, 6, 7, 8]), position)
    taken = Taken(1.0, 0.0, gradients=(3.0, 4.0))
    require_same_gradients(TwoRanks([0]), taken, position)
    for apart in ([0.1, 0], [0, 0.1]):
        with pytest.raises(TrainingError, match="different gradients at epoch 2, step 30: .*rank 0: length 4; rank 1"):
            require_same_gradients(TwoRanks(apart), taken, position)
