"""What a checkpoint keeps of a training, and what is said when one goes on from it."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from pagerec_dbx.training.job import EpochReport, Position
from pagerec_dbx.training.state import TrainingState, words_on_restoring

REPORT = EpochReport(1, 0.5, 0.4, 0.3, 100.0, 0.1)


class TwoNumbers:
    """A model as far as a checkpoint knows one."""

    def __init__(self, *values: float):
        self.trainable_variables = [tf.Variable(value) for value in values]

    def get_weights(self):
        return [variable.numpy() for variable in self.trainable_variables]

    def set_weights(self, values):
        for variable, value in zip(self.trainable_variables, values, strict=True):
            variable.assign(value)


def state_of(*values: float) -> TrainingState:
    return TrainingState(TwoNumbers(*values), tf.keras.optimizers.legacy.Adam(0.1), patience=2)


@pytest.fixture
def stood() -> TrainingState:
    """After an epoch, with one step of Adam taken and 7 of 10 of the second epoch."""
    state = state_of(1.0, 2.0)
    weights = state._model.trainable_variables
    state._optimizer.apply_gradients(zip([tf.constant(1.0), tf.constant(-1.0)], weights, strict=True))
    state.end_epoch(REPORT, figure=-0.3, epochs=3)
    state._model.set_weights([8.0, 9.0])  # the best ones stay as they were
    state.position = Position(epoch=2, step=7, loss=1.25)
    return state


def test_a_training_stands_again_where_its_checkpoint_was_written(stood):
    found, other = stood.as_checkpoint(steps=10), state_of(5.0, 6.0)
    assert found.step == 17  # ten of the first epoch and seven
    other.restore(found)
    assert (other.position, other.reports, other.is_over) == (stood.position, [REPORT], False)
    assert other._model.get_weights() == [8.0, 9.0]
    np.testing.assert_allclose(other.best.weights, [0.9, 2.1], atol=1e-4)  # one step of Adam, of .1, in each direction
    for one, wanted in zip(other._optimizer.get_weights(), stood._optimizer.get_weights(), strict=True):
        np.testing.assert_array_equal(one, wanted)


@pytest.mark.parametrize(
    ("epoch", "figures", "epochs", "is_over"),
    [(1, [], 1, True), (1, [], 2, False), (3, [-0.5, -0.4], 9, True), (3, [-0.4, -0.5], 9, False)],
)
def test_a_training_is_over_at_its_last_epoch_or_with_its_patience(epoch, figures, epochs, is_over):
    """A patience of two: the first of three was the best, or the second was."""
    state = state_of(1.0)
    for number, figure in enumerate([*figures, -0.3], start=1):
        state.end_epoch(dataclasses.replace(REPORT, epoch=number), figure, epochs)
    assert (state.is_over, state.position) == (is_over, Position(epoch=epoch + 1))


@pytest.mark.parametrize(
    ("damaged", "lost"), [([], ""), ([20, 30], "; checkpoints of later steps were damaged: 20, 30")]
)
def test_from_where_a_training_goes_on_is_said(stood, damaged, lost):
    found = stood.as_checkpoint(steps=10)
    assert words_on_restoring(found, damaged, 10) == f"going on from epoch 2, step 7 of 10{lost}"
    stood.is_over = True
    ended = stood.as_checkpoint(steps=10)
    assert words_on_restoring(ended, damaged, 10) == f"it had ended: its best weights are exported{lost}"
    assert words_on_restoring(None, damaged, 10) == (f"going on from the beginning{lost}" if damaged else None)
