"""A snapshot: one part of one version of the examples as Parquet files with a manifest. Read here, without Spark."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pagerec_dbx.errors import PREPARE_AGAIN, SnapshotError
from pagerec_dbx.features.leases import MANIFEST, reading
from pagerec_dbx.features.packing import IDS, RECORDS, ROWS, block_ids, block_rows, packing_from_schema, unpack
from pagerec_dbx.pipelines.order import OrderKey

FORMAT = 4  # raised whenever a snapshot written before can no longer be read


@dataclasses.dataclass(frozen=True)
class File:
    """One Parquet file of a snapshot; `name` is relative to the snapshot's folder."""

    name: str
    bytes: int
    sha256: str


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
    packed: bool  # training and validation: blocks of records, see `features.packing`; the holdout: one by one
    schema: dict[str, str]  # packed: field -> type, in the order of a row; else column -> Arrow type
    first: OrderKey  # of the records, in the order of page views
    last: OrderKey
    created_at: str  # ISO 8601
    left_out: dict[str, int]  # page views of this part that are not in it, by reason
    shown_length: int = 0  # rows shown before; 0: the records have no such fields
    command: str = "pagerec prepare"  # that made it

    @property
    def prepare_again(self) -> str:
        """What to do where the snapshot is damaged; its name is made of what it holds, so the same command makes it."""
        return f"Run `{self.command}` for this home: the same tables give it again; else prepare and train anew"

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
            raise SnapshotError("snapshot of another format", wanted=str(FORMAT), got=str(found), fix=PREPARE_AGAIN)
        values["row_groups"] = tuple(values["row_groups"])
        values["files"] = tuple(File(**file) for file in values["files"])
        values["first"], values["last"] = (OrderKey.from_json(values[end]) for end in ("first", "last"))
        return Manifest(**values)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SnapshotError(
            "a snapshot's manifest is malformed", wanted=f"one of format {FORMAT}", got=repr(error), fix=PREPARE_AGAIN
        ) from error


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
        raise SnapshotError(
            f"snapshot {folder} has no manifest", got=type(error).__name__, fix=PREPARE_AGAIN
        ) from error
    snapshot = Snapshot(folder, manifest_from_json(text))
    for file, path in zip(snapshot.manifest.files, snapshot.paths, strict=True):
        _require_size(snapshot, file, path)
    _require_row_groups(snapshot)
    return snapshot


def _require_size(snapshot: Snapshot, file: File, path: Path) -> None:
    size = path.stat().st_size if path.is_file() else None
    if size != file.bytes:
        got = "no such file" if size is None else f"{size:,} bytes"
        raise SnapshotError(
            f"snapshot file {path} is damaged",
            wanted=f"{file.bytes:,} bytes",
            got=got,
            fix=snapshot.manifest.prepare_again,
        )


def _require_row_groups(snapshot: Snapshot) -> None:
    packed = snapshot.manifest.packed
    found = tuple(records for path in snapshot.paths for records in row_groups_of(path, packed))
    wanted = snapshot.manifest.row_groups
    if found != wanted or sum(wanted) != snapshot.manifest.records:
        raise SnapshotError(
            f"snapshot {snapshot.folder} does not hold the records of its manifest",
            wanted=f"{snapshot.manifest.records:,} in row groups of {list(wanted)}",
            got=str(list(found)),
            fix=snapshot.manifest.prepare_again,
        )


def row_groups_of(path: Path, packed: bool) -> list[int]:
    """Records of each row group of a Parquet file, from its footer; of a packed one as its blocks say.

    Raises:
        SnapshotError: it is no Parquet file, or none of this layout.
    """
    try:
        with pq.ParquetFile(path) as file:
            groups = range(file.num_row_groups)
            if not packed:
                return [file.metadata.row_group(number).num_rows for number in groups]
            blocks = [file.read_row_group(number, columns=[RECORDS]).column(RECORDS) for number in groups]
        return [sum(records.to_pylist()) for records in blocks]
    except (OSError, pa.ArrowException, KeyError, TypeError) as error:
        raise SnapshotError(f"snapshot file {path} is damaged", got=str(error), fix=PREPARE_AGAIN) from error


