"""`train`: the latest preparation -> a registered version, alias challenger."""

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from pagerec_dbx.config import ModelSettings, Settings
from pagerec_dbx.errors import LossError, NoExamplesError, PagerecError, TrainingError, full_disk
from pagerec_dbx.features.leases import reading
from pagerec_dbx.features.preparation import Preparation, latest_preparation
from pagerec_dbx.features.snapshot import open_snapshot
from pagerec_dbx.home import Home, is_simulated
from pagerec_dbx.models.config import ModelConfig, model_config
from pagerec_dbx.models.names import require_model_name
from pagerec_dbx.progress import say, working
from pagerec_dbx.registry.store import Registry
from pagerec_dbx.stages.environment import environment
from pagerec_dbx.stages.export import export
from pagerec_dbx.stages.knowledge import leave_knowledge, require_known
from pagerec_dbx.stages.stopped_runs import StoppedRun, give_up, resume_command, run_folder
from pagerec_dbx.tables import Tables

FEW_STEPS = 10  # of an epoch, below which a smaller batch is advised


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """What `pagerec train` says; `epochs` are those that ran."""

    version: str
    run_id: str
    model: str
    parameters: int
    ranks: int
    epochs: int
    seconds: float
    best_epoch: int
    validation_loss: float  # of the best epoch
    validation_ndcg: float  # of the best epoch
    left_out_per_epoch: int  # examples not reached because all ranks take equal steps of full batches
    waited_for_data: float | None  # share of its steps' time, of the epoch and rank that waited most


def train(
    tables: Tables,
    registry: Registry,
    model_name: str,
    ranks: int,
    settings: Settings,
    profile: bool = False,
    tags: Mapping[str, str] = MappingProxyType({}),
) -> TrainResult:
    """Train a model on the latest preparation and register it as challenger, `legacy_binary` as legacy.

    Args:
        profile: leave a trace of some steps, and a page that sums it up, in HOME/profiles/RUN.
        tags: of its run, beside those that every run has.

    Raises:
        UnknownModelError: no model has that name.
        MissingTableError: nothing was prepared, or the model reads attributes that nobody has logged.
        SnapshotError, NoExamplesError, TrainingError: see `training.loop.fit` and `training.distributed`.
        RegistryError: the exported model does not score as the trained one does; nothing is registered.
    """
    preparation, run = sound_run(tables, model_name, ranks, settings)
    advise_on_steps(tables.home, preparation, run)
    name = f"{model_name} on {preparation.preparation_id}"
    run_id = open_run(registry, preparation, model_name, ranks, settings, name, tags)
    run = dataclasses.replace(run, run_id=run_id)
    job = job_of(registry.home, preparation, run, profile)
    return train_and_register(tables, registry, job, run, preparation, begin=lambda: run.keep(registry.home))


def open_run(
    registry: Registry,
    preparation: Preparation,
    model_name: str,
    ranks: int,
    settings: Settings,
    name: str,
    tags: Mapping[str, str] = MappingProxyType({}),
    parent: str | None = None,
) -> str:
    """Open the run of a training with what shapes it and what it reads; its id."""
    return registry.start_run(
        name,
        {"model": model_name, "ranks": ranks, **_parameters(preparation, settings)},
        {**environment(), "simulated": str(is_simulated(registry.home)).lower(), **tags},
        {"labelled_page_views": preparation.labelled_version, "examples": preparation.examples_version},
        parent,
    )


def sound_run(tables: Tables, model_name: str, ranks: int, settings: Settings) -> tuple[Preparation, StoppedRun]:
    """The latest preparation, and a run that can train on it, as it would have to be kept; `run_id` is still empty.

    Raises:
        As `train`.
    """
    require_model_name(model_name)
    with working("looking at what was prepared"):
        preparation = latest_preparation(tables)
        # TensorFlow takes seconds to import: only now, when the request is known to be sound.
        from pagerec_dbx.training.distributed import require_ranks

    config = config_of(preparation, model_name, settings.model)
    require_known(tables, config)
    run = StoppedRun("", config, settings.train, ranks, preparation.preparation_id)
    require_ranks(job_of(tables.home, preparation, run), ranks, tables.spark.sparkContext.defaultParallelism)
    return preparation, run


def job_of(home: Home, preparation: Preparation, run: StoppedRun, profile: bool = False):
    """What its ranks are told: the run with the paths that it has in this home."""
    from pagerec_dbx.training.job import TrainingJob

    return TrainingJob(
        config=run.config,
        train_snapshot=str(preparation.folder(home, "train")),
        validation_snapshot=str(preparation.folder(home, "validation")),
        settings=run.settings,
        folder=str(run_folder(home, run.run_id)),
        profile=str(home.folder / "profiles" / run.run_id) if profile else None,
    )


def advise_on_steps(home: Home, preparation: Preparation, run: StoppedRun) -> None:
    """Say so where an epoch has so few steps that a smaller batch would learn more."""
    from pagerec_dbx.training.loop import require_steps

    steps = require_steps(open_snapshot(preparation.folder(home, "train")), run.ranks, run.settings.batch_size)
    if steps < FEW_STEPS:
        say(f"  an epoch has {steps} step{'s' if steps > 1 else ''}: with a smaller batch_size it learns more")


