"""Model and streams to trained weights: the loop that every rank runs, and the one rank of a single process."""

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import tensorflow as tf
import tf_keras

from pagerec_dbx.config import TrainSettings
from pagerec_dbx.errors import NoExamplesError, TrainingError
from pagerec_dbx.features.snapshot import Snapshot, open_snapshot
from pagerec_dbx.features.stream import Shard, open_stream, steps_per_epoch
from pagerec_dbx.models.build import build, parameter_count
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.metrics import NDCG
from pagerec_dbx.progress import Progress
from pagerec_dbx.training.weights import Best, digest, save_weights


@dataclasses.dataclass(frozen=True)
class TrainingJob:
    """All that a rank needs to know; it is sent to every rank."""

    config: ModelConfig
    train_snapshot: str  # folder
    validation_snapshot: str  # folder
    settings: TrainSettings
    weights_file: str  # where rank 0 leaves the best weights, on a path that the driver sees


@dataclasses.dataclass(frozen=True)
class EpochReport:
    """What one epoch came to, over all ranks."""

    epoch: int  # 1 is the first
    loss: float  # mean over the epoch's steps
    validation_loss: float  # mean over all validation page views
    validation_ndcg: float  # of the rows offered, mean over all validation page views
    examples_per_second: float


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
    digests: tuple[float, ...]  # of each rank's final weights: equal

    @property
    def validation_loss_of_best(self) -> float:
        return self.reports[self.best_epoch - 1].validation_loss


class Ranks(Protocol):
    """What the loop asks of the other ranks."""

    rank: int
    size: int

    def reduced(self, tape: tf.GradientTape) -> tf.GradientTape:
        """A tape whose gradients are the mean over all ranks."""

    def gather(self, values: np.ndarray) -> np.ndarray:
        """Every rank's [k] values as [ranks, k]."""

    def broadcast(self, variables: list[tf.Variable]) -> None:
        """Give every rank the first one's values."""