def sha256_of(path: Path) -> str:
    """The digest of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_undamaged(snapshot: Snapshot, numbers: Iterable[int], named_as: Snapshot | None = None) -> None:
    """Hold the bytes of some files against the manifest: a flipped bit would otherwise be trained on as another id.

    Args:
        numbers: of the files, which are as many as row groups.
        named_as: the snapshot whose copy this is.

    Raises:
        SnapshotError: a file is not what was written; it is named.
    """
    for number in numbers:
        path, wanted = (named_as or snapshot).paths[number], snapshot.manifest.files[number].sha256
        try:
            found = sha256_of(snapshot.paths[number])
        except OSError as error:
            raise SnapshotError(
                f"snapshot file {path} cannot be read", got=str(error), fix=snapshot.manifest.prepare_again
            ) from error
        if found != wanted:
            raise SnapshotError(
                f"snapshot file {path} was changed after it was written",
                wanted=f"sha256 {wanted}",
                got=found,
                fix=snapshot.manifest.prepare_again,
            )


def read_batches(snapshot: Snapshot, batch_size: int) -> Iterator[dict[str, np.ndarray]]:
    """All records in file order as arrays of up to `batch_size` records: [n, length] for lists, [n] for the rest.

    Integers keep their widths, strings come as objects. This is how the holdout is read; training streams instead.
    The snapshot is not removed before the last batch.

    Raises:
        SnapshotError: it was removed since it was opened.
    """
    read = _packed_batches if snapshot.manifest.packed else _plain_batches
    with reading(snapshot.folder):
        yield from read(snapshot, batch_size)


def _plain_batches(snapshot: Snapshot, batch_size: int) -> Iterator[dict[str, np.ndarray]]:
    for path in snapshot.paths:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size):
                yield {name: _array(batch.column(name)) for name in batch.schema.names}


def _packed_batches(snapshot: Snapshot, batch_size: int) -> Iterator[dict[str, np.ndarray]]:
    packing = packing_from_schema(snapshot.manifest.schema)
    for path in snapshot.paths:
        ids, rows = _packed_file(path, packing.words)
        for start in range(0, len(ids), batch_size):
            chosen = slice(start, start + batch_size)
            yield {IDS: ids[chosen], **unpack(packing, rows[chosen])}


def _packed_file(path: Path, words: int) -> tuple[np.ndarray, np.ndarray]:
    """[records] int64 ids and [records, words] int32 rows of a file."""
    with pq.ParquetFile(path) as file:
        blocks = file.read(columns=[IDS, ROWS]).to_pylist()
    ids = np.concatenate([block_ids(one[IDS]) for one in blocks])
    return ids, np.concatenate([block_rows(one[ROWS], words, f"a block of {path}") for one in blocks])


def packed_rows(snapshot: Snapshot, number: int) -> np.ndarray:
    """[records, words] int32: the records of one file of a packed snapshot."""
    return _packed_file(snapshot.paths[number], packing_from_schema(snapshot.manifest.schema).words)[1]


def click_counts(snapshot: Snapshot, numbers: Iterable[int]) -> np.ndarray:
    """[row_count] int64: how often each row was clicked in some files of a packed snapshot.

    Args:
        numbers: of the files.
    """
    packing = packing_from_schema(snapshot.manifest.schema)
    counts = np.zeros(snapshot.manifest.row_count, np.int64)
    with reading(snapshot.folder):
        for number in numbers:
            fields = unpack(packing, packed_rows(snapshot, number), ("menu", "clicked"))
            counts += np.bincount(fields["menu"][fields["clicked"] > 0], minlength=len(counts))
    return counts


def _array(column: pa.Array) -> np.ndarray:
    if pa.types.is_list(column.type):
        return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)
    return column.to_numpy(zero_copy_only=False)
