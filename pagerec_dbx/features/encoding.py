"""Examples (tokens) -> the record that every model reads: fixed-length integers, no nulls."""

import json
import zlib
from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.features.vocabulary import DEVICES, FIRST, LOCATIONS, PADDING, ROWS, TITLES, UNKNOWN, Vocabulary

_ENTRIES = "array<array<struct<token:string,id:int>>>"


def has_click_within(menu_length: int) -> Column:
    """True for examples with a click among the first `menu_length` rows: the others have nothing left to learn."""
    return F.exists(F.slice("clicked", 1, menu_length), lambda label: label == 1)


def encode(examples: DataFrame, vocabulary: Vocabulary, history_length: int, menu_length: int) -> DataFrame:
    """One record per example, in the order and number given.

    Args:
        examples: records of `examples`; further columns are kept.
        history_length: titles of each record; the examples hold no more. Padded at the end.
        menu_length: rows of each record; longer menus are cut, shorter ones padded at the end.

    Returns:
        history int[H], history_age int[H], menu int[M], pinned tinyint[M], clicked tinyint[M], clicked_row int (0 if
        several rows within the menu are clicked), hour, weekday, device, location int (0 where the log gave none),
        page_view_id bigint, day int (days since 1970-01-01), and whatever else the examples have.
    """
    titles, rows = Lookup(vocabulary.tokens[TITLES]), Lookup(vocabulary.tokens[ROWS])
    devices, locations = Lookup(vocabulary.tokens[DEVICES]), Lookup(vocabulary.tokens[LOCATIONS])
    menu = F.transform(F.slice("menu", 1, menu_length), rows.id_of)
    encoded = {
        "history": padded(F.transform("history", titles.id_of), history_length, "int"),
        "history_age": padded(F.col("history_age"), history_length, "int"),
        "menu": padded(menu, menu_length, "int"),
        "pinned": padded(F.slice("pinned", 1, menu_length), menu_length, "tinyint"),
        "clicked": padded(F.slice("clicked", 1, menu_length), menu_length, "tinyint"),
        "device": devices.id_or_padding(F.col("device")),
        "location": locations.id_or_padding(F.col("location")),
        "day": F.unix_date("day"),
    }
    return examples.withColumns(encoded).withColumn("clicked_row", only_clicked("menu", "clicked"))


def only_clicked(menu: str, clicked: str) -> Column:
    """The id of the one clicked row, 0 where several are."""
    place = F.array_position(F.transform(clicked, lambda label: label.cast("int")), 1).cast("int")
    clicks = F.aggregate(clicked, F.lit(0), lambda total, label: total + label.cast("int"))
    return F.when(clicks == 1, F.element_at(menu, place)).otherwise(F.lit(0))


def padded(values: Column, length: int, kind: str) -> Column:
    """An array of at most `length` values with zeros after them up to that length."""
    return F.concat(values, F.array_repeat(F.lit(0).cast(kind), F.lit(length) - F.size(values)))


class Lookup:
    """Token -> id as a column expression.

    Spark searches a map from its first key to its last; 10,000 titles by 20 entries a record took minutes. So the
    tokens lie in buckets by CRC-32, in one constant: a search is one array access and one or two comparisons, without
    the shuffle of a join (measured on 60,000 records of 20 titles and 30 rows: 5 s, a join of exploded tokens 18 s).
    """

    def __init__(self, tokens: Sequence[str]):
        self._buckets = 1 << max(len(tokens) - 1, 1).bit_length()  # a power of two, at least one a token
        entries: list[list[dict]] = [[] for _ in range(self._buckets)]
        for number, token in enumerate(tokens, start=FIRST):
            entries[zlib.crc32(token.encode("utf-8")) % self._buckets].append({"token": token, "id": number})
        self._entries = F.from_json(F.lit(json.dumps(entries)), _ENTRIES)

    def id_of(self, token: Column) -> Column:
        """The id of a token, 1 where the vocabulary does not have it."""
        bucket = F.get(self._entries, F.pmod(F.crc32(token.cast("binary")), F.lit(self._buckets)).cast("int"))
        return F.aggregate(
            bucket, F.lit(UNKNOWN), lambda found, entry: F.when(entry["token"] == token, entry["id"]).otherwise(found)
        )

    def id_or_padding(self, token: Column) -> Column:
        """The id of a token, 0 where there is none: the exported model reads an empty string the same way."""
        return F.when(token.isNull() | (token == ""), PADDING).otherwise(self.id_of(token))
