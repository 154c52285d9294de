"""Which snapshots hold page views of some viewers, and their removal. Read file by file, without Spark."""

import datetime as dt
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pagerec_dbx.errors import SnapshotError
from pagerec_dbx.features.leases import is_read, remove_snapshot
from pagerec_dbx.features.packing import block_ids


def all_snapshots(root: Path) -> list[Path]:
    """Every folder of the home's `snapshots` with Parquet files in it, the leavings of killed runs included."""
    folders = sorted(root.iterdir()) if root.is_dir() else []
    return [folder for folder in folders if folder.is_dir() and any(folder.rglob("*.parquet"))]


def snapshots_of(root: Path, page_view_ids: Collection[int], hashes: Collection[str]) -> list[Path]:
    """The snapshots in which one of these page views or viewers stands; a damaged one is taken for one of them."""
    ids = np.fromiter(sorted(page_view_ids), np.int64, len(page_view_ids))
    listed = pa.array(sorted(hashes), pa.string())
    return [
        folder
        for folder in all_snapshots(root)
        if any(_holds(file, ids, listed) for file in sorted(folder.rglob("*.parquet")))
    ]


def _holds(path: Path, ids: np.ndarray, hashes: pa.Array) -> bool:
    try:
        with pq.ParquetFile(path) as file:
            names = [name for name in ("page_view_id", "user_hash") if name in file.schema_arrow.names]
            return any(_any_of(batch, ids, hashes) for batch in file.iter_batches(columns=names)) if names else False
    except (OSError, pa.ArrowException):
        return True  # nobody can say what is in it, and `prepare` writes it again


def _any_of(batch: pa.RecordBatch, ids: np.ndarray, hashes: pa.Array) -> bool:
    found = False
    if "page_view_id" in batch.schema.names:
        found = bool(np.isin(_page_view_ids(batch.column("page_view_id")), ids).any())
    if not found and "user_hash" in batch.schema.names:
        found = bool(pc.any(pc.is_in(batch.column("user_hash"), value_set=hashes)).as_py())
    return found


def _page_view_ids(column: pa.Array) -> np.ndarray:
    """[records] int64 of a file of single records, or of one of packed blocks."""
    if pa.types.is_binary(column.type):
        return np.concatenate([np.empty(0, np.int64), *map(block_ids, column.to_pylist())])
    return column.to_numpy(zero_copy_only=False)


def require_unread(folders: Iterable[Path], now: dt.datetime) -> None:
    """Refuse to go on while one of these snapshots is being read.

    Raises:
        SnapshotError: a living process holds a lease on one of them.
    """
    for folder in folders:
        if is_read(folder, now):
            raise _held(folder)


def remove_unread(folders: Iterable[Path], now: dt.datetime) -> tuple[str, ...]:
    """Remove these snapshots; their names.

    Raises:
        SnapshotError: somebody opened one of them just now.
    """
    names = []
    for folder in folders:
        if not remove_snapshot(folder, now):
            raise _held(folder)
        names.append(folder.name)
    return tuple(names)


def _held(folder: Path) -> SnapshotError:
    return SnapshotError(
        f"snapshot {folder.name} is to be removed and is being read",
        wanted="no lease on it",
        got=f"one in {folder.parent / '.leases'}",
        fix="Wait until the training or notebook that reads it ends, then run the same command again; "
        "if its machine is gone, delete its file there",
    )