class OneRank:
    """The only rank: nothing to exchange."""

    rank, size = 0, 1

    def reduced(self, tape: tf.GradientTape) -> tf.GradientTape:
        return tape

    def gather(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(values)[None, :]

    def broadcast(self, variables: list[tf.Variable]) -> None:
        return None


OnEpoch = Callable[[EpochReport], None]


def fit(job: TrainingJob, ranks: Ranks, on_epoch: OnEpoch) -> TrainingResult:
    """Train until the validation loss stops falling; the best epoch's weights go to `job.weights_file`.

    Args:
        on_epoch: called on the first rank after each epoch.

    Raises:
        NoExamplesError: the training snapshot holds less than one step.
        TrainingError: a loss is no number, or the ranks' weights have drifted apart.
        SnapshotError: a snapshot is incomplete or has too few row groups for the ranks.
    """
    started = time.monotonic()
    settings = job.settings
    train, validation = open_snapshot(Path(job.train_snapshot)), open_snapshot(Path(job.validation_snapshot))
    steps = require_steps(train, ranks.size, settings.batch_size)
    model = build(job.config, settings.seed)
    step = _train_step(model, _optimizer(settings, ranks.size, steps), ranks)
    ranks.broadcast(model.variables)
    tf.random.set_seed(settings.seed + ranks.rank)  # each rank draws its own dropout and negatives
    measure = _Validation(model)
    reports: list[EpochReport] = []
    best = Best(settings.patience)
    for epoch in range(1, settings.epochs + 1):
        report = _run_epoch(epoch, step, measure, train, validation, job, ranks, steps)
        reports.append(report)
        _require_equal_weights(model, ranks, epoch)
        if ranks.rank == 0:
            on_epoch(report)
        if best.is_over(epoch, report.validation_loss, model):
            break
    best.restore(model)
    if ranks.rank == 0:
        save_weights(model, Path(job.weights_file))
    return TrainingResult(
        ranks=ranks.size,
        epochs=len(reports),
        best_epoch=best.epoch,
        reports=tuple(reports),
        parameters=parameter_count(model),
        steps_per_epoch=steps,
        left_out_per_epoch=train.manifest.records - steps * settings.batch_size * ranks.size,
        seconds=time.monotonic() - started,
        digests=tuple(float(value) for value in ranks.gather(digest(model))[:, 0]),
    )


def require_steps(train: Snapshot, size: int, batch_size: int) -> int:
    """Steps of an epoch on that many ranks.

    Raises:
        NoExamplesError: none.
        SnapshotError: too few row groups for the ranks, or ranks that do not divide them.
    """
    steps = steps_per_epoch(train, size, batch_size)
    if steps < 1:
        raise NoExamplesError(
            "the training snapshot holds less than one step",
            wanted=f"at least {size} x {batch_size} examples",
            got=f"{train.manifest.records:,}",
            fix=f"Set batch_size={max(1, train.manifest.records // size // 10)} or prepare more page views",
        )
    return steps


def _optimizer(settings: TrainSettings, size: int, steps: int) -> tf_keras.optimizers.Optimizer:
    """Adam; the rate grows with the ranks' joint batch (Goyal et al. 2017), warmed up over the first epoch."""
    peak = settings.learning_rate * size
    rate = peak if size == 1 else _WarmUp(settings.learning_rate, peak, steps)
    return tf_keras.optimizers.legacy.Adam(rate)


class _WarmUp(tf_keras.optimizers.schedules.LearningRateSchedule):
    """From one rank's rate to the peak in a straight line, then level."""

    def __init__(self, start: float, peak: float, steps: int):
        self._start, self._peak, self._steps = start, peak, steps

    def __call__(self, step):
        share = tf.minimum(tf.cast(step, tf.float32) / self._steps, 1.0)
        return self._start + (self._peak - self._start) * share


def _train_step(model, optimizer, ranks: Ranks):
    # Nothing here branches on a tensor in Python; AutoGraph would rewrite all of Keras for it, 20 s on each rank.
    @tf.function(reduce_retracing=True, autograph=False)
    def step(batch):
        with tf.GradientTape() as tape:
            loss = model.compute_loss(batch, training=True)
            total = loss + tf.add_n(model.losses) if model.losses else loss
        variables = model.trainable_variables
        gradients = ranks.reduced(tape).gradient(total, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss

    return step


class _Validation:
    """Sums over the validation page views of one rank: of the loss, and of the NDCG of the rows offered."""

    def __init__(self, model):
        self._model, self._ndcg = model, NDCG()
        self._step = tf.function(self._measure, reduce_retracing=True, autograph=False)

    def sums(self, snapshot: Snapshot, shard: Shard, settings: TrainSettings) -> tuple[float, float, float]:
        """Sum of losses, sum of NDCGs, and number of page views in this rank's part."""
        self._ndcg.reset_state()
        total = count = 0.0
        with open_stream(snapshot, shard, settings.batch_size, settings.seed, drop_remainder=False) as batches:
            for batch in batches:
                records = int(batch["menu"].shape[0])
                total += float(self._step(batch)) * records
                count += records
        return total, float(self._ndcg.total), count

    def _measure(self, batch):
        scores = self._model.menu_scores(batch)
        self._ndcg.update_state(batch["clicked"], scores, mask=batch["menu"] > 0)
        return self._model.compute_loss(batch, training=False)


def _run_epoch(epoch, step, measure, train, validation, job, ranks, steps) -> EpochReport:
    settings, shard = job.settings, Shard(ranks.rank, ranks.size)
    started = time.monotonic()
    progress = Progress(f"epoch {epoch} of {settings.epochs}", steps, "steps") if ranks.rank == 0 else None
    total = tf.zeros([])
    done = 0
    seed = settings.seed + 1_000_003 * epoch
    with open_stream(train, shard, settings.batch_size, seed, drop_remainder=True) as batches:
        for batch in batches.take(steps):
            total += step(batch)
            done += 1
            if progress:
                progress.update(done)
    seconds = time.monotonic() - started
    if progress:
        progress.close()
    if done != steps:
        raise TrainingError(f"rank {ranks.rank} ran out of examples", wanted=f"{steps} steps", got=str(done))
    sums = ranks.gather(np.array([float(total) / steps, *measure.sums(validation, shard, settings)]))
    validation_loss, ndcg = sums[:, 1:3].sum(axis=0) / max(sums[:, 3].sum(), 1.0)
    rate = steps * settings.batch_size * ranks.size / seconds
    return _require_finite(EpochReport(epoch, float(sums[:, 0].mean()), float(validation_loss), float(ndcg), rate))


def _require_finite(report: EpochReport) -> EpochReport:
    for name, loss in (("loss", report.loss), ("validation loss", report.validation_loss)):
        if not math.isfinite(loss):
            raise TrainingError(f"the {name} of epoch {report.epoch} is {loss}", fix="Lower learning_rate")
    return report


def _require_equal_weights(model, ranks: Ranks, epoch: int) -> None:
    digests = ranks.gather(digest(model))[:, 0]
    if not np.all(digests == digests[0]):
        raise TrainingError(
            f"the ranks hold different weights after epoch {epoch}",
            wanted="equal weights",
            got=f"digests {[float(digest) for digest in digests]}",
            fix="Gradients were not reduced: check that tf-keras is in use on every worker (TF_USE_LEGACY_KERAS=1)",
        )
