"""Who is reading a snapshot: leases that readers hold, and the removal of snapshots that nobody needs.

A lease is a small file in `snapshots/.leases` that names its snapshot and the process that reads it.
"""

import contextlib
import datetime as dt
import errno
import json
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from pagerec_dbx.errors import PREPARE_AGAIN, SnapshotError
from pagerec_dbx.home import write_atomically
from pagerec_dbx.lock import is_alive, this_process

MANIFEST = "manifest.json"
LEASES = ".leases"
_ASIDE = "manifest.removed"  # the manifest of a snapshot while it is being removed
_FOREIGN_DAYS = 7.0  # a lease from another machine, whose processes cannot be seen, counts this long
_NAME = re.compile(r"(train|validation|holdout)-v\d+-[0-9a-f]{16}")


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Keep a snapshot from being removed while it is read.

    The lease stands before the manifest is looked at, and `remove_snapshot` takes the manifest away before it looks
    at the leases: whichever comes second sees the other. Where nothing may be written, reading goes on without one.

    Raises:
        SnapshotError: the snapshot is not there, or no longer.
    """
    lease = _leases(folder) / f"{folder.name}.{uuid.uuid4().hex}.json"
    try:
        lease.parent.mkdir(exist_ok=True)
        write_atomically(lease, json.dumps(this_process()) + "\n")
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT):
            raise
    try:
        if not (folder / MANIFEST).exists():
            raise SnapshotError(f"snapshot {folder} is not there", got="no manifest", fix=PREPARE_AGAIN)
        yield
    finally:
        lease.unlink(missing_ok=True)


def is_read(folder: Path, now: dt.datetime) -> bool:
    """Whether a living process holds a lease on a snapshot; leases of dead ones are cleared away."""
    held = [lease for lease in _leases(folder).glob(f"{folder.name}.*.json") if not _cleared(lease, now)]
    return bool(held)


def _cleared(lease: Path, now: dt.datetime) -> bool:
    try:
        foreign_until = lease.stat().st_mtime + _FOREIGN_DAYS * 86_400
        holder = json.loads(lease.read_text(encoding="utf-8"))
        alive = is_alive(holder, elsewhere=now.timestamp() <= foreign_until)
    except FileNotFoundError:
        return True
    except (ValueError, KeyError, TypeError):  # not written by us: nobody's
        alive = False
    if not alive:
        lease.unlink(missing_ok=True)
    return not alive


def _leases(folder: Path) -> Path:
    return folder.parent / LEASES


def remove_snapshot(folder: Path, now: dt.datetime) -> bool:
    """Remove a snapshot unless it is being read: first its manifest, so that nobody opens half of it.

    Returns:
        Whether it is gone.
    """
    if is_read(folder, now):
        return False
    manifest, aside = folder / MANIFEST, folder / _ASIDE
    with contextlib.suppress(FileNotFoundError):
        manifest.rename(aside)
    if is_read(folder, now):  # somebody opened it in between
        with contextlib.suppress(FileNotFoundError):
            aside.rename(manifest)
        return False
    shutil.rmtree(folder)
    return True


def remove_old_snapshots(root: Path, needed: set[str], now: dt.datetime, days: float) -> list[str]:
    """Remove snapshots made more than `days` ago, and what killed runs left, except the needed ones and those read.

    Args:
        root: the folder of all snapshots; whatever has another name than a snapshot's is left alone.

    Returns:
        The names of those removed.
    """
    old = [
        folder
        for folder in sorted(root.iterdir())
        if _NAME.fullmatch(folder.name) and folder.name not in needed and _is_old(folder, now, days)
    ]
    return [folder.name for folder in old if remove_snapshot(folder, now)]


def _is_old(folder: Path, now: dt.datetime, days: float) -> bool:
    manifest = folder / MANIFEST
    if not manifest.exists():
        return True  # nobody can open it
    try:
        made = dt.datetime.fromisoformat(json.loads(manifest.read_text(encoding="utf-8"))["created_at"])
    except (ValueError, KeyError, TypeError):  # of another format, or damaged
        made = dt.datetime.fromtimestamp(manifest.stat().st_mtime, dt.UTC)
    return now - made > dt.timedelta(days=days)
