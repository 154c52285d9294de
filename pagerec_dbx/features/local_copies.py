"""Copies of snapshots on a machine's own disk, for a training whose snapshots lie on a slow one."""

import contextlib
import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from pagerec_dbx.errors import SnapshotError
from pagerec_dbx.features.leases import MANIFEST
from pagerec_dbx.features.snapshot import Snapshot
from pagerec_dbx.lock import is_alive, this_process

_OWNER = "owner.json"  # the process whose copies these are


@contextlib.contextmanager
def local_copy(snapshot: Snapshot, numbers: Iterable[int], folder: Path) -> Iterator[Snapshot]:
    """The snapshot with some of its files in a folder of this machine's own disk, as long as it is needed.

    The copies hold page views of viewers who may be forgotten tomorrow, so they do not outlive their reader; those of a
    reader that was killed go when the next one copies beside them.

    Args:
        numbers: of the files that are copied; the others are not there.
        folder: this reader's alone, beside those of others, of a name that none before it had: it goes with its last
            copy; if its process was killed, when the next reader copies beside it.

    Raises:
        SnapshotError: it cannot be copied, as on a full disk.
    """
    copied = Snapshot(folder / snapshot.folder.name, snapshot.manifest)
    try:
        try:
            _remove_copies_of_the_dead(folder.parent)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / _OWNER).write_text(json.dumps(this_process()), encoding="utf-8")
            for source, target in [
                *((snapshot.paths[number], copied.paths[number]) for number in numbers),
                (snapshot.folder / MANIFEST, copied.folder / MANIFEST),
            ]:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
        except OSError as error:
            raise SnapshotError(
                f"snapshot {snapshot.folder} cannot be copied to {folder}",
                wanted="a folder with room on each machine's own disk",
                got=error.strerror or type(error).__name__,
                fix="Set cache=FOLDER to another folder, or cache=null for none; with --resume too",
            ) from error
        yield copied
    finally:
        shutil.rmtree(copied.folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # not there, or the reader's other copy is still in it
            if all(path.name in (".leases", _OWNER) for path in folder.iterdir()):
                shutil.rmtree(folder)  # and nothing above it: the rest of the disk is not ours


def _remove_copies_of_the_dead(cache: Path) -> None:
    for owner in cache.glob(f"*/{_OWNER}"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # gone by now, or not ours to judge
            if not is_alive(json.loads(owner.read_text(encoding="utf-8")), elsewhere=True):
                shutil.rmtree(owner.parent)
