"""Copies of snapshots on a machine's own disk, for a training whose snapshots lie on a slow one."""

import contextlib
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from pagerec_dbx.errors import SnapshotError
from pagerec_dbx.features.leases import MANIFEST
from pagerec_dbx.features.snapshot import Snapshot


@contextlib.contextmanager
def local_copy(snapshot: Snapshot, numbers: Iterable[int], folder: Path) -> Iterator[Snapshot]:
    """The snapshot with some of its files in a folder of this machine's own disk, as long as it is needed.

    The copies hold page views of viewers who may be forgotten tomorrow, so they do not outlive their reader; those of a
    reader that was killed go when it is started again.

    Args:
        numbers: of the files that are copied; the others are not there.
        folder: this reader's alone; it goes with its last copy.

    Raises:
        SnapshotError: it cannot be copied, as on a full disk.
    """
    copied = Snapshot(folder / snapshot.folder.name, snapshot.manifest)
    shutil.rmtree(copied.folder, ignore_errors=True)
    try:
        try:
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
                fix="Set cache to another folder, or leave it out; with --resume too",
            ) from error
        yield copied
    finally:
        shutil.rmtree(copied.folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # not there, or the reader's other copy is still in it
            if all(path.name == ".leases" for path in folder.iterdir()):
                shutil.rmtree(folder)  # and nothing above it: the rest of the disk is not ours
