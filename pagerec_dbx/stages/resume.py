"""`train --resume`: a training that was stopped goes on from its last checkpoint."""

import contextlib
import dataclasses
import shutil
from collections.abc import Collection
from typing import Any

from pagerec_dbx.config import Settings, flat
from pagerec_dbx.errors import SettingError, TrainingError
from pagerec_dbx.features.preparation import preparations
from pagerec_dbx.progress import say
from pagerec_dbx.registry.store import Registry
from pagerec_dbx.stages.stopped_runs import StoppedRun, find_stopped, run_folder, stopped_runs
from pagerec_dbx.stages.train import TrainResult, job_of, sound_run, train, train_and_register
from pagerec_dbx.tables import Tables

# How a training is run, not what it learns: these may be others when it goes on.
FREE = ("reader", "cache", "check_steps", "checkpoint_minutes", "checkpoints_kept", "silence_seconds")


def resume(
    tables: Tables, registry: Registry, stopped: StoppedRun, settings: Settings, given: Collection[str] = ()
) -> TrainResult:
    """Go on with a training that was stopped, with its own model, ranks and settings.

    Args:
        settings: those of now.
        given: names of those that somebody asked for. Of what a training learns from they must be the run's; how it
            reads, checks and leaves checkpoints is as they say.

    Raises:
        TrainingError: it was registered already, or its preparation is gone; else as `train`.
        SettingError: a setting of model or training is given that the run did not begin with.
    """
    from pagerec_dbx.training.distributed import require_ranks

    version = registered_already(registry, stopped.run_id)
    if version is not None:
        raise TrainingError(
            f"run {stopped.run_id} is version {version} already",
            fix=f"Go on with `pagerec compare --challenger {version}`",
        )
    stopped = dataclasses.replace(stopped, settings=_settings_of(stopped, settings, given))
    found = [one for one in preparations(tables, "true") if one.preparation_id == stopped.preparation_id]
    if not found:
        raise TrainingError(
            f"the preparation {stopped.preparation_id} of run {stopped.run_id} is gone", fix="Train anew"
        )
    job = job_of(registry.home, found[0], stopped)
    require_ranks(job, stopped.ranks, tables.spark.sparkContext.defaultParallelism)
    registry.reopen_run(stopped.run_id)
    return train_and_register(tables, registry, job, stopped, found[0])


def registered_already(registry: Registry, run_id: str) -> str | None:
    """The version that a run is, if it was stopped between registering it and saying so; the rest is done now."""
    version = registry.version_of(run_id)
    if version is not None:
        registry.give_alias(version)
        registry.end_run(run_id, succeeded=True)
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(run_folder(registry.home, run_id))
    return version


def resume_or_train(tables: Tables, registry: Registry, model_name: str, ranks: int, settings: Settings) -> TrainResult:
    """Go on with a stopped training of the same preparation, model, ranks and settings, or begin it: for retried jobs.

    Raises:
        As `train`.
    """
    _, wanted = sound_run(tables, model_name, ranks, settings)
    for run_id in stopped_runs(registry.home):
        with contextlib.suppress(TrainingError):  # of another version of the package
            stopped = find_stopped(registry.home, run_id)
            if dataclasses.replace(stopped, run_id="") == wanted and registry.version_of(run_id) is None:
                say(f"  run {run_id} of the same training was stopped: it goes on")
                break
    else:
        return train(tables, registry, model_name, ranks, settings)
    return resume(tables, registry, stopped, settings)


def _settings_of(stopped: StoppedRun, settings: Settings, given: Collection[str]):
    """The run's own, but for the free ones that are given; others that it would not follow are refused."""
    now = flat(settings)
    of_run = dataclasses.asdict(stopped.config) | dataclasses.asdict(stopped.settings)
    for name in given:
        if name in of_run and name not in FREE and now[name] != of_run[name]:
            raise SettingError(
                f"setting `{name}` cannot change in a run that goes on", wanted=str(of_run[name]), got=str(now[name]),
                fix="Leave it out, or train anew without --resume",
            )  # fmt: skip
    free: dict[str, Any] = {name: now[name] for name in FREE if name in given}
    return dataclasses.replace(stopped.settings, **free)
