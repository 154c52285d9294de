"""Weights: kept while they are the best, saved, loaded, and held against those of the other ranks."""

import io
import math
import os
import zlib
from pathlib import Path

import numpy as np


def load_weights(model, file: str | Path) -> None:
    """Put saved weights into a model built from the same configuration."""
    with np.load(file, allow_pickle=False) as saved:
        model.set_weights([saved[name] for name in sorted(saved.files)])


def save_weights(model, file: Path) -> None:
    """Write a model's weights; the file appears whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    buffer = io.BytesIO()  # a Databricks volume takes no random writes, which zip needs
    np.savez(buffer, **{f"{number:05d}": array for number, array in enumerate(model.get_weights())})
    aside.write_bytes(buffer.getvalue())
    aside.replace(file)


def digest(variables) -> np.ndarray:
    """[2] float64: the variables' CRC-32, which differs where a bit does, and the sum of their sizes."""
    bits, size = 0, 0.0
    for variable in variables:
        values = np.ascontiguousarray(variable.numpy())
        bits, size = zlib.crc32(values, bits), size + float(np.abs(values).sum(dtype=np.float64))
    return np.array([bits, size])


def are_alike(digests: np.ndarray, exact: bool) -> bool:
    """Whether [ranks, 2] digests are of the same weights; a GPU adds in another order each time, so not to the bit."""
    bits, sizes = digests[:, 0], digests[:, 1]
    return bool(np.all(bits == bits[0]) or (not exact and np.allclose(sizes, sizes[0], rtol=1e-4)))


class Best:
    """The weights of the epoch with the lowest validation loss, and when to stop waiting for a better one."""

    def __init__(self, patience: int):
        self._patience = patience
        self._loss = math.inf
        self.weights: list[np.ndarray] = []  # of that epoch
        self._waited = 0
        self.epoch = 0

    def is_over(self, epoch: int, validation_loss: float, model) -> bool:
        """Take note of an epoch; True when patience is at its end."""
        if validation_loss < self._loss:
            self._loss, self.weights, self._waited = validation_loss, model.get_weights(), 0
            self.epoch = epoch
            return False
        self._waited += 1
        return self._waited >= self._patience

    def state(self) -> dict[str, float | int | None]:
        """All but the weights, as JSON takes it."""
        return {"epoch": self.epoch, "waited": self._waited, "loss": self._loss if self.epoch else None}

    def resume(self, epoch: int, waited: int, loss: float | None, weights: list[np.ndarray]) -> None:
        """Stand where `state` and `weights` were taken."""
        self.epoch, self._waited, self.weights = epoch, waited, weights
        self._loss = math.inf if loss is None else loss

    def restore(self, model) -> None:
        """Put the best epoch's weights back."""
        model.set_weights(self.weights)
