"""Trainings that began and did not end: what of each is kept to go on with it, and how long its snapshots are."""

import dataclasses
import datetime as dt
import json
import shlex
from collections.abc import Mapping
from pathlib import Path

from pagerec_dbx.config import TrainSettings
from pagerec_dbx.errors import SettingError, TrainingError
from pagerec_dbx.features.preparation import preparations
from pagerec_dbx.home import Home, write_atomically
from pagerec_dbx.models.config import ModelConfig, config_from_values
from pagerec_dbx.tables import Tables

_PLAN = "run.json"  # in the folder of a training that has not ended
FORMAT = 5  # raised whenever a model's weights change in number, order or meaning: checkpoints hold weights by number
_WAIT_DAYS = 30.0  # after its last checkpoint, for which a stopped training's snapshots are kept


@dataclasses.dataclass(frozen=True)
class StoppedRun:
    """What a training must know to go on; no path, because its home may be copied or moved meanwhile."""

    run_id: str
    config: ModelConfig
    settings: TrainSettings
    ranks: int
    preparation_id: str

    def keep(self, home: Home) -> None:
        """Write it down, in the folder of the run."""
        folder = run_folder(home, self.run_id)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / _PLAN, json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, indent=2) + "\n")


def find_stopped(home: Home, run_id: str) -> StoppedRun:
    """A training that was stopped.

    Args:
        run_id: the id of its run, or the folder that it left.

    Raises:
        TrainingError: none of that name was stopped here, or another version of the package began it.
    """
    wanted = "one of " + (", ".join(stopped_runs(home)) or "those that were stopped, of which there is none")
    if not run_id.strip():
        raise TrainingError("--resume names no run", wanted=f"{wanted}, or auto", fix="Name one, or leave --resume out")
    file = run_folder(home, run_id) / _PLAN
    try:
        return _from_values(json.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise TrainingError(
            f"no stopped training `{run_id}`",
            wanted=wanted,
            fix="Train anew without --resume",
        ) from error
    except (ValueError, KeyError, TypeError, SettingError) as error:
        raise TrainingError(
            f"the stopped training `{run_id}` cannot be read",
            wanted=f"what this version writes into {file}",
            got="something else",
            fix="If another version of the package began it, go on with that; else train anew without --resume",
        ) from error


def _from_values(values: Mapping) -> StoppedRun:
    own = {name: value for name, value in values.items() if name != "format"}
    if values["format"] != FORMAT:
        raise ValueError(f"format {values['format']}")
    if not isinstance(own["ranks"], int) or own["ranks"] < 1:
        raise ValueError(f"ranks {own['ranks']}")
    parts = {"config": config_from_values(values["config"]), "settings": TrainSettings(**values["settings"])}
    return StoppedRun(**{**own, **parts})


def give_up(home: Home, run_id: str) -> None:
    """Nobody may go on with a training any more; what else it left stays to be looked at."""
    (run_folder(home, run_id) / _PLAN).unlink(missing_ok=True)


def stopped_runs(home: Home) -> list[str]:
    """Trainings that began and did not end, by the id of their run."""
    folder = home.folder / "training"
    return sorted(one.name for one in folder.iterdir() if (one / _PLAN).is_file()) if folder.is_dir() else []


def run_folder(home: Home, run_id: str) -> Path:
    """Where a training leaves its checkpoints; it is there until the training has ended."""
    return home.folder / "training" / Path(run_id).name


def resume_command(home: Home, run_id: str) -> str:
    """What to type to go on with it."""
    return f"pagerec train --resume {run_id} --home {shlex.quote(home.name)}"


def snapshots_to_go_on(tables: Tables, now: dt.datetime) -> set[str]:
    """Names of the snapshots from which trainings learn that were stopped in the last 30 days."""
    wanted = set()
    for run_id in stopped_runs(tables.home):
        since = max(path.stat().st_mtime for path in run_folder(tables.home, run_id).iterdir())
        if now - dt.datetime.fromtimestamp(since, dt.UTC) <= dt.timedelta(days=_WAIT_DAYS):
            wanted.add(_preparation_of(tables.home, run_id))
    if not wanted:
        return set()
    found = [one for one in preparations(tables, "true") if one.preparation_id in wanted]
    return {one.folder_name(split) for one in found for split in ("train", "validation")}


def _preparation_of(home: Home, run_id: str) -> str | None:
    try:
        return find_stopped(home, run_id).preparation_id
    except TrainingError:  # of another version, which cannot go on here
        return None
