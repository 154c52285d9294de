"""`train --plan`: what a training would take, before it is run."""

import dataclasses
import math
import tempfile
from pathlib import Path

from pagerec_dbx.config import Settings
from pagerec_dbx.features.snapshot import open_snapshot
from pagerec_dbx.progress import span, working
from pagerec_dbx.stages.knowledge import leave_knowledge
from pagerec_dbx.stages.train import job_of, sound_run
from pagerec_dbx.tables import Tables


@dataclasses.dataclass(frozen=True)
class TrainPlan:
    """Sizes and times of a training; bytes are of each rank."""

    model: str
    ranks: int
    records: int
    parameters: int
    embedding_bytes: int
    optimizer_bytes: int
    memory_bytes: int  # at a checkpoint, when a rank holds most
    steps_per_epoch: int
    left_out_per_epoch: int  # records that equal steps of full batches do not reach
    epochs: int  # at most
    step_seconds: float  # of one rank with all of this machine's processors
    seconds: float  # of all epochs, on this machine

    def to_text(self) -> str:
        """For the terminal."""
        several = self.ranks > 1
        shared = ", however many ranks share it; ranks on machines of their own divide that" if several else ""
        lines = [
            f"{self.model}: {self.parameters:,} parameters; embeddings {_mb(self.embedding_bytes)}, "
            f"optimizer {_mb(self.optimizer_bytes)}; about {_mb(self.memory_bytes)} of memory a rank",
            f"{self.records:,} training records on {self.ranks} rank{'s' if several else ''}: "
            f"{self.steps_per_epoch:,} steps an epoch, {self.left_out_per_epoch:,} records left out of each",
            f"{self.step_seconds * 1e3:.0f} ms a step of one rank, measured here; "
            f"{self.epochs} epoch{'s' if self.epochs > 1 else ''} would take about {span(self.seconds)} on this "
            f"machine{shared}",
            f"starting{', launching the ranks' if several else ''} and exporting take one to three minutes beside that",
        ]
        return "\n".join(lines)


def plan_training(tables: Tables, model_name: str, ranks: int, settings: Settings) -> TrainPlan:
    """Measure some steps of the training that `train` would run; nothing is left in the home.

    Raises:
        As `stages.train.train`.
    """
    preparation, run = sound_run(tables, model_name, ranks, settings)
    job = job_of(tables.home, preparation, run)
    from pagerec_dbx.training.loop import require_steps
    from pagerec_dbx.training.plan import measure

    batch, epochs = job.settings.batch_size, job.settings.epochs
    train, validation = (open_snapshot(Path(one)) for one in (job.train_snapshot, job.validation_snapshot))
    steps = require_steps(train, ranks, batch)
    with tempfile.TemporaryDirectory() as scratch:
        measured = dataclasses.replace(job, folder=scratch)
        leave_knowledge(tables, preparation, measured.config, measured.knowledge_file)
        with working("measuring steps"):
            costs = measure(measured)
    validation_steps = math.ceil(validation.manifest.records / batch)
    per_epoch = steps * ranks * costs.step_seconds + validation_steps * costs.validation_step_seconds
    return TrainPlan(
        model=model_name,
        ranks=ranks,
        records=train.manifest.records,
        parameters=costs.weight_bytes // 4,
        embedding_bytes=costs.embedding_bytes,
        optimizer_bytes=costs.optimizer_bytes,
        # A checkpoint copies weights and optimizer, and the best weights are a copy that is there all the time.
        memory_bytes=costs.process_bytes + 2 * costs.held_bytes + costs.optimizer_bytes,
        steps_per_epoch=steps,
        left_out_per_epoch=train.manifest.records - steps * batch * ranks,
        epochs=epochs,
        step_seconds=round(costs.step_seconds, 4),
        seconds=round(per_epoch * epochs, 1),
    )


def _mb(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