def train_and_register(
    tables: Tables,
    registry: Registry,
    job,
    run: StoppedRun,
    preparation: Preparation,
    begin: Callable[[], None] = lambda: None,
) -> TrainResult:
    """Train, export and register; what a stopped training leaves in its folder goes when it is registered.

    Args:
        job: the run's, from `job_of`.
        begin: what comes first; where it fails the run counts as failed, as where anything after it does.

    Raises:
        As `train`.
    """
    with _told_how_to_go_on(registry, run.run_id):
        begin()
        result = learn(tables, registry, job, preparation, run.ranks, registry.epoch_logger(run.run_id))
        say(f"  trained in {result.seconds:,.0f} s; best epoch {result.best_epoch} of {result.epochs}; exporting")
        if job.profile is not None and Path(job.profile).exists():
            say(f"  where the time went: {job.profile}/summary.md")
        elif job.profile is not None:
            say("  no profile: the training had one call of steps; lower steps_at_once to have two")
        with working("exporting"):
            version = export(tables, registry, job, run.run_id, preparation, result)
    registry.end_run(run.run_id, succeeded=True)
    shutil.rmtree(job.folder)
    return TrainResult(
        version=version, run_id=run.run_id, model=job.config.name, parameters=result.parameters, ranks=run.ranks,
        epochs=result.epochs, seconds=round(result.seconds, 1), best_epoch=result.best_epoch,
        validation_loss=result.best.validation_loss, validation_ndcg=result.best.validation_ndcg,
        left_out_per_epoch=result.left_out_per_epoch, waited_for_data=result.waited_for_data,
    )  # fmt: skip


def learn(tables: Tables, registry: Registry, job, preparation: Preparation, ranks: int, on_epoch):
    """Train on so many ranks and leave the best weights in the job's folder; nothing is registered.

    Args:
        on_epoch: see `training.loop.fit`.

    Raises:
        As `training.distributed.train_on_ranks`. MissingTableError: the model reads a table that is not there.
    """
    from pagerec_dbx.training.distributed import train_on_ranks

    leave_knowledge(tables, preparation, job.config, job.knowledge_file)
    context, log_file = tables.spark.sparkContext, registry.home.logs / "ranks.log"
    with reading(Path(job.train_snapshot)), reading(Path(job.validation_snapshot)):  # between epochs too
        return train_on_ranks(job, ranks, on_epoch, context.defaultParallelism, log_file, context.cancelJobGroup)


@contextlib.contextmanager
def _told_how_to_go_on(registry: Registry, run_id: str) -> Iterator[None]:
    """Whatever stops a training, the person is told how to go on with it, and the run is marked as failed."""
    command = resume_command(registry.home, run_id)
    say(f"  run {run_id}; if it is stopped, go on with: {command}")
    try:
        yield
    except BaseException as error:
        mark_failed(registry, run_id)
        comes_again = isinstance(error, LossError | NoExamplesError)  # with the settings and records that it has
        if comes_again:
            give_up(registry.home, run_id)
        full = None if isinstance(error, PagerecError) else full_disk(error)
        if full is not None:
            raise TrainingError(
                "the disk is full", got=full.got, fix=f"Free some space, then go on with `{command}`"
            ) from error
        if not comes_again:
            say(f"  stopped; go on with: {command}")
        raise


def mark_failed(registry: Registry, run_id: str) -> None:
    """Mark a run as failed, whatever else goes wrong: what ended it is what must be told."""
    try:
        registry.end_run(run_id, succeeded=False)
    except Exception as error:
        say(f"  run {run_id} cannot be marked as failed: {type(error).__name__}")


def _parameters(preparation: Preparation, settings: Settings) -> dict[str, object]:
    """What shaped the training: its own settings, and what the preparation it reads was made with."""
    lengths = (
        "title_count", "row_count", "device_count", "location_count", "history_length", "menu_length", "shown_length"
    )  # fmt: skip
    return {
        **dataclasses.asdict(settings.train),
        **dataclasses.asdict(settings.model),
        "preparation": preparation.preparation_id,
        "vocabulary_version": preparation.vocabulary_version,
        **{name: getattr(preparation, name) for name in lengths},
        "validation_start": json.dumps(preparation.cuts.validation.as_json()),
        "holdout_start": json.dumps(preparation.cuts.holdout.as_json()),
        **preparation.counts,
    }


def config_of(preparation: Preparation, model_name: str, settings: ModelSettings) -> ModelConfig:
    """A model with these settings on a preparation's vocabularies.

    Raises:
        SettingError: settings that contradict each other or the data.
    """
    counts = ("title_count", "row_count", "device_count", "location_count")
    sizes = {name: getattr(preparation, name) for name in (*counts, "history_length", "menu_length", "shown_length")}
    return model_config(model_name, settings, **sizes)
