"""Where a training stands, on a disk: enough to go on as if it had never stopped."""

import dataclasses
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pagerec_dbx.errors import TrainingError
from pagerec_dbx.features.snapshot import sha256_of
from pagerec_dbx.home import write_atomically

_NAME = re.compile(r"checkpoint-(\d{9})\.json")


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A moment of a training: arrays by name, and plain values."""

    step: int  # taken since the training began
    state: Mapping[str, Any]  # what JSON can hold
    arrays: Mapping[str, np.ndarray]


class Checkpoints:
    """The last few checkpoints of one run, in a folder that all ranks see."""

    def __init__(self, folder: Path, keep: int, every_minutes: float):
        self._folder, self._keep, self._every = folder, keep, 60 * every_minutes
        self._saved_at = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether it is time for the next one."""
        return time.monotonic() - self._saved_at >= self._every

    def save(self, checkpoint: Checkpoint) -> None:
        """Write it, then a marker that names its bytes, then remove those past the last few.

        The arrays are written on this machine and copied: a volume takes no random writes and may show half a file. A
        kill in between leaves the one before.

        Raises:
            TrainingError: it cannot be written, as on a full disk.
        """
        data = self._folder / f"checkpoint-{checkpoint.step:09d}.npz"
        aside = data.with_name(f".{data.name}.{os.getpid()}")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory() as scratch:
                local = Path(scratch, "arrays.npz")
                np.savez(local, **checkpoint.arrays)
                marker = {"step": checkpoint.step, "state": checkpoint.state, "sha256": sha256_of(local)}
                shutil.copyfile(local, aside)
            aside.replace(data)
            write_atomically(data.with_suffix(".json"), json.dumps(marker))
        except OSError as error:
            aside.unlink(missing_ok=True)  # half a checkpoint takes the room that is lacking
            raise TrainingError(
                f"the checkpoint of step {checkpoint.step:,} cannot be written",
                wanted=f"room for it in {self._folder} and in the folder for temporary files",
                got=error.strerror or type(error).__name__,
                fix="Make room, then go on from the checkpoint before with --resume",
            ) from error
        self._saved_at = time.monotonic()
        for step in self._steps()[self._keep :]:
            for suffix in (".json", ".npz"):  # the marker first: nobody reads half of a checkpoint that goes
                (self._folder / f"checkpoint-{step:09d}{suffix}").unlink(missing_ok=True)

    def newest(self) -> Checkpoint | None:
        """The last one that is whole; None where there is none."""
        for step in self._steps():
            found = _read(self._folder / f"checkpoint-{step:09d}.json")
            if found is not None:
                return found
        return None

    def _steps(self) -> list[int]:
        """The newest first."""
        names = [path.name for path in self._folder.iterdir()] if self._folder.is_dir() else []
        return sorted((int(match[1]) for match in map(_NAME.fullmatch, names) if match), reverse=True)


def _read(marker: Path) -> Checkpoint | None:
    data = marker.with_suffix(".npz")
    try:
        facts = json.loads(marker.read_text(encoding="utf-8"))
        if sha256_of(data) != facts["sha256"]:
            return None
        with np.load(data, allow_pickle=False) as saved:
            return Checkpoint(facts["step"], facts["state"], {name: saved[name] for name in saved.files})
    except (OSError, ValueError, KeyError, TypeError):
        return None  # the one before it serves
