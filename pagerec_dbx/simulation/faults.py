"""What spoils lines on their way to the disk: broken and hostile copies, late lines, lines out of order."""

import dataclasses

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pagerec_dbx.config import SimulateSettings
from pagerec_dbx.simulation.chance import Chance, constants
from pagerec_dbx.simulation.lines import PAGE_LOGS
from pagerec_dbx.simulation.world import DAY_MS

FILE = ("log", "file_day", "file_part")
ORDER_IN_FILE = ("written_ms", "line_id", "spoiling")

_WRITTEN_LATE_MS = (1_000, 1_800_000)  # how long after its time a line out of order is written
_NUL, _NO_UTF8 = "00", "C328FF"  # bytes, in hexadecimal


@dataclasses.dataclass(frozen=True)
class Spoiling:
    """One way to spoil a line: every such line is refused."""

    kind: str
    group: str  # 'broken' or 'hostile'
    reason: str  # for which ingestion refuses it
    pages_only: bool = False

    def spoiled(self, text: Column) -> Column:
        """The copy of a good line that stands in the log beside it."""
        return _SPOILED[self.kind](text)


def _timestamp_becomes(value: str):
    """A line with another timestamp, the true one under a name that nobody asks for."""
    return lambda text: F.replace(text, F.lit('"timestamp":'), F.lit(f'{value}"timestamp_was":'))


def _with_bytes(digits: str):
    """A line with an additional field in whose value these bytes stand."""

    def spoil(text: Column) -> Column:
        odd = F.unhex(F.lit(digits)).cast("string")
        return F.concat(F.lit('{"note":"a'), odd, F.lit('b",'), F.substring(text, 2, 10_000_000))

    return spoil


_SPOILED = {
    "truncated": lambda text: F.left(text, (F.length(text) * 0.6).cast("int")),
    "not_json": lambda text: F.lit("<html><body>502 Bad Gateway</body></html>"),
    "not_an_object": lambda text: F.concat(F.lit("["), text, F.lit("]")),
    "missing_field": _timestamp_becomes(""),
    "nul_byte": _with_bytes(_NUL),
    "invalid_utf8": _with_bytes(_NO_UTF8),
    "huge_number": _timestamp_becomes(f'"timestamp":{"9" * 400},'),
    "wrong_type": _timestamp_becomes('"timestamp":{"was":[true]},'),
    "implausible_time": _timestamp_becomes('"timestamp":"1970-01-01T00:00:01Z",'),
    "duplicate_row": lambda text: F.regexp_replace(text, r'"candidates":\[(\{[^}]*\})', r'"candidates":[$1,$1'),
    "empty_menu": lambda text: F.regexp_replace(text, r'"candidates":\[[^\]]*\]', '"candidates":[]'),
}

SPOILINGS = (
    Spoiling("truncated", "broken", "not_json"),
    Spoiling("not_json", "broken", "not_json"),
    Spoiling("not_an_object", "broken", "wrong_type"),
    Spoiling("missing_field", "broken", "missing_timestamp"),
    Spoiling("nul_byte", "hostile", "nul_byte"),
    Spoiling("invalid_utf8", "hostile", "invalid_utf8"),
    Spoiling("huge_number", "hostile", "implausible_time"),
    Spoiling("wrong_type", "hostile", "wrong_type"),
    Spoiling("implausible_time", "hostile", "implausible_time"),
    Spoiling("duplicate_row", "hostile", "duplicate_row", pages_only=True),
    Spoiling("empty_menu", "hostile", "empty_menu", pages_only=True),
)


def with_spoiled_copies(lines: DataFrame, chance: Chance, settings: SimulateSettings) -> DataFrame:
    """Add the broken and hostile copies, which `with_spoiled_text` spoils.

    One record per line; `spoiling` is the kind of a spoiled one, null for a good one.
    """
    broken = F.when(chance.happens(settings.broken_rate, "broken", "line_id"), _any_kind(chance, "broken", pages=False))
    of_pages = F.col("log").isin(*PAGE_LOGS)
    any_hostile = F.when(of_pages, _any_kind(chance, "hostile", pages=True)).otherwise(
        _any_kind(chance, "hostile", pages=False)
    )
    hostile = F.when(chance.happens(settings.hostile_rate, "hostile", "line_id"), any_hostile)
    # The empty string stands for the good line, as nulls would be dropped.
    copies = lines.withColumn("spoiling", F.explode(F.array_compact(F.array(F.lit(""), broken, hostile))))
    return copies.withColumn("spoiling", F.when(F.col("spoiling") != "", F.col("spoiling")))


def with_spoiled_text(lines: DataFrame) -> DataFrame:
    """The lines with the `text` of each copy spoiled in its way."""
    good = F.col("text")
    text = F.when(F.col("spoiling").isNull(), good)
    for one in SPOILINGS:
        text = text.when(F.col("spoiling") == one.kind, one.spoiled(good))
    return lines.withColumn("text", text)


def _any_kind(chance: Chance, group: str, pages: bool) -> Column:
    kinds = [one.kind for one in SPOILINGS if one.group == group and (pages or not one.pages_only)]
    return F.get(constants(kinds, "string"), chance.below(len(kinds), f"kind of {group}", "line_id").cast("int"))


def with_places(
    lines: DataFrame, chance: Chance, settings: SimulateSettings, day0_ms: int, parts_per_day: int
) -> DataFrame:
    """Add where a line stands: `file_day` (from the first day), `file_part`, `written_ms` (its order there), `late`."""
    good = F.col("spoiling").isNull()
    late = good & chance.happens(settings.late_rate, "late", "line_id")
    displaced = good & ~F.col("late") & chance.happens(settings.out_of_order_rate, "out of order", "line_id")
    delay = F.when(displaced, chance.between(*_WRITTEN_LATE_MS, "written late", "line_id")).otherwise(F.lit(0))
    day = F.greatest(F.floor((F.col("time_ms") - F.lit(day0_ms)) / DAY_MS), F.lit(0))
    return (
        lines.withColumn("late", late)
        .withColumn("file_day", (day + F.col("late").cast("int")).cast("int"))
        .withColumn("file_part", chance.below(parts_per_day, "part", "line_id").cast("int"))
        .withColumn("written_ms", F.col("time_ms") + delay + F.col("late").cast("int") * F.lit(DAY_MS))
    )


def with_out_of_order(places: DataFrame) -> DataFrame:
    """Add `out_of_order`: a good line of the file's own day before which a later one stands."""
    own = F.col("spoiling").isNull() & ~F.col("late")
    above = Window.partitionBy(*FILE).orderBy(*ORDER_IN_FILE).rowsBetween(Window.unboundedPreceding, -1)
    latest = F.max(F.when(own, F.col("time_ms"))).over(above)
    return places.withColumn("out_of_order", F.coalesce(own & (latest > F.col("time_ms")), F.lit(False)))
