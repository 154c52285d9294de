"""`tune`: settings are looked for on the validation days; the best ones are trained and registered as challenger."""

import contextlib
import dataclasses
import hashlib
import json
import math
import shutil
import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from pagerec_dbx.config import ModelSettings, Settings, flat, settings_from
from pagerec_dbx.errors import (
    GO_ON,
    LossError,
    NoExamplesError,
    SettingError,
    TrainingError,
    with_advice_to_repeat,
)
from pagerec_dbx.features.preparation import Preparation, latest_preparation
from pagerec_dbx.figures import number
from pagerec_dbx.home import Home
from pagerec_dbx.models.names import Space
from pagerec_dbx.models.search import first_possible, search_space
from pagerec_dbx.progress import say, span
from pagerec_dbx.registry.store import Registry
from pagerec_dbx.stages.knowledge import require_known
from pagerec_dbx.stages.resume import FREE, registered_already, resume
from pagerec_dbx.stages.stopped_runs import StoppedRun, find_stopped, stopped_runs
from pagerec_dbx.stages.train import config_of, job_of, learn, mark_failed, open_run, train
from pagerec_dbx.stages.tune_result import TuneResult
from pagerec_dbx.tables import Tables
from pagerec_dbx.training.study import FINISHED, Study, Trial, as_overrides, open_study, require_optuna


@dataclasses.dataclass(frozen=True)
class _Search:
    """What all trials of a search have in common."""

    tables: Tables
    registry: Registry
    preparation: Preparation
    model_name: str
    ranks: int
    settings: Settings  # a trial's own ones go before them
    space: Space

    @property
    def home(self) -> Home:
        return self.registry.home

    @property
    def name(self) -> str:
        """It has a digest of all that makes trials comparable: others are another search, with a journal of its own."""
        own = dataclasses.asdict(self.settings.train) | dataclasses.asdict(self.settings.model)
        fixed = {name: value for name, value in own.items() if name not in self.space and name not in FREE}
        facts = [self.preparation.preparation_id, self.ranks, fixed, list(self.space.items())]
        text = json.dumps(facts, sort_keys=True, default=dataclasses.asdict)
        return f"{self.model_name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def of_trial(self, trial: Trial) -> Settings:
        """The settings with which a trial was trained."""
        return settings_from(flat(self.settings) | dict(trial.settings))


def tune(
    tables: Tables,
    registry: Registry,
    model_name: str,
    trials: int,
    ranks: int,
    settings: Settings,
    given: Collection[str] = (),
) -> TuneResult:
    """Look for settings until so many trials have ended, then train with the best and register it as challenger.

    A search that was stopped goes on: trials that have ended count, the one that was under way begins anew. Trials are
    held against each other by their validation NDCG alone; the holdout is not read.

    Args:
        trials: of the search altogether, those of stopped runs of this command included.
        given: names of settings that stay as they are.

    Raises:
        UnknownModelError, UsageError: there is nothing to tune, see `models.search.search_space`.
        SettingError: settings that are given contradict each other or the data, whatever goes with them.
        TrainingError: Optuna is not installed, the journal cannot be read, or no trial came to its end.
        As `stages.train.train`.
    """
    space = search_space(model_name, given, settings.model)
    require_optuna()
    search = _Search(tables, registry, latest_preparation(tables), model_name, ranks, settings, space)
    _require_sound(search)
    with open_study(search.home.folder / "tuning" / f"{search.name}.log", space, settings.train.seed) as study:
        parent = _begun(search, study)
        with _told_that_it_goes_on(registry, parent, study):
            _try(search, study, trials)
            ended = study.trials()
            best = best_of(ended)
            say(f"  trial {best.number} is the best; training with its settings")
            version, run_id = _registered(search, best)
            result = TuneResult(model_name, ranks, search.name, parent, tuple(ended), best, version, run_id)
            registry.log_run_metrics(parent, {"validation_ndcg": best.validation_ndcg, **result.counts})
            registry.tag_run(parent, {"best_trial": str(best.number), "version": version})
    registry.end_run(parent, succeeded=True)
    return result


def best_of(trials: Sequence[Trial]) -> Trial:
    """The finished trial with the highest validation NDCG, the first of equal ones.

    Raises:
        TrainingError: none is finished.
    """
    finished = [one for one in trials if one.state == FINISHED]
    if not finished:
        raise TrainingError(
            f"none of {len(trials)} trials came to its end",
            got=trials[-1].why,
            fix="Give other settings or more trials",
        )
    return max(finished, key=lambda one: one.validation_ndcg)


def _require_sound(search: _Search) -> None:
    """Refuse what no trial could be trained with, before a run is opened."""
    from pagerec_dbx.training.distributed import require_ranks

    of_model = {field.name for field in dataclasses.fields(ModelSettings)}
    config = first_possible(
        {name: values for name, values in search.space.items() if name in of_model},
        lambda chosen: config_of(
            search.preparation, search.model_name, dataclasses.replace(search.settings.model, **chosen)
        ),
    )
    require_known(search.tables, config)
    sizes: Any = search.space.get("batch_size", (search.settings.train.batch_size,))
    settings = dataclasses.replace(search.settings.train, batch_size=min(sizes))
    run = StoppedRun("", config, settings, search.ranks, search.preparation.preparation_id)
    slots = search.tables.spark.sparkContext.defaultParallelism
    require_ranks(job_of(search.home, search.preparation, run), search.ranks, slots)


