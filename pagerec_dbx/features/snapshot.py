"""A snapshot: one part of one version of the examples as plain Parquet with a manifest. Read here, without Spark."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pagerec_dbx.errors import SnapshotError
from pagerec_dbx.features.leases import MANIFEST, reading
from pagerec_dbx.pipelines.order import OrderKey

FORMAT = 1  # raised whenever a snapshot written before can no longer be read
_REWRITE = "Run `pagerec prepare`, which writes it again"


@dataclasses.dataclass(frozen=True)
class File:
    """One Parquet file of a snapshot; `name` is relative to the snapshot's folder."""

    name: str
    bytes: int


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a snapshot holds; sizes of vocabularies include ids 0 and 1."""

    name: str
    split: str  # train, validation or holdout
    table: str
    table_version: int
    vocabulary_version: int
    title_count: int
    row_count: int
    device_count: int
    location_count: int
    history_length: int
    menu_length: int  # of the holdout: its longest menu
    records: int
    row_groups: tuple[int, ...]  # records of each, in the order of `files` and within them
    files: tuple[File, ...]
    schema: dict[str, str]  # column -> Arrow type
    first: OrderKey  # of the records, in the order of page views
    last: OrderKey
    created_at: str  # ISO 8601
    left_out: dict[str, int]  # page views of this part that are not in it, by reason
    impression_length: int = 0  # 0: the records have no such field

    def to_json(self) -> str:
        """The manifest as text; `manifest_from_json` reads it back."""
        values = dataclasses.asdict(self)
        values |= {"format": FORMAT, "first": self.first.as_json(), "last": self.last.as_json()}
        return json.dumps(values, indent=2) + "\n"


def manifest_from_json(text: str) -> Manifest:
    """A manifest from its text.

    Raises:
        SnapshotError: the text is no manifest of this format.
    """
    try:
        values = json.loads(text)
        found = values.pop("format")
        if found != FORMAT:
            raise SnapshotError("snapshot of another format", wanted=str(FORMAT), got=str(found), fix=_REWRITE)
        values["row_groups"] = tuple(values["row_groups"])
        values["files"] = tuple(File(**file) for file in values["files"])
        values["first"], values["last"] = (OrderKey.from_json(values[end]) for end in ("first", "last"))
        return Manifest(**values)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SnapshotError("a snapshot's manifest is malformed", got=repr(error), fix=_REWRITE) from error


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A snapshot that was complete when it was opened."""

    folder: Path
    manifest: Manifest

    @property
    def paths(self) -> list[Path]:
        """The Parquet files, in the order of the row groups."""
        return [self.folder / file.name for file in self.manifest.files]


def open_snapshot(folder: Path) -> Snapshot:
    """A complete snapshot: the manifest is there, and so are its files with the bytes and records that it names.

    Raises:
        SnapshotError: anything is missing or differs.
    """
    try:
        text = (folder / MANIFEST).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SnapshotError(f"snapshot {folder} has no manifest", got=type(error).__name__, fix=_REWRITE) from error
    snapshot = Snapshot(folder, manifest_from_json(text))
    for file, path in zip(snapshot.manifest.files, snapshot.paths, strict=True):
        _require_size(file, path)
    _require_row_groups(snapshot)
    return snapshot


def _require_size(file: File, path: Path) -> None:
    size = path.stat().st_size if path.is_file() else None
    if size != file.bytes:
        got = "no such file" if size is None else f"{size:,} bytes"
        raise SnapshotError(f"snapshot file {path} is damaged", wanted=f"{file.bytes:,} bytes", got=got, fix=_REWRITE)


def _require_row_groups(snapshot: Snapshot) -> None:
    found = tuple(records for path in snapshot.paths for records in row_groups_of(path))
    wanted = snapshot.manifest.row_groups
    if found != wanted or sum(wanted) != snapshot.manifest.records:
        raise SnapshotError(
            f"snapshot {snapshot.folder} does not hold the records of its manifest",
            wanted=f"{snapshot.manifest.records:,} in row groups of {list(wanted)}",
            got=str(list(found)),
            fix=_REWRITE,
        )


def row_groups_of(path: Path) -> list[int]:
    """Records of each row group of a Parquet file, from its footer.

    Raises:
        SnapshotError: it is no Parquet file.
    """
    try:
        footer = pq.read_metadata(path)
    except (OSError, pa.ArrowException) as error:
        raise SnapshotError(f"snapshot file {path} is damaged", got=str(error), fix=_REWRITE) from error
    return [footer.row_group(number).num_rows for number in range(footer.num_row_groups)]


def read_batches(snapshot: Snapshot, batch_size: int) -> Iterator[dict[str, np.ndarray]]:
    """All records in file order as arrays of up to `batch_size` records: [n, length] for lists, [n] for the rest.

    Integers keep their widths, strings come as objects. This is how the holdout is read; training streams instead.
    The snapshot is not removed before the last batch.

    Raises:
        SnapshotError: it was removed since it was opened.
    """
    with reading(snapshot.folder):
        for path in snapshot.paths:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size):
                    yield {name: _array(batch.column(name)) for name in batch.schema.names}


def _array(column: pa.Array) -> np.ndarray:
    if pa.types.is_list(column.type):
        return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)
    return column.to_numpy(zero_copy_only=False)
