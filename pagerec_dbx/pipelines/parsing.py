"""What one raw line says: JSON to typed columns, and what is wrong with it, by column expressions alone.

Spark's JSON reader forgives what must not be forgiven, in silence: an object where text is wanted becomes its JSON
text, what follows the first object of a line is dropped, a list of objects is taken for its first. So a line is read as
the only element of a list, and what became of an object is looked for again in the line.
"""

import dataclasses
import datetime as dt

from pyspark.sql import Column
from pyspark.sql import functions as F

_STRICT = {"columnNameOfCorruptRecord": "broken", "allowSingleQuotes": "false", "allowNonNumericNumbers": "false"}
_NUMBER = r"^-?[0-9]+(\.[0-9]+)?([eE][+]?[0-9]+)?$"
_FRACTION = r"^\"?-?([0-9]+\.[0-9]+([eE][-+]?[0-9]+)?|Infinity)\"?$"  # what the reader makes of 1.10, 1e5, 1e400
_ISO = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?( ?(Z|[+-]\d{2}(:?\d{2})?))?)?$"
MICROS = {"s": 1_000_000, "ms": 1_000, "us": 1}
_MOST_DIGITS = {"s": 12, "ms": 15, "us": 18}  # of epoch times: until the year 33658
_MOST_MICROS = 2**62  # what is cast to bigint beyond its range comes out as another number


@dataclasses.dataclass(frozen=True)
class Plausible:
    """The times that are believed, both ends included."""

    earliest: dt.datetime
    latest: dt.datetime

    def excludes(self, time: Column) -> Column:
        return (time < F.lit(self.earliest)) | (time > F.lit(self.latest))


def text_fault(line: Column, max_bytes: int) -> Column:
    """Why a line is no text to be parsed; null if it is."""
    octets = line.cast("binary")
    decoded = F.decode(octets, "UTF-8")
    # Java turns what is no UTF-8 into U+FFFD on the way to characters. Only a line that has it may be no UTF-8, and is
    # none if the way back gives other bytes.
    is_utf8 = ~decoded.contains("\ufffd") | (F.encode(decoded, "UTF-8") == octets)
    return (
        F.when(F.octet_length(line) > max_bytes, "line_too_long")
        .when(line.contains("\x00"), "nul_byte")
        .when(~is_utf8, "invalid_utf8")
    )


def parsed(line: Column, fields: str) -> Column:
    """The line as struct<line: array<struct<fields>>, broken: string>; `broken` is null if all of it fits."""
    return F.from_json(_wrapped(line), f"line array<struct<{fields}>>, broken string", _STRICT)


def json_fault(line: Column, shape: Column, fields: str) -> Column:
    """Why a line is not one JSON object of these fields; null if it is."""
    as_text = F.from_json(_wrapped(line), "line array<string>, broken string", _STRICT)
    wide = parsed(line, fields.replace(":int", ":bigint"))
    is_json = as_text["broken"].isNull() & (F.size(as_text["line"]) == 1)
    return (
        F.when(
            shape["broken"].isNotNull(),
            F.when(~is_json, "not_json").when(wide["broken"].isNull(), "number_out_of_range").otherwise("wrong_type"),
        )
        .when(F.size(shape["line"]) != 1, "not_json")
        .when(shape["line"][0].isNull(), "wrong_type")
    )


def _wrapped(line: Column) -> Column:
    return F.concat(F.lit('{"line":['), line, F.lit("]}"))


def all_told(texts: Column) -> Column:
    """True where none of the texts of an array is null or empty; null or false otherwise."""
    return ~F.array_contains(texts, "")  # a search for what is not there gives null instead of false if there is a null


def none_nested(texts: Column) -> Column:
    """True where none of the texts of an array looks nested; false, too, if one has a bracket after a line's end."""
    lines = F.concat(F.lit("\n"), F.array_join(texts, "\n"))
    return ~(lines.contains("\n{") | lines.contains("\n["))


def looks_nested(text: Column) -> Column:
    """True for a text that may be an object or a list, as Spark's reader puts them into words."""
    return text.startswith("{") | text.startswith("[")


def identifier(text: Column, line: Column, key: str) -> Column:
    """An id as text, null if it is empty; a number is its JSON text, to the letter.

    The reader rewrites fractions. What was written is one of the numbers behind the key: the first of the same value.
    """
    numbers = F.regexp_extract_all(line, F.lit(rf'"\Q{key}\E"\s*:\s*(-?[0-9][-+.eE0-9]*)'), F.lit(1))
    value = F.translate(text, '"', "").cast("double")
    written = F.get(F.filter(numbers, lambda number: number.cast("double") == value), 0)
    exact = F.when(text.rlike(_FRACTION), F.coalesce(written, text)).otherwise(text)
    return F.when(exact != "", exact)


def time(text: Column, unit: str) -> Column:
    """A number of units since 1970 or ISO 8601 as a timestamp, finer than microseconds cut; null if it is neither.

    Without an offset it is UTC, whatever the session's time zone.
    """
    upper = F.upper(text)
    zoned = upper.rlike(r":\d{2}([.,]\d+)? ?(Z|[+-]\d{2}(:?\d{2})?)$")
    with_zone = (
        F.when(F.length(text) == 10, F.concat(text, F.lit("T00:00:00Z")))
        .when(zoned, upper)
        .otherwise(F.concat(upper, F.lit("Z")))
    )
    with_seconds = F.regexp_replace(with_zone, r"^(.{11}\d{2}:\d{2})(?!:)", "$1:00")  # Spark wants them before a zone
    whole = F.when(F.length(with_zone) < 25, with_seconds).otherwise(with_zone)
    digits = F.when(F.length(text) <= _MOST_DIGITS[unit], text.cast("bigint") * MICROS[unit])
    # Twelve digits after the point: with six, which the unit `s` needs, the cast would round them and not cut the rest.
    scaled = F.when(F.length(text) <= 30, text.cast("decimal(38,12)") * MICROS[unit])
    decimal = F.when(F.abs(scaled) < _MOST_MICROS, scaled.cast("bigint"))
    return (
        F.when(text.rlike("^[0-9]+$"), F.timestamp_micros(digits))
        .when(upper.rlike(_ISO), F.try_to_timestamp(F.translate(whole, ",", ".")))
        .when(text.rlike(_NUMBER), F.timestamp_micros(decimal))
    )


def time_fault(text: Column, time: Column, plausible: Plausible) -> Column:
    """Why a time is refused; null if it is not, and where there is none."""
    return (
        F.when(text.isNull(), None)
        .when(time.isNull() & text.rlike(_NUMBER), "implausible_time")
        .when(time.isNull(), "malformed_time")
        .when(plausible.excludes(time), "implausible_time")
    )
