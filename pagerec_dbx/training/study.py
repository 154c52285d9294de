"""Which settings are tried next, and which trial is given up: the only door to Optuna."""

import contextlib
import dataclasses
import json
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pagerec_dbx.errors import TrainingError
from pagerec_dbx.home import write_atomically
from pagerec_dbx.models.names import Range, Space

# A trial is held against others from here on: in its first epoch the learning rate is still being raised.
FIRST_JUDGED_EPOCH = 2
TRIALS_BEFORE_JUDGING = 5  # that ran to their end: a median of fewer says little
FINISHED, PRUNED, FAILED = "finished", "pruned", "failed"  # failed: its settings contradict each other or diverge


@dataclasses.dataclass(frozen=True)
class Suggestion:
    """Settings to try; `number` counts from 1."""

    number: int
    settings: Mapping[str, object]


@dataclasses.dataclass(frozen=True)
class Trial:
    """Settings that were tried, and what came of them; `number` counts from 1."""

    number: int
    state: str  # FINISHED, PRUNED or FAILED
    settings: Mapping[str, object]
    epochs: int
    validation_ndcg: float | None  # of the epoch that would be kept; None unless it is finished
    run_id: str
    why: str  # it failed; else empty


def as_overrides(settings: Mapping[str, object]) -> str:
    """As the command line takes them."""
    return " ".join(f"{name}={_text(value)}" for name, value in settings.items())


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return "[" + ",".join(map(str, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def require_optuna():
    """The engine, quiet.

    Raises:
        TrainingError: it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise TrainingError(
            "tuning needs the package optuna",
            wanted="optuna 3.6 or a later 3",
            got=str(error),
            fix="Install it: pip install 'optuna>=3.6,<4', on a cluster as one of its libraries",
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


@contextlib.contextmanager
def open_study(kept: Path, space: Space, seed: int) -> Iterator["Study"]:
    """A search that begins, or goes on with the trials in its journal.

    Optuna appends to the journal in a folder of its own; after each trial the whole of it is put in its place in the
    home. So a kill leaves there what the last trial left, never half a line, and a volume is not appended to.

    Args:
        kept: the journal in the home; its name is the search's.
        space: what is looked for.
        seed: same seed, same settings in the same order, however often the search was stopped.

    Raises:
        TrainingError: Optuna is not installed, or the journal cannot be read.
    """
    require_optuna()
    with tempfile.TemporaryDirectory() as scratch:
        journal = Path(scratch, "journal.log")
        if kept.exists():
            shutil.copyfile(kept, journal)
        yield Study(journal, kept, space, seed)


class Study:
    """The trials of one search."""

    def __init__(self, journal: Path, kept: Path, space: Space, seed: int):
        self._journal, self._kept, self._space, self._seed = journal, kept, space, seed
        self._optuna = require_optuna()
        try:
            self._study = self._opened()
        except (ValueError, KeyError, TypeError) as error:
            raise TrainingError(
                f"the journal of the search {kept.stem} cannot be read",
                wanted=f"what `pagerec tune` wrote into {kept}",
                got=f"{type(error).__name__}: {error}",
                fix=f"Restore {kept}, or remove it to begin again",
            ) from error
        self._asked: Any = None

    @property
    def parent(self) -> str | None:
        """The run below which its trials' runs stand."""
        return self._study.user_attrs.get("run_id")

    @parent.setter
    def parent(self, run_id: str) -> None:
        self._study.set_user_attr("run_id", run_id)
        self._keep()

    def trials(self) -> list[Trial]:
        """Those that have ended, in their order."""
        return [self._trial(one) for one in self._ended()]

    def suggest(self) -> Suggestion:
        """What to try next: it follows from the seed and the trials that have ended, and from nothing else."""
        number = len(self._ended()) + 1
        # A sampler's own state is lost with its process, and a new one with the same seed would begin anew.
        own_seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        self._study.sampler = self._optuna.samplers.TPESampler(seed=own_seed)
        self._asked = self._study.ask(_distributions(self._optuna, self._space))
        return Suggestion(number, _values(self._space, self._asked.params))

    def watch(self, log) -> "Watch":
        """What a trial's training calls after each epoch: `log`, then the judgement whether it is given up."""
        return Watch(log, self._ended())

    def tell(self, run_id: str, curve: Sequence[float], value: float | None, why: str = "") -> Trial:
        """Keep what came of the suggestion.

        Args:
            curve: validation NDCG after each epoch.
            value: of the epoch that would be kept; None where the trial was pruned or failed.
            why: it failed.
        """
        trial, state = self._asked, self._optuna.trial.TrialState
        for epoch, ndcg in enumerate(curve, start=1):
            trial.report(ndcg, epoch)
        for name, text in (("run_id", run_id), ("why", why)):
            trial.set_user_attr(name, text)
        ended = self._study.tell(trial, value, state=state.PRUNED if value is None else state.COMPLETE)
        self._keep()
        return self._trial(ended)

    def _opened(self):
        storages = self._optuna.storages
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", self._optuna.exceptions.ExperimentalWarning)
            storage = storages.JournalStorage(storages.JournalFileStorage(str(self._journal)))
        return self._optuna.create_study(
            storage=storage, study_name=self._kept.stem, direction="maximize", load_if_exists=True
        )

    def _ended(self) -> list:
        return [one for one in self._study.get_trials(deepcopy=False) if one.state.is_finished()]

    def _trial(self, ended) -> Trial:
        why = ended.user_attrs["why"]
        is_finished = ended.state == self._optuna.trial.TrialState.COMPLETE
        return Trial(
            number=ended.number + 1,
            state=FINISHED if is_finished else FAILED if why else PRUNED,
            settings=_values(self._space, ended.params),
            epochs=len(ended.intermediate_values),
            validation_ndcg=ended.value if is_finished else None,
            run_id=ended.user_attrs["run_id"],
            why=why,
        )

    def _keep(self) -> None:
        self._kept.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._kept, self._journal.read_text(encoding="utf-8"))


class Watch:
    """Optuna's median rule, wherever the first rank is: the trials before it travel there with it.

    A trial is given up after an epoch if its best NDCG so far lies below the median of those that the finished trials
    had after the same epoch.
    """

    def __init__(self, log, before: Sequence):
        self._log, self._before = log, tuple(before)
        self._trial: Any = None

    def __call__(self, report) -> bool:
        self._log(report)
        if self._trial is None:
            self._trial = self._begun()
        self._trial.report(report.validation_ndcg, report.epoch)
        return bool(self._trial.should_prune())

    def _begun(self):
        optuna = require_optuna()
        rule = optuna.pruners.MedianPruner(TRIALS_BEFORE_JUDGING, FIRST_JUDGED_EPOCH)
        study = optuna.create_study(direction="maximize", pruner=rule)
        study.add_trials(self._before)
        return study.ask()


def _distributions(optuna, space: Space) -> dict:
    made = {}
    for name, values in space.items():
        if isinstance(values, Range):
            made[name] = optuna.distributions.FloatDistribution(values.low, values.high, log=values.log)
        else:
            made[name] = optuna.distributions.CategoricalDistribution([json.dumps(value) for value in values])
    return made


def _values(space: Space, parameters: Mapping[str, object]) -> dict[str, object]:
    """Optuna's numbers, and texts of choices, as settings: four digits, so that what is shown is what was tried."""
    settings: dict[str, object] = {}
    for name, values in space.items():
        if isinstance(values, Range):
            settings[name] = float(f"{parameters[name]:.4g}")
        else:
            settings[name] = next(value for value in values if json.dumps(value) == parameters[name])
    return settings
