"""Packed records: the fields of a record side by side in one row of bytes, thousands of records in one value.

A list column costs Petastorm one Python array for each record. A block of records costs one for all, is shuffled by
moving whole rows, and is cut into fields by TensorFlow. Only training and validation are packed, see docs/records.md.
"""

import dataclasses
import functools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from pagerec_dbx.errors import PREPARE_AGAIN, SnapshotError

WORD = 4  # bytes; every field begins at a whole word, so that a row can be read as int32
RECORDS, IDS, ROWS = "records", "page_view_id", "rows"  # columns of a file: one Parquet record is one block
_TYPES = {"int32": np.dtype("<i4"), "uint16": np.dtype("<u2"), "int8": np.dtype("i1")}
NARROW_IDS = 65_536  # entries of the largest vocabulary whose ids are packed as uint16


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of a record: a number, or a list of `length` numbers."""

    name: str
    kind: str  # int32, uint16 or int8
    length: int | None = None  # None: a single number

    @property
    def dtype(self) -> np.dtype:
        return _TYPES[self.kind]

    @property
    def count(self) -> int:
        return 1 if self.length is None else self.length

    @property
    def words(self) -> int:
        """Words of a row that the field takes, padded to whole ones."""
        return -(-self.count * self.dtype.itemsize // WORD)

    def as_text(self) -> str:
        """As a manifest names it: `int32` or `int32[20]`."""
        return self.kind if self.length is None else f"{self.kind}[{self.length}]"


@dataclasses.dataclass(frozen=True)
class Packing:
    """The order of the fields in a row; `page_view_id` is kept beside the rows."""

    fields: tuple[Field, ...]

    @functools.cached_property
    def starts(self) -> Mapping[str, int]:
        """The word at which each field begins."""
        starts, at = {}, 0
        for field in self.fields:
            starts[field.name] = at
            at += field.words
        return starts

    @functools.cached_property
    def words(self) -> int:
        """Words of a row."""
        return sum(field.words for field in self.fields)

    def as_schema(self) -> dict[str, str]:
        """Field -> type, in the order of the row."""
        return {field.name: field.as_text() for field in self.fields}


def packing_from_schema(schema: Mapping[str, str]) -> Packing:
    """The packing that a manifest describes.

    Raises:
        SnapshotError: a type is none that is packed.
    """
    fields = []
    for name, text in schema.items():
        match = re.fullmatch(r"(int32|uint16|int8)(?:\[([1-9]\d*)\])?", text)
        if match is None:
            raise SnapshotError(
                f"field `{name}` of a snapshot has no packed type",
                wanted="int32, uint16, int8, or a list such as int32[20]",
                got=text,
                fix=PREPARE_AGAIN,
            )
        fields.append(Field(name, match[1], None if match[2] is None else int(match[2])))
    return Packing(tuple(fields))


def pack(packing: Packing, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """[records, words] int32 from one array a field: [records, length] for lists, [records] for single numbers."""
    records = len(columns[packing.fields[0].name])
    rows = np.zeros((records, packing.words), np.int32)
    as_bytes = rows.view(np.uint8)
    for field in packing.fields:
        values = np.ascontiguousarray(columns[field.name].reshape(records, field.count), field.dtype)
        start = packing.starts[field.name] * WORD
        as_bytes[:, start : start + field.count * field.dtype.itemsize] = values.view(np.uint8)
    return rows


def unpack(packing: Packing, rows: np.ndarray, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays that `pack` was given, each in its field's own type; with `names` only theirs."""
    as_bytes = rows.view(np.uint8)
    columns = {}
    for field in packing.fields:
        if names is not None and field.name not in names:
            continue
        start = packing.starts[field.name] * WORD
        part = np.ascontiguousarray(as_bytes[:, start : start + field.count * field.dtype.itemsize])
        values = part.view(field.dtype)
        columns[field.name] = values[:, 0] if field.length is None else values
    return columns


def block(ids: np.ndarray, rows: bytes) -> dict[str, object]:
    """One Parquet record that holds these records, by column; `rows` are the bytes of [records, words] int32."""
    return {RECORDS: len(ids), IDS: ids.astype("<i8").tobytes(), ROWS: rows}


def block_ids(content: bytes) -> np.ndarray:
    """[records] int64 from the column `page_view_id` of a block."""
    return np.frombuffer(content, "<i8")


def block_rows(content: bytes, words: int, called: str = "a block of records") -> np.ndarray:
    """[records, words] int32 from the column `rows` of a block.

    Args:
        called: what the block is in an error.

    Raises:
        SnapshotError: the bytes are no whole number of rows.
    """
    if len(content) % (words * WORD):
        raise SnapshotError(
            f"{called} is cut off",
            wanted=f"a multiple of {words * WORD} bytes",
            got=f"{len(content):,}",
            fix=PREPARE_AGAIN,
        )
    return np.frombuffer(content, "<i4").reshape(-1, words)


def rows_as_arrow(rows: np.ndarray) -> pa.Array:
    """[records] binary: each row's bytes as one value, without copying."""
    rows = np.ascontiguousarray(rows)
    size = rows.shape[1] * WORD
    offsets = np.arange(len(rows) + 1, dtype=np.int32) * size
    return pa.Array.from_buffers(pa.binary(), len(rows), [None, pa.py_buffer(offsets), pa.py_buffer(rows)])


def blocks_of(batches: Iterator[pa.RecordBatch], group: str) -> Iterator[pa.RecordBatch]:
    """Runs of packed records of one group -> blocks.

    Args:
        batches: columns `group`, page_view_id (int64) and rows (binary, all of one size), ordered by group.
        group: name of the column that a block must not span; it is kept.
    """
    for batch in batches:
        groups = batch.column(group).to_numpy(zero_copy_only=False)
        ends = [*(np.flatnonzero(np.diff(groups)) + 1), len(groups)] if len(groups) else []
        starts = [0, *ends[:-1]] if ends else []
        blocks = [_block_of(batch.slice(start, end - start)) for start, end in zip(starts, ends, strict=True)]
        yield pa.RecordBatch.from_pydict(
            {group: pa.array(groups[np.asarray(starts, int)], pa.int32()), **_columns(blocks)}
        )


def _block_of(batch: pa.RecordBatch) -> dict[str, object]:
    ids = batch.column(IDS).to_numpy(zero_copy_only=False)
    rows = batch.column(ROWS)
    offsets = np.frombuffer(rows.buffers()[1], np.int32)[rows.offset : rows.offset + len(rows) + 1]
    return block(ids, rows.buffers()[2].slice(int(offsets[0]), int(offsets[-1] - offsets[0])).to_pybytes())


def _columns(blocks: Sequence[Mapping[str, object]]) -> dict[str, pa.Array]:
    kinds = {RECORDS: pa.int32(), IDS: pa.binary(), ROWS: pa.binary()}
    return {name: pa.array([one[name] for one in blocks], kind) for name, kind in kinds.items()}
