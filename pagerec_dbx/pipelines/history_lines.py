"""The history of a page view's line: titles and when they were watched, and what is wrong with them.

Nearly every history is tidy: objects, each with a title and a plausible time in whole units. Those are read with the
time as a number; only the others are read as texts and judged entry by entry.
"""

import datetime as dt

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.pipelines import parsing, projection
from pagerec_dbx.pipelines.mapping import Form, Place
from pagerec_dbx.pipelines.parsing import Plausible


def with_history(lines: DataFrame, entries: Column, form: Form, plausible: Plausible) -> DataFrame:
    """Lines with `history` (what was watched before `served_at`), `late_titles` (how many were not), `history_fault`.

    Args:
        entries: array<string> of ids and of the JSON of objects.
    """
    tidy, watched, everything = F.col("tidy_history"), F.col("watched"), F.col("all_watched")
    none_late = F.coalesce(F.array_max(everything["watched_at"]) < F.col("served_at"), F.lit(True))
    return (
        lines.withColumn("quick", _read_quickly(entries, form))
        .withColumn("tidy_history", _is_tidy(F.col("quick"), entries, form, plausible))
        .withColumn("watched", F.when(~tidy, _watched(entries, form)))
        .withColumn("all_watched", F.when(tidy, _timed(F.col("quick"), form)).otherwise(_history(watched)))
        .withColumn("history", F.when(none_late, everything).otherwise(F.filter(everything, _is_early)))
        .withColumn("late_titles", F.size(everything) - F.size("history"))
        .withColumn("history_fault", F.when(~tidy, _history_fault(watched, entries, form, plausible)))
    )


def _is_early(watched: Column) -> Column:
    """False for a title of the history that was watched at or after the page view."""
    return F.coalesce(watched["watched_at"] < F.col("served_at"), F.lit(True))


def _read_together(entries: Column, kind: str) -> Column:
    return F.from_json(F.concat(F.lit("["), F.array_join(entries, ","), F.lit("]")), f"array<struct<{kind}>>")


def _canonical(entry: Column, form: Form) -> Column:
    return projection.canonical_element(entry, form, "watch_history")


# --- a tidy history ---------------------------------------------------------------------------------------------------


def _read_quickly(entries: Column, form: Form) -> Column:
    """The entries as array<struct<title_id, watched_at>>, times as numbers; anything else where they are not tidy."""
    if not form.place("watch_history.watched_at").path:
        return F.lit(None).cast("array<struct<title_id:string,watched_at:bigint>>")
    kind = projection.element_type(form, "watch_history", {"watch_history.watched_at": "bigint"})
    read = F.transform(_read_together(entries, kind), lambda entry: _canonical(entry, form))
    return F.when(F.size(entries) > 0, read)


def _is_tidy(quick: Column, entries: Column, form: Form, plausible: Plausible) -> Column:
    """True where the quick reading has understood every entry."""
    titles, times = quick["title_id"], quick["watched_at"]
    unit = parsing.MICROS[form.place("watch_history.watched_at").unit]
    earliest, latest = _micros(plausible.earliest), _micros(plausible.latest)
    return F.coalesce(
        (F.size(quick) == F.size(entries))
        & parsing.all_told(titles)
        & (F.array_min(times) >= -(-earliest // unit))
        & (F.array_max(times) <= latest // unit)
        # A search for what is not there gives null instead of false if there is a null.
        & ~F.array_contains(times, F.lit(latest + 1))
        & parsing.none_nested(titles),
        F.lit(False),
    )


def _timed(quick: Column, form: Form) -> Column:
    unit = parsing.MICROS[form.place("watch_history.watched_at").unit]
    return F.transform(
        quick,
        lambda entry: F.struct(
            entry["title_id"].alias("title_id"), F.timestamp_micros(entry["watched_at"] * unit).alias("watched_at")
        ),
    )


def _micros(time: dt.datetime) -> int:
    return (time - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)


# --- a history that is not tidy ---------------------------------------------------------------------------------------


def _watched(entries: Column, form: Form) -> Column:
    """The history as array<struct<title_id, text, watched_at>>, in which `text` is the time as it was written.

    An entry that is an object has come as its JSON text. All of them are read at once where all are objects; one by
    one only where ids and objects are mixed.
    """
    kind = projection.element_type(form, "watch_history")
    unit = form.place("watch_history.watched_at").unit
    canonical = lambda entry: _canonical(entry, form)  # noqa: E731
    together = _read_together(entries, kind)
    one_by_one = F.transform(
        entries,
        lambda entry: F.when(_is_object(entry), canonical(F.from_json(entry, f"struct<{kind}>"))).otherwise(
            _without_time(entry)
        ),
    )
    read = F.when(F.forall(entries, _is_object), F.transform(together, canonical)).otherwise(one_by_one)
    timed = F.transform(
        read,
        lambda entry: F.struct(
            entry["title_id"].alias("title_id"),
            entry["watched_at"].alias("text"),
            parsing.time(entry["watched_at"], unit).alias("watched_at"),
        ),
    )
    nothing = F.lit(None)
    untimed = F.transform(
        entries,
        lambda entry: F.struct(
            entry.alias("title_id"), nothing.cast("string").alias("text"), nothing.cast("timestamp").alias("watched_at")
        ),
    )
    return F.when(F.exists(entries, _is_object), timed).otherwise(untimed)


def _is_object(entry: Column) -> Column:
    return entry.startswith("{")


def _without_time(entry: Column) -> Column:
    return F.struct(entry.alias("title_id"), F.lit(None).cast("string").alias("watched_at"))


def _history(watched: Column) -> Column:
    entries = F.transform(watched, lambda entry: F.struct(entry["title_id"], entry["watched_at"]))
    empty = F.array().cast("array<struct<title_id:string,watched_at:timestamp>>")
    return F.coalesce(entries, empty)


def _history_fault(watched: Column, entries: Column, form: Form, plausible: Plausible) -> Column:
    titles, texts = watched["title_id"], watched["text"]
    is_list = lambda entry: F.get_json_object(entry, "$[0]").isNotNull()  # noqa: E731
    has_times = F.exists(texts, lambda text: text.isNotNull())
    of_times = F.transform(watched, lambda entry: parsing.time_fault(entry["text"], entry["watched_at"], plausible))
    return (
        F.when(F.exists(entries, lambda entry: entry.isNull()), "wrong_type")
        .when(entries.isNotNull() & watched.isNull(), "wrong_type")  # the reader gave up on all of it
        .when(F.exists(titles, lambda title: title.isNull() | (title == "")), "missing_title_id")
        .when(F.exists(titles, lambda title: title.startswith("[") & is_list(title)), "wrong_type")
        .when(_any_nested_entry(titles, entries, form.place("watch_history.title_id")), "wrong_type")
        .when(_any_nested_entry(texts, entries, form.place("watch_history.watched_at")), "wrong_type")
        .when(has_times, F.array_min(of_times))
    )


def _any_nested_entry(texts: Column, entries: Column, place: Place) -> Column:
    """True where one of these texts of the history is an object or a list."""
    if not place.path:
        return F.lit(False)
    nested_entry = lambda entry: _is_object(entry) & projection.holds_nested(entry, place.path)  # noqa: E731
    return F.exists(texts, parsing.looks_nested) & F.exists(entries, nested_entry)
