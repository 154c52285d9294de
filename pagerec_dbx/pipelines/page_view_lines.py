"""Lines of service logs and hashed payloads: pages as they were served."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.hashing import hashed
from pagerec_dbx.pipelines import parsing, projection
from pagerec_dbx.pipelines.lines import (
    PAGE_VIEW_IDENTITY,
    Reading,
    finished,
    id_of,
    identifier,
    missing,
    nested,
    with_fields,
)
from pagerec_dbx.pipelines.mapping import Form, Place
from pagerec_dbx.pipelines.parsing import Plausible

MOST_OFFSET = 14 * 60  # minutes, the farthest any clock is from UTC


def service_log_lines(lines: DataFrame, reading: Reading) -> DataFrame:
    """Lines of service logs in the columns of BRONZE_PAGE_VIEWS.

    One record per line.
    """
    fields, form = F.col("fields"), reading.mapping.of("service_logs")
    typed = (
        with_fields(lines, "service_logs", reading)
        .withColumn("page", fields)
        .withColumn("request_id", identifier(fields["request_id"], "request_id", form))
        .withColumn("user", identifier(fields["user_id"], "user_id", form))
    )
    ids = {"request_id": F.col("request_id"), "user_id": F.col("user")}
    return _finished(typed, "service_logs", ids, hashed(F.col("user"), reading.key), reading)


def payload_lines(lines: DataFrame, reading: Reading) -> DataFrame:
    """Lines of hashed payloads in the columns of BRONZE_PAGE_VIEWS; request_id is null.

    One record per line.
    """
    fields, form = F.col("fields"), reading.mapping.of("hashed_payloads")
    typed = (
        with_fields(lines, "hashed_payloads", reading)
        .withColumn("page", fields["payload"])
        .withColumn("request_id", F.lit(None).cast("string"))
        .withColumn("user", identifier(fields["user_hash"], "user_hash", form))
    )
    return _finished(typed, "hashed_payloads", {"user_hash": F.col("user")}, F.col("user"), reading)


def _finished(typed: DataFrame, source: str, ids: dict[str, Column], user: Column, reading: Reading) -> DataFrame:
    page, served, form = F.col("page"), F.col("fields.timestamp"), reading.mapping.of(source)
    read = (
        typed.withColumn("served_at", parsing.time(served, form.place("timestamp").unit))
        .withColumn("watched", _watched(page["watch_history"], form))
        .withColumn("all_watched", _history(F.col("watched")))
        .withColumn("offered", _offered(page["candidates"]))
    )
    faults = [
        missing(ids | {"timestamp": served, "payload": page, "candidates": page["candidates"]}),
        nested(ids | {"timestamp": served, "device": page["device"], "location": page["location"]}, form),
        parsing.time_fault(served, F.col("served_at"), reading.plausible),
        F.when(F.abs(page["utc_offset_minutes"]) > MOST_OFFSET, "number_out_of_range"),
        _menu_fault(page["candidates"], F.col("offered"), form),
        _history_fault(F.col("watched"), page["watch_history"], form, reading.plausible),
    ]
    good = {
        "request_id": F.col("request_id"),
        "served_at": F.col("served_at"),
        "utc_offset_minutes": page["utc_offset_minutes"],
        "randomized": F.coalesce(page["randomized"], F.lit(False)),
        "device": page["device"],
        "location": page["location"],
        "history": F.filter("all_watched", lambda watched: ~_is_late(watched)),
        "late_titles": F.size(F.filter("all_watched", _is_late)),
        "menu": _menu(F.col("offered")),
        "day": F.to_date("served_at"),
    }
    views = finished(read, source, faults, user, good, reading)
    identity = id_of(*PAGE_VIEW_IDENTITY)
    return views.withColumn("page_view_id", F.when(F.col("reason").isNull(), identity))


def _is_late(watched: Column) -> Column:
    """True for a title of the history that was watched at or after the page view."""
    return F.coalesce(watched["watched_at"] >= F.col("served_at"), F.lit(False))


# --- menu -------------------------------------------------------------------------------------------------------------


def _offered(candidates: Column) -> Column:
    """The candidates in order of position, the index where there is none: array<struct<position, row_id, ...>>."""
    placed = F.transform(
        candidates,
        lambda row, index: F.struct(
            F.coalesce(row["position"], index).alias("position"),
            row["row_id"].alias("row_id"),
            row["row_title"].alias("row_title"),
            F.coalesce(row["pinned"], F.lit(False)).alias("pinned"),
        ),
    )
    return F.sort_array(placed)


def _menu_fault(candidates: Column, offered: Column, form: Form) -> Column:
    ids = offered["row_id"]
    return (
        F.when(F.size(candidates) == 0, "empty_menu")
        .when(F.exists(candidates, lambda row: row.isNull()), "wrong_type")
        .when(F.exists(ids, lambda row_id: row_id.isNull() | (row_id == "")), "missing_row_id")
        .when(_any_nested(ids, "row_id", form), "wrong_type")
        .when(_any_nested(offered["row_title"], "row_title", form), "wrong_type")
        .when(F.size(F.array_distinct(ids)) < F.size(ids), "duplicate_row")
        .when(offered["position"] != F.sequence(F.lit(0), F.size(ids) - 1), "position_gap")
    )


def _any_nested(texts: Column, name: str, form: Form) -> Column:
    """True where one of these texts of the menu is an object or a list."""
    menu, inside = form.place("candidates").path, form.place(f"candidates.{name}").path
    if not inside:
        return F.lit(False)
    return F.exists(texts, parsing.looks_nested) & projection.holds_nested_inside(F.col("line"), menu, inside)


def _menu(offered: Column) -> Column:
    return F.transform(offered, lambda row: F.struct(row["row_id"], row["row_title"], row["position"], row["pinned"]))


# --- history ----------------------------------------------------------------------------------------------------------


def _watched(entries: Column, form: Form) -> Column:
    """The history as array<struct<title_id, text, watched_at>>, in which `text` is the time as it was written.

    An entry that is an object has come as its JSON text. All of them are read at once where all are objects; one by
    one only where ids and objects are mixed.
    """
    kind = f"struct<{projection.element_type(form, 'watch_history')}>"
    unit = form.place("watch_history.watched_at").unit
    canonical = lambda entry: projection.canonical_element(entry, form, "watch_history")  # noqa: E731
    together = F.from_json(F.concat(F.lit("["), F.array_join(entries, ","), F.lit("]")), f"array<{kind}>")
    one_by_one = F.transform(
        entries, lambda entry: F.when(_is_object(entry), canonical(F.from_json(entry, kind))).otherwise(_alone(entry))
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


def _alone(entry: Column) -> Column:
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
