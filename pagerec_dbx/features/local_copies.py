"""Copies of snapshots on a machine's own disk, for a training whose snapshots lie on a slow one."""

import datetime as dt
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from pagerec_dbx.errors import SnapshotError
from pagerec_dbx.features.leases import MANIFEST, is_read
from pagerec_dbx.features.snapshot import Snapshot, sha256_of

_COPIES = "pagerec-snapshots"  # below the folder given, which may hold other things
_KEPT = dt.timedelta(days=7)  # since a copy was last asked for


def local_copy(snapshot: Snapshot, numbers: Iterable[int], cache: Path) -> Snapshot:
    """The snapshot with some of its files, by number, on this machine's own disk; what is there already is not copied.

    Each rank copies its own files, so several may do so at once. Copies that nobody has asked for in a week go.

    Args:
        numbers: of the files that this rank reads; the others are not there.

    Raises:
        SnapshotError: it cannot be copied, as on a full disk.
    """
    folder = cache / _COPIES / snapshot.folder.name
    copied = Snapshot(folder, snapshot.manifest)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_old(folder)
        for number in numbers:
            if not _is_whole(copied, number):
                _copy(snapshot.paths[number], copied.paths[number])
        _copy(snapshot.folder / MANIFEST, folder / MANIFEST)
    except OSError as error:
        raise SnapshotError(
            f"snapshot {snapshot.folder} cannot be copied to {cache}",
            wanted="a folder with room on each machine's own disk",
            got=error.strerror or type(error).__name__,
            fix="Set cache to another folder, or to none",
        ) from error
    return copied


def _is_whole(copied: Snapshot, number: int) -> bool:
    path = copied.paths[number]
    return path.is_file() and sha256_of(path) == copied.manifest.files[number].sha256


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        shutil.copyfile(source, aside)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)


def _remove_old(kept: Path) -> None:
    """By the manifest's age, which is copied anew whenever a copy is asked for."""
    now = dt.datetime.now(dt.UTC)
    for manifest in kept.parent.glob(f"*/{MANIFEST}"):
        age = now - dt.datetime.fromtimestamp(manifest.stat().st_mtime, dt.UTC)
        if age > _KEPT and manifest.parent != kept and not is_read(manifest.parent, now):
            shutil.rmtree(manifest.parent, ignore_errors=True)
