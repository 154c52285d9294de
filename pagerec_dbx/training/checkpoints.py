"""Where a training stands, on a disk: enough to go on as if it had never stopped.

Damage is what was written and is no longer whole: no such file, no JSON, another digest. Such a checkpoint is passed
over and removed. One that cannot be read just now, as on a volume that is away, may be whole: it stays, and is told.
"""

import contextlib
import dataclasses
import json
import os
import re
import shutil
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pagerec_dbx.errors import GO_ON, TrainingError, full_disk
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
    def folder(self) -> Path:
        """Where they lie."""
        return self._folder

    @property
    def is_due(self) -> bool:
        """Whether it is time for the next one."""
        return time.monotonic() - self._saved_at >= self._every

    def save(self, checkpoint: Checkpoint) -> None:
        """Write it, then a marker that names its bytes, then remove those past the last few.

        The arrays are written on this machine and copied: a volume takes no random writes and may show half a file. A
        kill in between leaves the one before.

        Raises:
            TrainingError: it cannot be written, as on a full disk, or those before it cannot be read.
        """
        marker = self._marker(checkpoint.step)
        aside = marker.with_name(f".{marker.stem}.{os.getpid()}")
        try:
            self._remove_all_but_the_last()  # what a killed one left takes room that this one needs
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory() as scratch:
                local = Path(scratch, "arrays.npz")
                _write(local, checkpoint.arrays)
                digest = sha256_of(local)
                shutil.copyfile(local, aside)
            # Named by its digest: an epoch's end has the step of its last call, whose arrays stay until it is marked.
            data = marker.with_name(f"{marker.stem}-{digest[:8]}.npz")
            aside.replace(data)
            facts = {"step": checkpoint.step, "state": checkpoint.state, "arrays": data.name, "sha256": digest}
            facts["crc"] = _crc(facts)
            write_atomically(marker, json.dumps(facts))
        except OSError as error:
            with contextlib.suppress(OSError, TrainingError):  # one without its marker takes the room that is lacking
                aside.unlink(missing_ok=True)
                self._remove_all_but_the_last()
            raise TrainingError(
                f"the checkpoint of step {checkpoint.step:,} cannot be written",
                wanted=f"room for it in {self._folder} and in {tempfile.gettempdir()}, and leave to write there",
                got=error.strerror or type(error).__name__,
                fix=f"{'Make room' if full_disk(error) else 'See to that'}, then {GO_ON}",
            ) from error
        self._saved_at = time.monotonic()
        self._remove_all_but_the_last()

    def _remove_all_but_the_last(self) -> None:
        kept = set()
        for marker in [self._marker(step) for step in self._steps()[: self._keep]]:
            kept |= {marker.name, _facts(marker).get("arrays")}
        # Only now: where a marker cannot be read nothing is removed.
        here = [*self._folder.glob("checkpoint-*"), *self._folder.glob(".checkpoint-*")]
        others = [path for path in here if path.name not in kept]
        for path in sorted(others, key=lambda path: path.suffix != ".json"):  # markers first: nobody reads half of one
            path.unlink(missing_ok=True)

    @property
    def last_step(self) -> int:
        """The step of the last one, by its name: whether it is whole is not looked at; -1 where there is none."""
        return max(self._steps(), default=-1)

    def newest(self) -> Checkpoint | None:
        """The last one that is whole; None where there is none.

        Raises:
            TrainingError: one cannot be read, though it may be whole.
        """
        for step in self._steps():
            found = _read(self._marker(step))
            if found is not None:
                return found
        return None

    def go_on_from(self, step: int) -> list[int]:
        """Remove those of later steps, which are damaged: as the newest they would stay and push out what is to come.

        Returns:
            Their steps.

        Raises:
            TrainingError: one that stays cannot be read.
        """
        damaged = [later for later in self._steps() if later > step]
        for later in damaged:
            self._marker(later).unlink(missing_ok=True)
        self._remove_all_but_the_last()
        return damaged

    def _marker(self, step: int) -> Path:
        return self._folder / f"checkpoint-{step:09d}.json"

    def _steps(self) -> list[int]:
        """The newest first."""
        with _told_if_unreadable(self._folder):
            names = [path.name for path in self._folder.iterdir()] if self._folder.is_dir() else []
        return sorted((int(match[1]) for match in map(_NAME.fullmatch, names) if match), reverse=True)


def _write(file: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """As `numpy.savez`, which leaves its archive open on a full disk, to fail once more when it is collected."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asarray(array), allow_pickle=False)


@contextlib.contextmanager
def _told_if_unreadable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise TrainingError(
            f"checkpoint {path} cannot be read",
            wanted="a file that may be read",
            got=error.strerror or type(error).__name__,
            fix=f"See to that, or move it away to use the one before, then {GO_ON}",
        ) from error


def _facts(marker: Path) -> dict[str, Any]:
    """What a marker says; nothing where it is damaged."""
    try:
        with _told_if_unreadable(marker):
            facts = json.loads(marker.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _crc(facts: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(facts, sort_keys=True).encode("utf-8"))


def _read(marker: Path) -> Checkpoint | None:
    facts = _facts(marker)
    try:
        data = marker.with_name(Path(facts["arrays"]).name)
        if facts.pop("crc") != _crc(facts):
            return None
        with _told_if_unreadable(data):
            if sha256_of(data) != facts["sha256"]:
                return None
            with np.load(data, allow_pickle=False) as saved:
                return Checkpoint(facts["step"], facts["state"], {name: saved[name] for name in saved.files})
    except (FileNotFoundError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None  # the one before it serves
