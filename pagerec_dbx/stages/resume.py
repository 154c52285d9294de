"""`train --resume`: a training that was stopped goes on from its last checkpoint."""

import contextlib
import dataclasses
import math
import shutil
from collections.abc import Collection
from typing import Any

from pagerec_dbx.config import Settings, flat
from pagerec_dbx.errors import SettingError, TrainingError
from pagerec_dbx.features.leases import MANIFEST
from pagerec_dbx.features.preparation import Preparation, preparations
from pagerec_dbx.features.snapshot import open_snapshot
from pagerec_dbx.home import Home
from pagerec_dbx.progress import say, working
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
        TrainingError: it was registered already, or its preparation or snapshots are gone; else as `train`.
        SettingError: a setting of model or training is given that the run did not begin with.
    """
    with working("looking at what was stopped"):
        version = registered_already(registry, stopped.run_id)
    if version is not None:
        raise TrainingError(
            f"run {stopped.run_id} is version {version} already",
            fix=f"Go on with `pagerec compare --challenger {version}`",
        )
    stopped = dataclasses.replace(stopped, settings=_settings_of(stopped, settings, given))
    with working("looking at what was prepared"):
        preparation = _preparation_of(tables, stopped)
        from pagerec_dbx.training.distributed import require_ranks  # only now: TensorFlow takes seconds to import

        job = job_of(registry.home, preparation, stopped)
        require_ranks(job, stopped.ranks, tables.spark.sparkContext.defaultParallelism)
    registry.reopen_run(stopped.run_id)
    return train_and_register(tables, registry, job, stopped, preparation)


def _preparation_of(tables: Tables, stopped: StoppedRun) -> Preparation:
    """What a stopped training learns from, whose snapshots are still there."""
    every = preparations(tables, "true")
    found = next((one for one in every if one.preparation_id == stopped.preparation_id), None)
    if found is None:
        raise TrainingError(
            f"the preparation {stopped.preparation_id} of run {stopped.run_id} is gone",
            wanted="the one that it began with",
            got="others" if every else "none at all",
            fix="Train anew without --resume",
        )
    for folder in (found.folder(tables.home, split) for split in ("train", "validation")):
        # To write it again would not do: it goes 30 days after the last checkpoint, or because a viewer was forgotten.
        if not (folder / MANIFEST).is_file():
            raise TrainingError(
                f"a snapshot of run {stopped.run_id} was removed",
                wanted=str(folder),
                got="no manifest there",
                fix="Train anew without --resume",
            )
    return found


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

    How it reads, checks and leaves checkpoints is as the settings of now say. One that was stopped just after it was
    registered is not trained again.

    Raises:
        As `train`.
    """
    preparation, wanted = sound_run(tables, model_name, ranks, settings)
    stopped = _stopped_of(registry.home, wanted)
    if stopped is None:
        return train(tables, registry, model_name, ranks, settings)
    version = registered_already(registry, stopped.run_id)
    if version is not None:
        say(f"  run {stopped.run_id} of the same training is version {version} already")
        return _result_of(registry, preparation, stopped, version)
    say(f"  run {stopped.run_id} of the same training was stopped: it goes on")
    return resume(tables, registry, stopped, settings, FREE)


def _stopped_of(home: Home, wanted: StoppedRun) -> StoppedRun | None:
    """A stopped training that learns the same as the one that is wanted; of several the one that came furthest."""
    found = _all_stopped_of(home, wanted)
    return max(found, key=lambda one: _last_step(home, one.run_id)) if found else None


def _last_step(home: Home, run_id: str) -> int:
    from pagerec_dbx.training.checkpoints import Checkpoints

    return Checkpoints(run_folder(home, run_id), keep=1, every_minutes=math.inf).last_step


def _all_stopped_of(home: Home, wanted: StoppedRun) -> list[StoppedRun]:
    found = []
    free = {name: getattr(wanted.settings, name) for name in FREE}
    for run_id in stopped_runs(home):
        try:
            stopped = find_stopped(home, run_id)
        except TrainingError:
            say(f"  run {run_id}, stopped too, is of another version of the package and stays as it is")
            continue
        if dataclasses.replace(stopped, run_id="", settings=dataclasses.replace(stopped.settings, **free)) == wanted:
            found.append(stopped)
    return found


def _result_of(registry: Registry, preparation: Preparation, run: StoppedRun, version: str) -> TrainResult:
    """What a training came to that was registered before it could say so, by its run's own figures."""
    from pagerec_dbx.training.loop import require_steps

    curves = registry.run_curves(run.run_id)
    standing = run.settings.standing
    best = min(curves, key=lambda one: standing(int(one["epoch"]), one["validation_ndcg"], one["validation_loss"]))
    snapshot = open_snapshot(preparation.folder(registry.home, "train"))
    taken = require_steps(snapshot, run.ranks, run.settings.batch_size) * run.ranks * run.settings.batch_size
    return TrainResult(
        version=version, run_id=run.run_id, model=run.config.name, ranks=run.ranks, epochs=len(curves), seconds=0.0,
        parameters=int(registry.version(version).tags["parameters"]), best_epoch=int(best["epoch"]),
        validation_loss=best["validation_loss"], validation_ndcg=best["validation_ndcg"],
        left_out_per_epoch=snapshot.manifest.records - taken,
        waited_for_data=max((one["waited_for_data"] for one in curves if "waited_for_data" in one), default=None),
    )  # fmt: skip


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
