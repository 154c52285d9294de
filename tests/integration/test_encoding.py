"""Tokens to ids, by hand: vocabularies of the training part, and the record that models read."""

import pytest

from pagerec_dbx.errors import GrainError, MissingTableError
from pagerec_dbx.features.encoding import Lengths, encode, encode_packed, has_click_within, packing_of
from pagerec_dbx.features.packing import block_rows
from pagerec_dbx.features.stream import fields_of
from pagerec_dbx.features.vocabulary import (
    Vocabulary,
    count_tokens,
    load_vocabulary,
    read_vocabulary,
    store_vocabulary,
    tokens_from_page_views,
)
from pagerec_dbx.pipelines.gold import examples_from_labelled
from pagerec_dbx.pipelines.shown import Shown
from pagerec_dbx.schemas import SHOWN, VOCABULARIES
from tests.page_views import MONDAY, labelled_page_views, page_view
from tests.shown_world import clicks_of, shown

LIMITS = {"titles": 10, "rows": 10, "devices": 10, "locations": 10}
VOCABULARY = Vocabulary(
    1, {"titles": ("t1", "t2"), "rows": ("a", "b", "c"), "devices": ("tv",), "locations": ("NO", "DE")}
)


def encoded(spark, views, history_length=3, menu_length=4, vocabulary=VOCABULARY):
    examples = examples_from_labelled(labelled_page_views(spark, views), history_length)
    return encode(examples, vocabulary, Lengths(history_length, menu_length)).orderBy("page_view_id").collect()


def test_encode_gives_ids_padding_and_unknown(spark):
    views = [
        page_view(
            1, 7_200, titles=[("t2", 60), ("new", None)], rows=["c", "zz", "a"], labels=[0, 0, 1], pinned=[0],
            device="watch", location="DE",
        ),
        page_view(2, 86_400, rows=["zz", "a"], labels=[1, 0], device=None, location=""),
    ]  # fmt: skip
    first, second = encoded(spark, views)
    assert (first["history"], first["history_age"]) == ([3, 1, 0], [60, 0, 0])
    assert (first["menu"], first["pinned"]) == ([4, 1, 2, 0], [1, 0, 0, 0])
    assert (first["clicked"], first["clicked_row"]) == ([0, 0, 1, 0], 2)
    assert (first["device"], first["location"]) == (1, 3)  # unknown; DE
    assert (first["hour"], first["weekday"], first["day"]) == (2, 0, 19_723)  # 2024-01-01
    assert (second["history"], second["menu"]) == ([0, 0, 0], [1, 2, 0, 0])
    assert second["clicked_row"] == 1  # unknown is an ordinary class
    assert (second["device"], second["location"], second["day"]) == (0, 0, 19_724)  # the log gave none


def test_encode_cuts_long_menus_and_names_no_row_for_several_clicks(spark):
    views = [
        page_view(1, labels=[1, 0, 1, 0], rows=["a", "b", "c", "d"]),  # several: no single row
        page_view(2, labels=[0, 1, 0, 1], rows=["a", "b", "c", "d"]),  # one within the first three: b
        page_view(3, labels=[0, 0, 0, 1], rows=["a", "b", "c", "d"]),  # all past them
    ]
    records = encoded(spark, views, menu_length=3)
    assert [record["menu"] for record in records] == [[2, 3, 4]] * 3
    assert [record["clicked"] for record in records] == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert [record["clicked_row"] for record in records] == [0, 3, 0]
    examples = examples_from_labelled(labelled_page_views(spark, views), 3)
    kept = examples.where(has_click_within(3)).select("page_view_id").orderBy("page_view_id").collect()
    assert [record[0] for record in kept] == [1, 2]  # the third has nothing left to learn


def test_encode_finds_every_token_of_a_large_vocabulary(spark):
    """Buckets, collisions and characters that JSON writes in its own way."""
    titles = tuple(f"title {number}" for number in range(500)) + ('"', "\\", "\n", "é", "𝄞", "'", " ", "null")
    vocabulary = Vocabulary(1, {"titles": titles, "rows": ("a",), "devices": (), "locations": ()})
    views = [page_view(1, titles=[(title, None) for title in titles] + [("title 500", None)])]
    (record,) = encoded(spark, views, history_length=600, vocabulary=vocabulary)
    assert record["history"] == [*range(2, 2 + len(titles)), 1, *[0] * (599 - len(titles))]


def test_encode_makes_the_columns_of_the_record(spark):
    types = dict(encode(examples_from_labelled(labelled_page_views(spark, []), 3), VOCABULARY, Lengths(3, 4)).dtypes)
    assert {name: types[name] for name in ("history", "history_age", "menu", "pinned", "clicked")} == {
        "history": "array<int>", "history_age": "array<int>", "menu": "array<int>", "pinned": "array<tinyint>",
        "clicked": "array<tinyint>",
    }  # fmt: skip
    scalars = ("clicked_row", "hour", "weekday", "device", "location", "day", "served_at", "page_view_id", "randomized")
    assert [types[name] for name in scalars] == ["int"] * 7 + ["bigint", "tinyint"]
    assert not set(SHOWN) & set(types)  # where nothing of it is kept the record has no such fields


LENGTHS = Lengths(3, 4, shown=6)


def shown_examples(spark):
    """Page 1 offers a, zz, c; page 2, 90 s later and at random, offers b; page 3, 10 s after that, offers a."""
    views = [
        shown(1, 0, ["a", "zz", "c"], ("c", 95)),
        shown(2, 90, ["b"], ("b", 91), randomized=True),
        shown(3, 100, ["a"], ("a", 101)),
    ]
    return examples_from_labelled(labelled_page_views(spark, views), 3, Shown(6, clicks_of(spark, views)))


