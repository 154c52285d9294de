"""Lines of titles and rows: their attributes."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.pipelines.lines import Reading, User, finished, identifier, missing, nested, with_fields

_NUMBER = r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$"


def attribute_lines(lines: DataFrame, source: str, reading: Reading) -> DataFrame:
    """Lines of `titles` or `rows` in the columns of BRONZE_ATTRIBUTES: words and numbers apart, nulls left out.

    One record per line.
    """
    name = {"titles": "title_id", "rows": "row_id"}[source]
    form = reading.mapping.of(source)
    typed = (
        with_fields(lines, source, reading)
        .withColumn("id", identifier(F.col(f"fields.{name}"), name, form))
        .withColumn("text", F.coalesce(F.col("fields.attributes"), F.lit("{}")))
        .withColumn("given", F.map_entries(F.from_json("text", "map<string,string>")))
        .withColumn("entries", F.filter("given", lambda entry: entry["value"].isNotNull()))
    )
    faults = [missing({name: F.col("id")}), nested({name: F.col("id")}, form), _attribute_fault(F.col("line"))]
    good = {
        "id": F.col("id"),
        "attributes": F.map_from_entries(F.transform(F.filter("entries", lambda entry: ~_is_number(entry)), _words)),
        "numbers": F.map_from_entries(F.transform(F.filter("entries", _is_number), _number)),
    }
    return finished(typed, source, faults, User(), good, reading)


def _attribute_fault(line: Column) -> Column:
    keys = F.col("given")["key"]
    # The reader makes "Infinity" of a number that no double can hold; a long number in the line tells it from a word.
    infinite = F.exists("entries", lambda entry: entry["value"].contains("Infinity"))
    return (
        F.when(~F.col("text").startswith("{") | F.col("given").isNull(), "wrong_type")
        .when(F.size(F.array_distinct(keys)) < F.size(keys), "duplicate_attribute")
        .when(F.exists("entries", lambda entry: _holds(entry, "{")), "wrong_type")
        .when(infinite & line.rlike(r"[0-9][eE]\+?[0-9]{3}|[0-9]{309}"), "number_out_of_range")
        .when(F.exists("entries", lambda entry: _holds(entry, "[") & _list(entry).isNull()), "wrong_type")
    )


def _is_number(entry: Column) -> Column:
    """True for 5, False for "5": the reader gives the same text for both, so the JSON text is asked.

    A quotation mark inside a JSON string stands behind a backslash, so `"name":5` is nowhere but at a number.
    """
    written = F.concat(F.lit('"'), entry["key"], F.lit('":'), entry["value"])
    return entry["value"].rlike(_NUMBER) & F.col("text").contains(written)


def _holds(entry: Column, bracket: str) -> Column:
    """True where the value is an object or list, and not a string that begins like one."""
    written = F.concat(F.lit('"'), entry["key"], F.lit(f'":{bracket}'))
    return entry["value"].startswith(bracket) & F.col("text").contains(written)


def _list(entry: Column) -> Column:
    return F.from_json(entry["value"], "array<string>")


def _words(entry: Column) -> Column:
    kept = F.filter(_list(entry), lambda word: word.isNotNull())
    words = F.when(_holds(entry, "["), kept).otherwise(F.array(entry["value"]))
    return F.struct(entry["key"].alias("key"), words.alias("value"))


def _number(entry: Column) -> Column:
    return F.struct(entry["key"].alias("key"), entry["value"].cast("double").alias("value"))