def _begun(search: _Search, study: Study) -> str:
    """The run below which the trials' runs stand, open."""
    registry, parent = search.registry, study.parent
    if parent is not None:
        registry.end_forsaken_runs(parent)
        registry.reopen_run(parent)
        say(f"  the search {search.name} goes on after {_counted(study)}")
        return parent
    name = f"search {search.name}"
    study.parent = open_run(
        registry, search.preparation, search.model_name, search.ranks, search.settings, name, {"study": search.name}
    )
    return study.parent


@contextlib.contextmanager
def _told_that_it_goes_on(registry: Registry, parent: str, study: Study) -> Iterator[None]:
    """Whatever stops a search, its run is marked as failed and the person is told what is kept."""
    try:
        yield
    except BaseException as error:
        mark_failed(registry, parent)
        say(f"  stopped; the same command goes on after {_counted(study)}")
        if isinstance(error, TrainingError) and GO_ON in error.fix:
            raise with_advice_to_repeat(error) from error
        raise


def _counted(study: Study) -> str:
    count = len(study.trials())
    return f"{count} trial{'' if count == 1 else 's'}"


# --- trials -----------------------------------------------------------------------------------------------------------


def _try(search: _Search, study: Study, trials: int) -> None:
    """Trials until so many have ended."""
    started, before = time.monotonic(), len(study.trials())
    while (done := len(study.trials())) < trials:
        trial = _try_one(search, study)
        done += 1
        each = (time.monotonic() - started) / (done - before)
        left = f"; about {span(each * (trials - done + 1))} left" if done < trials else ""  # one more: the best, anew
        came_to = trial.why or f"validation NDCG {number(trial.validation_ndcg)}"
        if trial.state != FINISHED and not trial.why:
            came_to = f"after {trial.epochs} epochs"
        say(f"  trial {trial.number} of {trials} {trial.state}: {came_to}{left}")


def _try_one(search: _Search, study: Study) -> Trial:
    """Train with the settings that are suggested next, in a run of their own; nothing else of it is left."""
    registry, asked = search.registry, study.suggest()
    settings = settings_from(flat(search.settings) | dict(asked.settings))
    run_id = open_run(
        registry,
        search.preparation,
        search.model_name,
        search.ranks,
        settings,
        f"trial {asked.number} of {search.name}",
        {"trial": str(asked.number)},
        study.parent,
    )
    say(f"  trial {asked.number}: {as_overrides(asked.settings)}")
    try:
        result, why = _trained(search, settings, study.watch(registry.epoch_logger(run_id)))
        curve = [report.validation_ndcg for report in result.reports] if result else []
        value = None if result is None or result.was_stopped else result.best.validation_ndcg
        trial = study.tell(run_id, curve, value, why)
        registry.tag_run(run_id, {"trial_state": trial.state} | ({"why": why} if why else {}))
    except BaseException:
        mark_failed(registry, run_id)
        raise
    registry.end_run(run_id, succeeded=not why)
    return trial


def _trained(search: _Search, settings: Settings, watch):
    """What a trial's training came to, or None and why its settings cannot be trained with."""
    from pagerec_dbx.training.distributed import require_ranks

    folder = search.home.folder / "tuning" / search.name
    shutil.rmtree(folder, ignore_errors=True)  # what a killed one left
    try:
        config = config_of(search.preparation, search.model_name, settings.model)
        # A trial is not gone on with, so it leaves no checkpoints on its way.
        own = dataclasses.replace(settings.train, checkpoint_minutes=math.inf)
        run = StoppedRun("", config, own, search.ranks, search.preparation.preparation_id)
        job = dataclasses.replace(job_of(search.home, search.preparation, run), folder=str(folder))
        require_ranks(job, search.ranks, search.tables.spark.sparkContext.defaultParallelism)
        return learn(search.tables, search.registry, job, search.preparation, search.ranks, watch), ""
    except (SettingError, NoExamplesError, LossError) as error:
        return None, str(error)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# --- the best ---------------------------------------------------------------------------------------------------------


def _registered(search: _Search, best: Trial) -> tuple[str, str]:
    """The version that is trained with a trial's settings, and its run; one that this command has begun goes on."""
    registry, tags = search.registry, {"study": search.name, "tuned_settings": as_overrides(best.settings)}
    for run_id in registry.find_runs(tags):
        version = registered_already(registry, run_id)
        if version is not None:
            return version, run_id
        if run_id in stopped_runs(search.home):
            result = resume(search.tables, registry, find_stopped(search.home, run_id), search.settings)
            return result.version, result.run_id
    settings = search.of_trial(best)
    result = train(
        search.tables, registry, search.model_name, search.ranks, settings, tags={**tags, "trial": str(best.number)}
    )
    return result.version, result.run_id
