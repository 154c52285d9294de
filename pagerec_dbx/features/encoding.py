"""Examples (tokens) -> the record that every model reads: fixed-length integers, no nulls."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.features.packing import IDS, NARROW_IDS, Field, Packing, pack, rows_as_arrow
from pagerec_dbx.features.packing import ROWS as PACKED
from pagerec_dbx.features.vocabulary import DEVICES, FIRST, LOCATIONS, PADDING, ROWS, TITLES, UNKNOWN, Vocabulary

RECORD = {
    "history": "array<int>",
    "history_age": "array<int>",
    "menu": "array<int>",
    "pinned": "array<tinyint>",
    "clicked": "array<tinyint>",
    "clicked_row": "int",
    "hour": "int",
    "weekday": "int",
    "device": "int",
    "location": "int",
    "randomized": "tinyint",
    "served_at": "int",
    "page_view_id": "bigint",
    "day": "int",
}
SHOWN = {
    "shown_row": "array<int>",
    "shown_position": "array<smallint>",  # at most the length of the list: each page's rows are its first ones
    "shown_clicked": "array<tinyint>",
    "shown_age": "array<int>",
}
_LISTS_OF_IDS = {"history": TITLES, "menu": ROWS, "shown_row": ROWS}
_PACKED = {
    "int": "int32", "tinyint": "int8", "array<int>": "int32", "array<smallint>": "uint16", "array<tinyint>": "int8"
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Lengths:
    """How long the lists of a record are."""

    history: int
    menu: int
    shown: int = 0  # 0: the record has no such fields


def has_click_within(menu_length: int) -> Column:
    """True for examples with a click among the first `menu_length` rows: the others have nothing left to learn."""
    return F.array_contains(F.slice("clicked", 1, menu_length), F.lit(1).cast("tinyint"))


def encode(examples: DataFrame, vocabulary: Vocabulary, lengths: Lengths, keep: tuple[str, ...] = ()) -> DataFrame:
    """One record per example, in the order and number given.

    Tokens are looked up in Arrow batches, a column at a time, by PyArrow's hash table: as Spark's own expressions the
    lookup searches constants of thousands of tokens for each of 50 tokens a record.

    Args:
        examples: records of `examples`; their histories and rows shown before are no longer than `lengths`.
        lengths: longer menus are cut, shorter lists padded at the end.
        keep: further columns of the examples to keep.

    Returns:
        history int[H], history_age int[H], menu int[M], pinned tinyint[M], clicked tinyint[M], clicked_row int (0 if
        several rows within the menu are clicked), hour, weekday, device, location int (0 where the log gave none),
        randomized tinyint, served_at int (seconds since 1970-01-01), page_view_id bigint, day int (days since
        1970-01-01), if S > 0 shown_row int[S], shown_position smallint[S], shown_clicked tinyint[S], shown_age int[S],
        and `keep`.
    """
    kinds = _record(lengths) | {name: examples.schema[name].dataType.simpleString() for name in keep}
    schema = ", ".join(f"`{name}` {kind}" for name, kind in kinds.items())
    step = functools.partial(_encode_batches, tokens=dict(vocabulary.tokens), lengths=lengths, names=tuple(kinds))
    return _needed(examples, lengths, keep).mapInArrow(step, schema)


def encode_packed(examples: DataFrame, vocabulary: Vocabulary, lengths: Lengths) -> DataFrame:
    """One packed record per example: `page_view_id` bigint and `rows` binary, in the order of `packing_of`.

    Args:
        examples, vocabulary, lengths: as `encode`.
    """
    packing = packing_of(lengths, vocabulary.sizes)
    step = functools.partial(_pack_batches, tokens=dict(vocabulary.tokens), lengths=lengths, packing=packing)
    return _needed(examples, lengths, ()).mapInArrow(step, f"`{IDS}` bigint, `{PACKED}` binary")


def packing_of(lengths: Lengths, sizes: Mapping[str, int]) -> Packing:
    """How a record with lists of these lengths is packed: wide fields first, then narrower ones.

    Args:
        sizes: entries of each vocabulary; lists of ids below 65,536 take two bytes an id.
    """
    of_list = {
        "history": lengths.history,
        "history_age": lengths.history,
        "menu": lengths.menu,
        "pinned": lengths.menu,
        "clicked": lengths.menu,
        **dict.fromkeys(SHOWN, lengths.shown),
    }
    narrow = {name: "uint16" for name, kind in _LISTS_OF_IDS.items() if sizes[kind] <= NARROW_IDS}
    fields = [
        Field(name, narrow.get(name, _PACKED[kind]), of_list.get(name))
        for name, kind in _record(lengths).items()
        if name != IDS
    ]
    return Packing(tuple(sorted(fields, key=lambda field: -field.dtype.itemsize)))


def _record(lengths: Lengths) -> dict[str, str]:
    return RECORD | (SHOWN if lengths.shown else {})


def _needed(examples: DataFrame, lengths: Lengths, keep: tuple[str, ...]) -> DataFrame:
    needed = [name for name in _record(lengths) if name not in ("clicked_row", "day", "randomized", "served_at")]
    made = {
        "randomized": F.col("randomized").cast("tinyint"),
        "served_at": F.unix_seconds("served_at").cast("int"),
        "day": F.unix_date("day"),
    }
    return examples.select(*needed, *(column.alias(name) for name, column in made.items()), *keep)


def _encode_batches(
    batches: Iterator[pa.RecordBatch], tokens: dict[str, tuple[str, ...]], lengths: Lengths, names: tuple[str, ...]
) -> Iterator[pa.RecordBatch]:
    known = {kind: pa.array(values, pa.string()) for kind, values in tokens.items()}
    for batch in batches:
        columns = {name: batch.column(name) for name in names if name in batch.schema.names}
        columns |= {name: as_arrow(values) for name, values in _ids_of(batch, known, lengths).items()}
        yield pa.RecordBatch.from_arrays([columns[name] for name in names], names=list(names))


def _pack_batches(
    batches: Iterator[pa.RecordBatch], tokens: dict[str, tuple[str, ...]], lengths: Lengths, packing: Packing
) -> Iterator[pa.RecordBatch]:
    known = {kind: pa.array(values, pa.string()) for kind, values in tokens.items()}
    for batch in batches:
        columns = _ids_of(batch, known, lengths)
        for name in ("hour", "weekday", "randomized", "served_at", "day"):
            columns[name] = batch.column(name).to_numpy(zero_copy_only=False)
        rows = rows_as_arrow(pack(packing, columns))
        yield pa.RecordBatch.from_arrays([batch.column(IDS), rows], names=[IDS, PACKED])


def _ids_of(batch: pa.RecordBatch, known: dict[str, pa.Array], lengths: Lengths) -> dict[str, np.ndarray]:
    """The fields that are not taken over as they are: [records, length] for lists, [records] for single ids."""

    def ids(name: str, kind: str, length: int) -> np.ndarray:
        lists = batch.column(name)
        return padded(lists, _ids(lists.flatten(), known[kind]), length, np.int32)

    def numbers(name: str, length: int, kind: type) -> np.ndarray:
        lists = batch.column(name)
        return padded(lists, lists.flatten().fill_null(0).to_numpy(zero_copy_only=False), length, kind)

    menu, clicked = ids("menu", ROWS, lengths.menu), numbers("clicked", lengths.menu, np.int8)
    columns = {
        "history": ids("history", TITLES, lengths.history),
        "history_age": numbers("history_age", lengths.history, np.int32),
        "menu": menu,
        "pinned": numbers("pinned", lengths.menu, np.int8),
        "clicked": clicked,
    }
    if lengths.shown:
        columns["shown_row"] = ids("shown_row", ROWS, lengths.shown)
        widths = {"shown_position": np.int16, "shown_clicked": np.int8, "shown_age": np.int32}
        columns |= {name: numbers(name, lengths.shown, width) for name, width in widths.items()}
    for name, kind in (("device", DEVICES), ("location", LOCATIONS)):
        columns[name] = _ids_or_padding(batch.column(name), known[kind])
    return columns | {"clicked_row": only_clicked(menu, clicked)}


def only_clicked(menu: np.ndarray, clicked: np.ndarray) -> np.ndarray:
    """[records] the id of the one clicked row, 0 where several are or none. Both arguments are [records, menu]."""
    place = clicked.argmax(axis=1)
    return np.where(clicked.sum(axis=1) == 1, menu[np.arange(len(menu)), place], 0).astype(np.int32)


def padded(lists: pa.ListArray, values: np.ndarray, length: int, kind: type) -> np.ndarray:
    """[records, length]: the first `length` values of each list, zeros after them.

    Args:
        lists: gives the lists' sizes.
        values: one for each element of the flattened lists.
    """
    sizes = np.diff(lists.offsets.to_numpy())
    starts = np.cumsum(sizes) - sizes
    places = np.arange(length)
    filled = places < sizes[:, None]
    matrix = np.zeros((len(sizes), length), kind)
    matrix[filled] = values[(starts[:, None] + places)[filled]]
    return matrix


def as_arrow(values: np.ndarray) -> pa.Array:
    """Single numbers from [records], lists of one length from [records, length]."""
    if values.ndim == 1:
        return pa.array(values)
    records, length = values.shape
    offsets = pa.array(np.arange(records + 1, dtype=np.int32) * length)
    return pa.ListArray.from_arrays(offsets, pa.array(values.ravel()))


def _ids(tokens: pa.Array, known: pa.Array) -> np.ndarray:
    """The id of each token, 1 where the vocabulary does not have it."""
    places = pc.index_in(tokens, value_set=known)
    return pc.fill_null(pc.add(places, FIRST), UNKNOWN).to_numpy(zero_copy_only=False).astype(np.int32)


def _ids_or_padding(tokens: pa.Array, known: pa.Array) -> np.ndarray:
    """The id of each token, 0 where there is none: the exported model reads an empty string the same way."""
    absent = pc.equal(tokens.fill_null(""), "").to_numpy(zero_copy_only=False)
    return np.where(absent, PADDING, _ids(tokens, known)).astype(np.int32)
