"""What a training would take, from a few of its steps on one rank."""

import dataclasses
import itertools
import statistics
import time
from pathlib import Path

import psutil

from pagerec_dbx.config import TrainSettings
from pagerec_dbx.features.snapshot import Snapshot, open_snapshot
from pagerec_dbx.features.stream import Shard, open_stream
from pagerec_dbx.models.build import build
from pagerec_dbx.models.catalogue import load_knowledge
from pagerec_dbx.training.counting import learn_counts
from pagerec_dbx.training.job import TrainingJob
from pagerec_dbx.training.loop import compiled_by_xla, require_steps
from pagerec_dbx.training.optimizer import optimizer_of
from pagerec_dbx.training.steps import Steps
from pagerec_dbx.training.validation import Validation

STEPS = 20  # that are measured, after as many that are not; fewer where an epoch has fewer
_ALONE = Shard(0, 1)


@dataclasses.dataclass(frozen=True)
class StepCosts:
    """Sizes of a model and times of its steps, of one rank with all of this machine's processors."""

    weight_bytes: int  # of those that are trained
    held_bytes: int  # of all, with what is known of rows and titles
    embedding_bytes: int  # of the weights that are looked up by id
    optimizer_bytes: int  # of what the optimizer keeps beside the weights
    process_bytes: int  # that this process held after the steps
    step_seconds: float
    validation_step_seconds: float


def measure(job: TrainingJob) -> StepCosts:
    """Train some steps and forget them; the parts of a training that `fit` puts together.

    Raises:
        NoExamplesError: the training snapshot holds less than one step.
        SnapshotError: a snapshot cannot be read.
        TrainingError: what is known of rows and titles, which the job's folder must hold, cannot be read.
    """
    settings = job.settings
    train, validation = open_snapshot(Path(job.train_snapshot)), open_snapshot(Path(job.validation_snapshot))
    steps = min(STEPS, require_steps(train, 1, settings.batch_size))
    with compiled_by_xla(settings.xla):
        model = build(job.config, settings.seed, settings.precision)
        if job.config.needs_knowledge:
            model.learn_knowledge(load_knowledge(job.knowledge_file))
        learn_counts(model, train, range(len(train.paths)), lambda counts: counts)
        optimizer = optimizer_of(settings, 1, steps)
        run = Steps(model, optimizer, lambda gradients, _: gradients).run
        for _ in range(2):  # the first time builds the graph
            with _batches(train, settings, drop_remainder=True) as batches:
                iterator = iter(batches)
                started = time.monotonic()
                run(iterator, steps)
                step_seconds = (time.monotonic() - started) / steps
        measure_step = Validation(model).step
        seconds = []
        with _batches(validation, settings, drop_remainder=False) as batches:
            for batch in itertools.islice(batches, 4):
                measure_step(batch)  # builds the graph for a batch of this size
                started = time.monotonic()
                measure_step(batch)
                seconds.append(time.monotonic() - started)
    return StepCosts(
        weight_bytes=_bytes(model.trainable_variables),
        held_bytes=_bytes(model.variables),
        embedding_bytes=_bytes(one for one in model.trainable_variables if "embeddings" in one.name),
        optimizer_bytes=_bytes(optimizer.variables()),
        process_bytes=psutil.Process().memory_info().rss,
        step_seconds=step_seconds,
        validation_step_seconds=statistics.median(seconds),
    )


def _batches(snapshot: Snapshot, settings: TrainSettings, drop_remainder: bool):
    return open_stream(
        snapshot, _ALONE, settings.batch_size, settings.seed, drop_remainder=drop_remainder, reader=settings.reader
    )


def _bytes(variables) -> int:
    return sum(variable.shape.num_elements() * variable.dtype.size for variable in variables)
