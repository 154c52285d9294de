"""What the tables `rows` and `titles` say of each id, as tokens that things have or have not."""

import dataclasses
from collections.abc import Collection, Sequence

import numpy as np
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pagerec_dbx.tables import union_all

LONGEST_NAME = 3  # words; a longer text is a bag of its words
_TENTHS = tuple(place / 10 for place in range(1, 10))
_ACCURACY = 10_000  # of the tenths: a rank is right to a ten-thousandth


@dataclasses.dataclass(frozen=True)
class Kind:
    """What is described: rows or titles."""

    table: DataFrame  # attributes map<string, array<string>>, numbers map<string, double>, and `key`
    key: str
    ids: DataFrame  # id int, token string: the vocabulary
    count: int  # entries of the vocabulary, padding and unknown included
    most: int  # attributes of each that are kept


def attribute_tokens(things: DataFrame, key: str, fields: Collection[str] = ()) -> DataFrame:
    """One record per thing and attribute, each once: `thing`, `token`, and its `field`, null for a number's.

    A value is a token `field: value`. A text of more than three words is each of its words, in lower case. A number is
    the tenth of the things that it falls into: `field: tenth 7 by row_id`; rows and titles have their own.

    Args:
        things: attributes map<string, array<string>>, numbers map<string, double>, and `key`.
        fields: those to read; none named: all.
    """
    asked = F.col("field").isin(list(fields)) if fields else F.lit(True)
    listed = things.select(F.col(key).alias("thing"), F.explode("attributes").alias("field", "values")).where(asked)
    values = listed.select("thing", "field", F.explode("values").alias("value"))
    named = values.select("thing", "field", F.explode(_parts(F.col("value"))).alias("part"))
    words = named.select("thing", F.concat("field", F.lit(": "), "part").alias("token"), "field")
    numbers = things.select(F.col(key).alias("thing"), F.explode("numbers").alias("field", "number")).where(asked)
    return words.unionByName(_tenths(numbers.where(~F.isnan("number")), key)).distinct()


def fields_of(things: DataFrame) -> set[str]:
    """The names of the fields that any of the things has; arguments as `attribute_tokens`."""
    names = (things.select(F.explode(F.map_keys(kind)).alias("field")) for kind in ("attributes", "numbers"))
    return {record["field"] for record in union_all(list(names)).distinct().collect()}  # some dozens


def _parts(value: Column) -> Column:
    words = F.split(F.lower(F.trim(value)), r"\s+")
    return F.when(F.size(words) > LONGEST_NAME, words).otherwise(F.array(value))


def _tenths(numbers: DataFrame, key: str) -> DataFrame:
    ends = F.array(*map(F.lit, _TENTHS))
    cuts = numbers.groupBy("field").agg(F.percentile_approx("number", ends, _ACCURACY).alias("cuts"))
    passed = F.size(F.filter("cuts", lambda cut: cut < F.col("number")))
    token = F.concat("field", F.lit(": tenth "), passed + 1, F.lit(f" by {key}"))
    nowhere = F.lit(None).cast("string").alias("field")
    return numbers.join(F.broadcast(cuts), "field").select("thing", token.alias("token"), nowhere)


def described(kinds: Collection[Kind], most: int, fields: Collection[str] = ()) -> tuple[list[np.ndarray], np.ndarray]:
    """For each kind [count, kind.most] int32: the attributes of each id, the most frequent ones first, 0 after them.
    And [most] int32: of which field each attribute is, the field with the most frequent one being 0, and so on; -1 for
    the tenth of a number.

    Attributes get their ids, from 1, by how many things have them, then by name; rows and titles share them. One that
    a single thing has, or more than half of them, tells nothing of others and has none.

    Args:
        most: attributes that are told apart, padding included.
        fields: as `attribute_tokens`.
    """
    # A kind's tokens with its vocabulary's ids; things without one are not learnt from.
    of_kinds = [
        attribute_tokens(kind.table, kind.key, fields)
        .join(kind.ids.select(F.col("token").alias("thing"), "id"), "thing")
        .select("id", "token", "field", F.lit(number).alias("kind"))
        for number, kind in enumerate(kinds)
    ]
    tokens = of_kinds[0]
    for others in of_kinds[1:]:
        tokens = tokens.unionByName(others)
    tokens = tokens.persist()
    try:
        things = tokens.select("kind", "id").distinct().count()
        counted = tokens.groupBy("token").agg(F.count("*").alias("count"), F.max("field").alias("field"))
        telling = counted.where((F.col("count") > 1) & (F.col("count") <= things / 2))
        frequent = telling.orderBy(F.desc("count"), "token").limit(most - 1).collect()
        names = [record["token"] for record in frequent]
        numbered = tokens.sparkSession.createDataFrame(
            [(name, number) for number, name in enumerate(names, start=1)], "token string, number int"
        )
        place = F.row_number().over(Window.partitionBy("kind", "id").orderBy("number"))
        kept = tokens.join(F.broadcast(numbered), "token").withColumn("place", place)
        limits = F.element_at(F.array(*(F.lit(kind.most) for kind in kinds)), F.col("kind") + 1)
        found = kept.where(F.col("place") <= limits).select("kind", "id", "place", "number").toPandas()
    finally:
        tokens.unpersist()
    matrices = [_matrix(found[found["kind"] == number], kind) for number, kind in enumerate(kinds)]
    return matrices, _numbered([record["field"] for record in frequent], most)


def _numbered(fields: Sequence[str | None], most: int) -> np.ndarray:
    numbers: dict[str, int] = {}
    found = np.zeros(most, np.int32)
    for token, field in enumerate(fields, start=1):
        found[token] = -1 if field is None else numbers.setdefault(field, len(numbers))
    return found


def _matrix(found, kind: Kind) -> np.ndarray:
    matrix = np.zeros((kind.count, kind.most), np.int32)
    matrix[found["id"].to_numpy(), found["place"].to_numpy() - 1] = found["number"].to_numpy()
    return matrix
