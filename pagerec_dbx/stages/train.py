"""`train`: the latest preparation -> a registered version, alias challenger."""

import dataclasses
import json
import shutil
import tempfile
from pathlib import Path

from pagerec_dbx.config import Settings
from pagerec_dbx.errors import SettingError, TrainingError
from pagerec_dbx.features.leases import reading
from pagerec_dbx.features.preparation import Preparation, latest_preparation, preparations
from pagerec_dbx.features.snapshot import open_snapshot
from pagerec_dbx.home import is_simulated, write_atomically
from pagerec_dbx.models.names import require_model_name
from pagerec_dbx.progress import say
from pagerec_dbx.registry.store import Registry
from pagerec_dbx.stages.environment import environment
from pagerec_dbx.stages.export import export
from pagerec_dbx.tables import Tables

FEW_STEPS = 10  # of an epoch, below which a smaller batch is advised
_PLAN = "run.json"  # in the folder of a training that has not ended: what --resume needs to know


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
    validation_loss: float
    left_out_per_epoch: int  # examples not reached because all ranks take equal steps of full batches


def train(
    tables: Tables, registry: Registry, model_name: str, ranks: int, settings: Settings, profile: bool = False
) -> TrainResult:
    """Train a model on the latest preparation and register it as challenger, `legacy_binary` as legacy.

    Args:
        profile: leave a trace of some steps, and a page that sums it up, in HOME/profiles/RUN.

    Raises:
        UnknownModelError: no model has that name.
        MissingTableError: nothing was prepared.
        SnapshotError, NoExamplesError, TrainingError: see `training.loop.fit` and `training.distributed`.
        RegistryError: the exported model does not score as the trained one does; nothing is registered.
    """
    preparation, job = sound_job(tables, registry, model_name, ranks, settings)
    from pagerec_dbx.training.job import job_to_json

    run_id = registry.start_run(
        f"{model_name} on {preparation.preparation_id}",
        {"model": model_name, "ranks": ranks, **_parameters(preparation, settings)},
        {**environment(), "simulated": str(is_simulated(registry.home)).lower()},
        {"labelled_page_views": preparation.labelled_version, "examples": preparation.examples_version},
    )
    steps = open_snapshot(Path(job.train_snapshot)).manifest.records // (ranks * job.settings.batch_size)
    if steps < FEW_STEPS:
        say(f"  an epoch has {steps} step{'s' if steps > 1 else ''}: with a smaller batch_size it learns more")
    traces = str(registry.home.folder / "profiles" / run_id) if profile else None
    job = dataclasses.replace(job, folder=str(_run_folder(registry, run_id)), profile=traces)
    plan = {"job": job_to_json(job), "ranks": ranks, "preparation": preparation.preparation_id}
    Path(job.folder).mkdir(parents=True)
    write_atomically(Path(job.folder) / _PLAN, json.dumps(plan, indent=2) + "\n")
    return _run(tables, registry, job, ranks, run_id, preparation)


def sound_job(tables: Tables, registry: Registry, model_name: str, ranks: int, settings: Settings):
    """The latest preparation, and the job of training on it, which so many ranks can do; `folder` is still empty.

    Raises:
        As `train`.
    """
    require_model_name(model_name)
    preparation = latest_preparation(tables)
    # TensorFlow takes seconds to import: only now, when the request is known to be sound.
    from pagerec_dbx.training.distributed import require_ranks

    job = _job(registry, preparation, model_name, settings)
    require_ranks(job, ranks, tables.spark.sparkContext.defaultParallelism)
    return preparation, job


