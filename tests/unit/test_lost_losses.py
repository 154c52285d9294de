"""What is said of a loss that is no number."""

import math

import numpy as np
import pytest

from pagerec_dbx.errors import LossError
from pagerec_dbx.training.checkpoints import Checkpoint, Checkpoints
from pagerec_dbx.training.job import EpochReport, Position
from pagerec_dbx.training.lost_losses import require_finite, require_no_loss_lost

LOST = np.array([[-1, 0, 0], [4, 19_724, 19_723], [2, 19_725, 19_725]], np.float64)  # of three ranks
FIX = "Train anew with a lower learning_rate: going on would come to the same, so nothing goes on from here."


def a_report(**figures):
    sound = {"loss": 1.0, "validation_loss": 1.0, "validation_ndcg": 0.5}
    return EpochReport(epoch=2, examples_per_second=None, waited_for_data=None, **{**sound, **figures})


def test_the_first_step_of_any_rank_is_named_and_the_last_checkpoint(tmp_path):
    checkpoints = Checkpoints(tmp_path / "run", 2, 0)
    for step in (60, 90):
        checkpoints.save(Checkpoint(step, {}, {"weights": np.zeros(2)}))
    with pytest.raises(LossError) as told:
        require_no_loss_lost(LOST, Position(epoch=2, step=30), 60, checkpoints)
    assert str(told.value) == (
        "the loss of step 93 (epoch 2, step 33), or its gradient, is no number: wanted a number, got a batch of page "
        "views of 2024-01-03, and the checkpoint of step 90 before it, which stays in "
        f"{tmp_path / 'run'} to be looked at. {FIX}"
    )
    require_no_loss_lost(LOST[:1], Position(epoch=2, step=30), 60, checkpoints)  # the control


def test_where_there_is_no_checkpoint_it_says_so(tmp_path):
    checkpoints = Checkpoints(tmp_path / "run", 2, 0)
    with pytest.raises(LossError, match="of 2024-01-01 to 2024-01-02, and no checkpoint before it. Train anew"):
        require_no_loss_lost(LOST[1:2], Position(), 60, checkpoints)


@pytest.mark.parametrize("figure", ["loss", "validation_loss", "validation_ndcg"])
@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_figure_of_an_epoch_is_a_number(figure, number, tmp_path):
    checkpoints = Checkpoints(tmp_path / "run", 2, 0)
    with pytest.raises(LossError, match=f"of epoch 2 is no number: wanted a number, got {number}, and no checkpoint"):
        require_finite(a_report(**{figure: number}), checkpoints)
    require_finite(a_report(), checkpoints)  # the control
