"""A loss that is no number: on which step, of which days, and what is left of the training."""

import datetime as dt
import math

import numpy as np

from pagerec_dbx.errors import LossError
from pagerec_dbx.training.checkpoints import Checkpoints
from pagerec_dbx.training.job import EpochReport, Position

_EPOCH_DAY = dt.date(1970, 1, 1)
# A training is the same each time, so nobody is let go on from what was left: see `stages.stopped_runs.give_up`.
_FIX = "Train anew with a lower learning_rate: going on would come to the same, so nothing goes on from here"


def require_no_loss_lost(lost: np.ndarray, position: Position, steps: int, checkpoints: Checkpoints) -> None:
    """Refuse to go on where the loss of a step, or its gradient, is no number, on all ranks alike.

    Args:
        lost: [ranks, 3], of each rank the first such step of this call, -1 for none, and the days of its batch.
        position: before this call.
        steps: of an epoch.

    Raises:
        LossError: it names the first such step of any rank, the days of its batch and the last checkpoint.
    """
    lost = lost[lost[:, 0] >= 0]
    if not len(lost):
        return
    step, first, last = lost[lost[:, 0].argmin()].astype(int)
    of_training = (position.epoch - 1) * steps + position.step + step + 1
    days = " to ".join(str(_EPOCH_DAY + dt.timedelta(days=int(day))) for day in sorted({first, last}))
    place = f"epoch {position.epoch}, step {position.step + step + 1:,}"
    raise LossError(
        f"the loss of step {of_training:,} ({place}), or its gradient, is no number",
        wanted="a number",
        got=f"a batch of page views of {days}, and {_last_of(checkpoints)}",
        fix=_FIX,
    )


def require_finite(report: EpochReport, checkpoints: Checkpoints) -> None:
    """Refuse to go on where a figure of an epoch is no number.

    Raises:
        LossError: it names the figure and the last checkpoint.
    """
    figures = {"loss": report.loss, "validation loss": report.validation_loss}
    for name, value in {**figures, "validation NDCG": report.validation_ndcg}.items():
        if not math.isfinite(value):
            raise LossError(
                f"the {name} of epoch {report.epoch} is no number",
                wanted="a number",
                got=f"{value}, and {_last_of(checkpoints)}",
                fix=_FIX,
            )


def _last_of(checkpoints: Checkpoints) -> str:
    step = checkpoints.last_step
    if step < 0:
        return "no checkpoint before it"
    return f"the checkpoint of step {step:,} before it, which stays in {checkpoints.folder} to be looked at"
