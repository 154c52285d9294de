"""Packed records are what was packed, whatever the fields; blocks hold runs of one group."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest

from pagerec_dbx.errors import SnapshotError
from pagerec_dbx.features.encoding import Lengths, packing_of
from pagerec_dbx.features.packing import (
    Field,
    Packing,
    block_ids,
    block_rows,
    blocks_of,
    pack,
    packing_from_schema,
    rows_as_arrow,
    unpack,
)
from pagerec_dbx.features.stream import fields_of
from pagerec_dbx.features.vocabulary import ROWS, TITLES

FIELD = st.builds(
    lambda kind, length: (kind, length), st.sampled_from(["int32", "uint16", "int8"]), st.none() | st.integers(1, 9)
)


@hypothesis.given(st.lists(FIELD, min_size=1, max_size=6), st.integers(0, 5), st.integers(0, 2**32 - 1))
def test_records_come_back_as_they_were_packed(kinds, records, seed):
    packing = Packing(tuple(Field(f"f{number}", *kind) for number, kind in enumerate(kinds)))
    random = np.random.default_rng(seed)
    columns = {}
    for field in packing.fields:
        limits = np.iinfo(field.dtype)
        shape = [records] if field.length is None else [records, field.length]
        columns[field.name] = random.integers(limits.min, limits.max, shape, field.dtype, endpoint=True)
    rows = pack(packing, columns)
    assert rows.shape == (records, packing.words) and packing_from_schema(packing.as_schema()) == packing
    for name, values in unpack(packing, rows).items():
        np.testing.assert_array_equal(values, columns[name])
        assert values.dtype == columns[name].dtype
    for name, values in fields_of(packing, rows).items():  # TensorFlow's way to the same
        np.testing.assert_array_equal(values.numpy(), columns[name])


def test_a_row_is_as_long_as_its_fields_in_whole_words():
    # 3 int32 are 3 words, 5 bytes are 2 words of which the last three bytes are empty, one number is one word
    packing = packing_from_schema({"menu": "int32[3]", "clicked": "int8[5]", "hour": "int32"})
    assert (packing.words, packing.starts) == (6, {"menu": 0, "clicked": 3, "hour": 5})
    rows = pack(packing, {"menu": np.array([[7, 8, 9]]), "clicked": np.array([[1, 0, 0, 0, 1]]), "hour": np.array([4])})
    assert rows.tolist() == [[7, 8, 9, 1, 1, 4]]  # little-endian: the first of four bytes is the lowest


def test_ids_of_a_small_vocabulary_take_two_bytes():
    narrow = packing_of(Lengths(20, 40), {TITLES: 65_536, ROWS: 506}).as_schema()
    assert (narrow["history"], narrow["menu"], narrow["history_age"]) == ("uint16[20]", "uint16[40]", "int32[20]")
    wide = packing_of(Lengths(20, 40), {TITLES: 65_537, ROWS: 506}).as_schema()
    assert (wide["history"], wide["menu"]) == ("int32[20]", "uint16[40]")
    packing = packing_from_schema({"menu": "uint16[3]"})
    rows = pack(packing, {"menu": np.array([[65_535, 2, 1]])})
    assert rows.tolist() == [[65_535 + 2 * 65_536, 1]]  # two words: 65,535 below 2, then 1
    assert fields_of(packing, rows)["menu"].numpy().tolist() == [[65_535, 2, 1]]  # and not -1


def test_what_was_shown_before_is_packed_as_narrow_as_it_can_be():
    few, many = {TITLES: 9, ROWS: 65_536}, {TITLES: 9, ROWS: 65_537}
    names = ("shown_row", "shown_position", "shown_clicked", "shown_age", "randomized")
    schema = packing_of(Lengths(20, 40, shown=500), few).as_schema()
    assert [schema[name] for name in names] == ["uint16[500]", "uint16[500]", "int8[500]", "int32[500]", "int8"]
    assert packing_of(Lengths(20, 40, shown=500), many).as_schema()["shown_row"] == "int32[500]"
    without = packing_of(Lengths(20, 40), few).as_schema()
    assert [name for name in names if name in without] == ["randomized"]


@pytest.mark.parametrize("text", ["int64", "int32[0]", "list<element: int32>", "int32[2", ""])
def test_a_type_that_is_not_packed_is_refused(text):
    with pytest.raises(SnapshotError, match="field `menu` of a snapshot has no packed type"):
        packing_from_schema({"menu": text})


def test_blocks_do_not_span_two_groups():
    rows = np.arange(12, dtype=np.int32).reshape(6, 2)
    columns = [pa.array([3, 3, 3, 5, 5, 8], pa.int32()), pa.array(range(6), pa.int64()), rows_as_arrow(rows)]
    batch = pa.RecordBatch.from_arrays(columns, names=["group", "page_view_id", "rows"])
    (blocks,) = blocks_of(iter([batch.slice(1)]), "group")  # a slice: its buffers begin before it does
    assert blocks.column("group").to_pylist() == [3, 5, 8]
    assert blocks.column("records").to_pylist() == [2, 2, 1]
    assert [block_ids(ids).tolist() for ids in blocks.column("page_view_id").to_pylist()] == [[1, 2], [3, 4], [5]]
    assert [block_rows(one, 2).tolist() for one in blocks.column("rows").to_pylist()] == [
        [[2, 3], [4, 5]], [[6, 7], [8, 9]], [[10, 11]]
    ]  # fmt: skip


def test_no_records_make_no_block():
    empty = pa.RecordBatch.from_pydict(
        {"group": pa.array([], pa.int32()), "page_view_id": pa.array([], pa.int64()), "rows": pa.array([], pa.binary())}
    )
    (blocks,) = blocks_of(iter([empty]), "group")
    assert len(blocks) == 0


def test_a_block_that_is_cut_off_is_refused():
    told = "a block of records is cut off: wanted a multiple of 8 bytes, got 12. Run `pagerec prepare`"
    with pytest.raises(SnapshotError, match=told):
        block_rows(b"\0" * 12, 2)