SHOWN_IDS = {  # of pages 1, 2 and 3: a, b, c are 2, 3, 4, zz is unknown; c is clicked between pages 2 and 3
    "shown_row": [[0] * 6, [2, 1, 4, 0, 0, 0], [3, 2, 1, 4, 0, 0]],
    "shown_position": [[0] * 6, [1, 2, 3, 0, 0, 0], [1, 1, 2, 3, 0, 0]],
    "shown_clicked": [[0] * 6, [0, 0, 0, 0, 0, 0], [1, 0, 0, 1, 0, 0]],
    "shown_age": [[0] * 6, [90, 90, 90, 0, 0, 0], [10, 100, 100, 100, 0, 0]],
    "randomized": [0, 1, 0],
    "served_at": [int(MONDAY.timestamp()) + seconds for seconds in (0, 90, 100)],
}


def test_encode_pads_what_was_shown_before(spark):
    frame = encode(shown_examples(spark), VOCABULARY, LENGTHS)
    records = frame.orderBy("page_view_id").collect()
    assert {name: [record[name] for record in records] for name in SHOWN_IDS} == SHOWN_IDS
    kinds = dict(frame.dtypes)
    assert [kinds[name] for name in SHOWN] == ["array<int>", "array<smallint>", "array<tinyint>", "array<int>"]


def test_what_was_shown_before_comes_packed_out_of_the_stream_as_int32(spark):
    records = encode_packed(shown_examples(spark), VOCABULARY, LENGTHS).orderBy("page_view_id").collect()
    packing = packing_of(LENGTHS, VOCABULARY.sizes)
    assert packing.as_schema()["shown_position"] == "uint16[6]"
    rows = block_rows(b"".join(record["rows"] for record in records), packing.words)
    streamed = fields_of(packing, rows)
    assert {name: streamed[name].numpy().tolist() for name in SHOWN_IDS} == SHOWN_IDS
    assert {streamed[name].dtype.name for name in streamed} == {"int32"}


def test_count_tokens_orders_by_count_then_token(spark):
    views = [
        page_view(1, titles=[("x", 1), ("y", 2)], rows=["b", "a"], labels=[0, 0], device=None),
        page_view(2, titles=[("y", 1)], rows=["b", "c"], labels=[1, 0], location=""),
        page_view(3, titles=[("z", None)], rows=["c", "d"], labels=[1, 0]),
    ]
    frame = labelled_page_views(spark, views)
    counted = count_tokens(frame, LIMITS, min_count=1)
    assert counted["titles"] == (("y", 2), ("x", 1), ("z", 1))
    assert counted["rows"] == (("b", 2), ("c", 2), ("a", 1), ("d", 1))  # page views without a click count too
    assert counted["devices"] == (("tv", 2),)
    assert counted["locations"] == (("NO", 2),)
    # Sizes include padding and unknown: 4 entries are 2 rows. A count of 1 is too few for min_count=2.
    fewer = count_tokens(frame, LIMITS | {"rows": 4}, min_count=2)
    assert (fewer["titles"], fewer["rows"]) == ((("y", 2),), (("b", 2), ("c", 2)))
    assert tokens_from_page_views(frame).count() == 4 + 6 + 2 + 2


def counted(**tokens):
    return {
        kind: tuple((token, 9) for token in tokens.get(kind, ())) for kind in ("titles", "rows", "devices", "locations")
    }


def test_store_vocabulary_keeps_ids_and_reuses_equal_versions(tables):
    first = store_vocabulary(tables, counted(titles=["a", "b"], rows=["r"]), LIMITS)
    again = store_vocabulary(tables, counted(titles=["b", "a"], rows=["r"]), LIMITS)  # other order, same tokens
    assert (first.version, again) == (1, first)
    longer = store_vocabulary(tables, counted(titles=["c", "b", "d"], rows=["r"]), LIMITS)
    assert (longer.version, longer.tokens["titles"]) == (2, ("a", "b", "c", "d"))
    assert longer.sizes == {"titles": 6, "rows": 3, "devices": 2, "locations": 2}
    # A smaller limit cuts the newest ids off; it is a version of its own, and what was cut keeps its id for later.
    shorter = store_vocabulary(tables, counted(titles=["d"]), LIMITS | {"titles": 5})
    assert (shorter.version, shorter.tokens["titles"]) == (3, ("a", "b", "c"))
    assert store_vocabulary(tables, counted(titles=["e"]), LIMITS).tokens["titles"] == ("a", "b", "c", "d", "e")
    assert store_vocabulary(tables, counted(titles=["d"]), LIMITS | {"titles": 4}) == first
    assert read_vocabulary(tables, 1, "titles") == ["a", "b"]
    assert load_vocabulary(tables, 2) == longer
    with pytest.raises(MissingTableError, match="no vocabulary version 9"):
        read_vocabulary(tables, 9, "titles")


def test_store_vocabulary_refuses_an_id_of_two_meanings(tables):
    store_vocabulary(tables, counted(titles=["a"]), LIMITS)
    meddled = tables.spark.createDataFrame([(7, "titles", 2, "z", 1)], tables.read(VOCABULARIES).schema)
    tables.append(VOCABULARIES, meddled)
    with pytest.raises(GrainError, match="id 2 of titles"):
        store_vocabulary(tables, counted(titles=["a"]), LIMITS)
