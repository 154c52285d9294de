"""What a training would take, from a few of its steps on one rank."""

import dataclasses
import itertools
import time
from pathlib import Path

import psutil

from pagerec_dbx.features.snapshot import open_snapshot
from pagerec_dbx.features.stream import Shard, open_stream
from pagerec_dbx.models.build import build
from pagerec_dbx.training.job import TrainingJob
from pagerec_dbx.training.loop import require_steps
from pagerec_dbx.training.optimizer import optimizer_of
from pagerec_dbx.training.steps import Steps
from pagerec_dbx.training.validation import Validation

STEPS = 20  # that are measured, after as many that are not
_ALONE = Shard(0, 1)


@dataclasses.dataclass(frozen=True)
class Measured:
    """Sizes of a model and times of its steps, of one rank with all of this machine's processors."""

    weights: int  # bytes
    embeddings: int  # bytes of the weights that are looked up by id
    optimizer: int  # bytes of what the optimizer keeps beside the weights
    process: int  # bytes that this process held after the steps
    step_seconds: float
    validation_step_seconds: float


def measure(job: TrainingJob) -> Measured:
    """Train some steps and forget them; the parts of a training that `fit` puts together.

    Raises:
        NoExamplesError: the training snapshot holds less than one step.
        SnapshotError: a snapshot cannot be read.
    """
    settings = job.settings
    train, validation = open_snapshot(Path(job.train_snapshot)), open_snapshot(Path(job.validation_snapshot))
    steps = min(STEPS, max(1, require_steps(train, 1, settings.batch_size) // 2))
    model = build(job.config, settings.seed, settings.precision)
    optimizer = optimizer_of(settings, 1, steps)
    run = Steps(model, optimizer, lambda tape: tape).run
    with open_stream(train, _ALONE, settings.batch_size, settings.seed, True, reader=settings.reader) as batches:
        iterator = iter(batches)
        run(iterator, steps)
        started = time.monotonic()
        run(iterator, steps)
        step_seconds = (time.monotonic() - started) / steps
    measure_step = Validation(model).step
    with open_stream(validation, _ALONE, settings.batch_size, settings.seed, reader=settings.reader) as batches:
        seconds = []
        for batch in itertools.islice(batches, 4):
            started = time.monotonic()
            measure_step(batch)
            seconds.append(time.monotonic() - started)
    return Measured(
        weights=_bytes(model.trainable_variables),
        embeddings=_bytes(one for one in model.trainable_variables if "embeddings" in one.name),
        optimizer=_bytes(optimizer.variables()),
        process=psutil.Process().memory_info().rss,
        step_seconds=step_seconds,
        validation_step_seconds=min(seconds),  # the first one built the graph
    )


def _bytes(variables) -> int:
    return sum(variable.shape.num_elements() * variable.dtype.size for variable in variables)
