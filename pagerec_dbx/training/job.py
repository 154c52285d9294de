"""What is to be trained, who trains it, and what they report: what loop, ranks and stages share."""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import tensorflow as tf

from pagerec_dbx.config import TrainSettings
from pagerec_dbx.figures import number
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.progress import Words
from pagerec_dbx.training.reduction import Gradient


@dataclasses.dataclass(frozen=True)
class TrainingJob:
    """All that a rank needs to know; it is sent to every rank."""

    config: ModelConfig
    train_snapshot: str  # folder
    validation_snapshot: str  # folder
    settings: TrainSettings
    folder: str  # of the run, on a path that the driver and all ranks see: checkpoints, and the best weights at the end
    profile: str | None = None  # folder for a profile of the first rank's second call of steps

    @property
    def beats(self) -> Path:
        """Where ranks and driver hear each other."""
        return Path(self.folder) / "beats"

    @property
    def knowledge_file(self) -> Path:
        """Where the driver leaves what the model knows of rows and titles, if it reads any of it."""
        return Path(self.folder) / "knowledge.npz"

    @property
    def weights_file(self) -> str:
        """Where rank 0 leaves the best weights."""
        return str(Path(self.folder) / "weights.npz")


@dataclasses.dataclass(frozen=True)
class EpochReport:
    """What one epoch came to, over all ranks."""

    epoch: int  # 1 is the first
    loss: float  # mean over the epoch's steps
    validation_loss: float  # mean over all validation page views
    validation_ndcg: float  # of the rows offered, mean over all validation page views
    examples_per_second: float | None  # None where it went on after its last step, as for the next
    waited_for_data: float | None  # share of the steps' time in which the slowest-fed rank had no batch to work on

    def to_text(self, epochs: int) -> str:
        """One line for the terminal."""
        rate = "" if self.examples_per_second is None else f", {self.examples_per_second:,.0f} examples/s"
        if self.waited_for_data is not None:
            rate += f", {self.waited_for_data:.0%} of the time waiting for data"
        return (
            f"epoch {self.epoch} of {epochs}: loss {self.loss:.4f}, validation loss {self.validation_loss:.4f}, "
            f"validation NDCG {number(self.validation_ndcg)}{rate}"
        )


@dataclasses.dataclass
class Position:
    """Where in its epochs a training stands."""

    epoch: int = 1  # that is under way
    step: int = 0  # steps taken of it
    loss: float = 0.0  # their sum


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """What a finished training leaves beside its weights."""

    ranks: int
    epochs: int  # run, the ones after the best included
    best_epoch: int
    reports: tuple[EpochReport, ...]
    parameters: int
    steps_per_epoch: int
    left_out_per_epoch: int  # records that equal steps of full batches do not reach
    seconds: float
    digests: tuple[int, ...]  # of each rank's final weights: equal
    was_stopped: bool = False  # before its time, because `on_epoch` said so

    @property
    def waited_for_data(self) -> float | None:
        """The share of steps' time without data of the epoch that waited most; None where none took a step here."""
        return max((one.waited_for_data for one in self.reports if one.waited_for_data is not None), default=None)

    @property
    def best(self) -> EpochReport:
        """Of the epoch whose weights are kept."""
        return self.reports[self.best_epoch - 1]


class Ranks(Protocol):
    """What the loop asks of the other ranks."""

    rank: int
    size: int

    @property
    def words(self) -> Words:
        """Where to say how far the training is; what other ranks than the first say there need not be heard."""

    def stand(self, where: Callable[[], str]) -> None:
        """Have the others told where this rank stands, for people."""

    def mean(
        self, gradients: list[Gradient], variables: list[tf.Variable], whole_table_rows: int | None
    ) -> list[Gradient]:
        """The gradients' means over all ranks, as `mean_over_ranks`; None: whole tables where that is cheaper."""

    def gather(self, values: np.ndarray) -> np.ndarray:
        """Every rank's [k] values as [ranks, k]."""

    def broadcast(self, variables: list[tf.Variable]) -> None:
        """Give every rank the first one's values."""


class OneRank:
    """The only rank: nothing to exchange."""

    rank, size = 0, 1

    @property
    def words(self) -> Words:
        return sys.stderr

    def stand(self, where: Callable[[], str]) -> None:
        return None

    def mean(
        self, gradients: list[Gradient], variables: list[tf.Variable], whole_table_rows: int | None
    ) -> list[Gradient]:
        return gradients

    def gather(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(values)[None, :]

    def broadcast(self, variables: list[tf.Variable]) -> None:
        return None


OnEpoch = Callable[[EpochReport], bool | None]  # True: the training is to end here
