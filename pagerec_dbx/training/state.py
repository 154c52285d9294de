"""Where a training stands: what a checkpoint keeps of it, and what is said when it goes on from one."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from pagerec_dbx.training.checkpoints import Checkpoint
from pagerec_dbx.training.job import EpochReport, Position
from pagerec_dbx.training.weights import Best


class TrainingState:
    """One rank's training at a moment: its weights, its place, and what its epochs came to."""

    def __init__(self, model, optimizer, patience: int):
        self._model, self._optimizer = model, optimizer
        self.best = Best(patience)
        self.reports: list[EpochReport] = []
        self.position = Position()
        self.is_over = False

    def end_epoch(self, report: EpochReport, figure: float, epochs: int) -> None:
        """Count an epoch that ended, of `epochs` at most; by `figure` the best one is chosen, lower is better."""
        self.reports.append(report)
        self.best.note(report.epoch, figure, self._model)
        self.is_over = self.best.patience_ended or report.epoch == epochs
        self.position = Position(epoch=report.epoch + 1)

    def as_checkpoint(self, steps: int) -> Checkpoint:
        """All that it takes to stand here again; `steps` are those of an epoch."""
        groups = {"model": self._model.get_weights(), "optimizer": self._optimizer.get_weights()}
        groups["best"] = self.best.weights
        state = {
            "is_over": self.is_over,
            "position": dataclasses.asdict(self.position),
            "reports": [dataclasses.asdict(report) for report in self.reports],
            "best": self.best.state(),
        }
        arrays = {f"{name}/{at:05d}": array for name, group in groups.items() for at, array in enumerate(group)}
        return Checkpoint((self.position.epoch - 1) * steps + self.position.step, state, arrays)

    def restore(self, found: Checkpoint) -> None:
        """Stand where the checkpoint was written."""
        state = dict(found.state)
        self.is_over = state["is_over"]
        self.position = Position(**state["position"])
        self.reports = [EpochReport(**report) for report in state["reports"]]
        self.best.resume(**state["best"], weights=_group(found.arrays, "best"))
        self._model.set_weights(_group(found.arrays, "model"))
        self._optimizer._create_all_weights(self._model.trainable_variables)  # Keras makes them at the first step only
        self._optimizer.set_weights(_group(found.arrays, "optimizer"))


def place_of(position: Position, steps: int) -> str:
    """The place of the last step taken, for people; `steps` are those of an epoch."""
    return f"epoch {position.epoch}, step {position.step:,} of {steps:,}"


def words_on_restoring(found: Checkpoint | None, damaged: Sequence[int], steps: int) -> str | None:
    """From where a training goes on, for people; None where it just begins.

    Args:
        found: the checkpoint that it goes on from.
        damaged: steps of later ones that it could not go on from.
        steps: of an epoch.
    """
    lost = f"; checkpoints of later steps were damaged: {', '.join(map(str, damaged))}" if damaged else ""
    if found is not None and found.state["is_over"]:
        return f"it had ended: its best weights are exported{lost}"
    if found is not None:
        return f"going on from {place_of(Position(**found.state['position']), steps)}{lost}"
    return f"going on from the beginning{lost}" if damaged else None


def _group(arrays: Mapping[str, np.ndarray], name: str) -> list[np.ndarray]:
    return [arrays[key] for key in sorted(arrays) if key.startswith(f"{name}/")]