def resume(tables: Tables, registry: Registry, run_id: str, settings: Settings) -> TrainResult:
    """Go on with a training that was stopped, from its last checkpoint, with its own model, ranks and settings.

    Args:
        settings: those given now. What a training learns from must be the run's or a default; how it reads, checks and
            leaves checkpoints (`_FREE`) is as now.

    Raises:
        TrainingError: no training of that name was stopped here, it was registered already, or its preparation is gone;
            else as `train`.
        SettingError: a setting of model or training is given that the run did not begin with.
    """
    from pagerec_dbx.training.distributed import require_ranks
    from pagerec_dbx.training.job import job_from_json

    try:
        plan = json.loads((_run_folder(registry, run_id) / _PLAN).read_text(encoding="utf-8"))
        job, ranks, preparation_id = job_from_json(plan["job"]), int(plan["ranks"]), str(plan["preparation"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"no stopped training `{run_id}`",
            wanted="one of " + (", ".join(stopped_runs(registry)) or "those that stop from now on"),
            got=type(error).__name__,
            fix="Train anew without --resume",
        ) from error
    version = registry.version_of(run_id)
    if version is not None:  # it was stopped between registering it and saying so
        registry.end_run(run_id, succeeded=True)
        shutil.rmtree(_run_folder(registry, run_id))
        raise TrainingError(
            f"run {run_id} is version {version} already", fix=f"Go on with `pagerec compare --challenger {version}`"
        )
    _require_same(settings, job)
    free = {name: getattr(settings.train, name) for name in _FREE}
    job = dataclasses.replace(job, settings=dataclasses.replace(job.settings, **free))
    found = [one for one in preparations(tables, "true") if one.preparation_id == preparation_id]
    if not found:
        raise TrainingError(f"the preparation {preparation_id} of run {run_id} is gone", fix="Train anew")
    require_ranks(job, ranks, tables.spark.sparkContext.defaultParallelism)
    registry.reopen_run(run_id)
    return _run(tables, registry, job, ranks, run_id, found[0])


def stopped_runs(registry: Registry) -> list[str]:
    """Trainings that began and did not end, by the id of their run."""
    folder = registry.home.folder / "training"
    return sorted(one.name for one in folder.iterdir() if (one / _PLAN).is_file()) if folder.is_dir() else []


def _run_folder(registry: Registry, run_id: str) -> Path:
    return registry.home.folder / "training" / Path(run_id).name


# How a training is run, not what it learns: these may be others when it goes on.
_FREE = ("reader", "cache", "check_steps", "checkpoint_minutes", "checkpoints_kept", "silence_seconds")


def _require_same(settings: Settings, job) -> None:
    """Refuse settings that a resumed run would not follow."""
    model = {name: getattr(job.config, name) for name in dataclasses.asdict(settings.model)}
    of_run = dataclasses.asdict(job.settings) | model
    given = dataclasses.asdict(settings.train) | dataclasses.asdict(settings.model)
    defaults = dataclasses.asdict(Settings().train) | dataclasses.asdict(Settings().model)
    for name, value in given.items():
        if name not in _FREE and value not in (of_run[name], defaults[name]):
            raise SettingError(
                f"setting `{name}` cannot change in a run that goes on", wanted=str(of_run[name]), got=str(value),
                fix="Leave it out, or train anew without --resume",
            )  # fmt: skip


def _run(tables: Tables, registry: Registry, job, ranks: int, run_id: str, preparation: Preparation) -> TrainResult:
    """Train, export and register; what a stopped training leaves in its folder goes when it is registered."""
    from pagerec_dbx.training.distributed import train_on_ranks

    say(f"  run {run_id}; if it is stopped, go on with: pagerec train --resume {run_id}")
    context = tables.spark.sparkContext
    try:
        log_file = _log_folder(registry) / "ranks.log"
        with reading(Path(job.train_snapshot)), reading(Path(job.validation_snapshot)):  # between epochs too
            logger, slots = registry.epoch_logger(run_id), context.defaultParallelism
            result = train_on_ranks(job, ranks, logger, slots, log_file, context.cancelAllJobs)
        say(f"  trained in {result.seconds:,.0f} s; best epoch {result.best_epoch} of {result.epochs}; exporting")
        if job.profile is not None and Path(job.profile).exists():
            say(f"  where the time went: {job.profile}/summary.md")
        elif job.profile is not None:
            say("  no profile: the training had one call of steps; lower steps_at_once to have two")
        version = export(tables, registry, job, run_id, preparation, result)
    except BaseException:
        try:
            registry.end_run(run_id, succeeded=False)
        except Exception as error:  # what ended the training is what must be told
            say(f"  run {run_id} cannot be marked as failed: {type(error).__name__}")
        raise
    registry.end_run(run_id, succeeded=True)
    shutil.rmtree(job.folder)
    return TrainResult(
        version=version, run_id=run_id, model=job.config.name, parameters=result.parameters, ranks=ranks,
        epochs=result.epochs, seconds=round(result.seconds, 1), best_epoch=result.best_epoch,
        validation_loss=result.validation_loss_of_best, left_out_per_epoch=result.left_out_per_epoch,
    )  # fmt: skip


def _parameters(preparation: Preparation, settings: Settings) -> dict[str, object]:
    """What shaped the training: its own settings, and what the preparation it reads was made with."""
    lengths = ("title_count", "row_count", "device_count", "location_count", "history_length", "menu_length")
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


def _log_folder(registry: Registry) -> Path:
    """A volume cannot be appended to, so on Databricks the ranks' words go to the driver's disk."""
    return Path(tempfile.mkdtemp()) if registry.home.in_catalog else registry.home.logs


def _job(registry: Registry, preparation: Preparation, model_name: str, settings: Settings):
    from pagerec_dbx.models.config import model_config
    from pagerec_dbx.training.job import TrainingJob

    counts = ("title_count", "row_count", "device_count", "location_count", "history_length")
    sizes = {name: getattr(preparation, name) for name in counts}
    config = model_config(model_name, settings.model, **sizes)
    return TrainingJob(
        config=config,
        train_snapshot=str(preparation.folder(registry.home, "train")),
        validation_snapshot=str(preparation.folder(registry.home, "validation")),
        settings=settings.train,
        folder="",  # of the run, which is begun once the job is known to be sound
    )
