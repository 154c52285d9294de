"""Weights: kept while they are the best, saved and loaded."""

import io
import math
from pathlib import Path

import numpy as np

from pagerec_dbx.home import write_atomically


def load_weights(model, file: str | Path) -> None:
    """Put saved weights into a model built from the same configuration."""
    with np.load(file, allow_pickle=False) as saved:
        model.set_weights([saved[name] for name in sorted(saved.files)])


def save_weights(model, file: Path) -> None:
    """Write a model's weights; the file appears whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()  # a Databricks volume takes no random writes, which zip needs
    np.savez(buffer, **{f"{number:05d}": array for number, array in enumerate(model.get_weights())})
    write_atomically(file, buffer.getvalue())


class Best:
    """The weights of the epoch with the lowest figure, and when to stop waiting for a better one."""

    def __init__(self, patience: int):
        self._patience = patience
        self._figure = math.inf
        self.weights: list[np.ndarray] = []  # of that epoch
        self._waited = 0
        self.epoch = 0

    @property
    def patience_ended(self) -> bool:
        """Whether that many epochs in a row were no better."""
        return self._waited >= self._patience

    def note(self, epoch: int, figure: float, model) -> None:
        """Keep the weights of an epoch if it is the best so far."""
        if figure < self._figure:
            self._figure, self.weights, self._waited = figure, model.get_weights(), 0
            self.epoch = epoch
        else:
            self._waited += 1

    def state(self) -> dict[str, float | int | None]:
        """All but the weights, as JSON takes it."""
        return {"epoch": self.epoch, "waited": self._waited, "figure": self._figure if self.epoch else None}

    def resume(self, epoch: int, waited: int, figure: float | None, weights: list[np.ndarray]) -> None:
        """Stand where `state` and `weights` were taken."""
        self.epoch, self._waited, self.weights = epoch, waited, weights
        self._figure = math.inf if figure is None else figure

    def restore(self, model) -> None:
        """Put the best epoch's weights back."""
        model.set_weights(self.weights)
