"""Lines of service logs and hashed payloads: pages as they were served."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.hashing import hashed
from pagerec_dbx.pipelines import parsing
from pagerec_dbx.pipelines.lines import Reading, finished, id_of, identifier, missing, nested, with_fields
from pagerec_dbx.pipelines.parsing import Plausible

MOST_OFFSET = 14 * 60  # minutes, the farthest any clock is from UTC
_PAGE = (
    "device:string,location:string,utc_offset_minutes:int,randomized:boolean,watch_history:array<string>,"
    "candidates:array<struct<row_id:string,row_title:string,position:int,pinned:boolean>>"
)
_ENTRY = "struct<title_id:string,watched_at:string>"


def service_log_lines(lines: DataFrame, reading: Reading) -> DataFrame:
    """Lines of service logs in the columns of BRONZE_PAGE_VIEWS.

    One record per line.
    """
    fields = F.col("fields")
    shaped = with_fields(lines, f"request_id:string,timestamp:string,user_id:string,{_PAGE}", reading)
    typed = (
        shaped.withColumn("page", fields)
        .withColumn("request_id", identifier(fields["request_id"], "request_id"))
        .withColumn("user", identifier(fields["user_id"], "user_id"))
    )
    ids = {"request_id": F.col("request_id"), "user_id": F.col("user")}
    return _finished(typed, "service_logs", ids, hashed(F.col("user"), reading.key), reading)


def payload_lines(lines: DataFrame, reading: Reading) -> DataFrame:
    """Lines of hashed payloads in the columns of BRONZE_PAGE_VIEWS; request_id is null.

    One record per line.
    """
    fields = F.col("fields")
    shaped = with_fields(lines, f"user_hash:string,timestamp:string,payload:struct<{_PAGE}>", reading)
    typed = (
        shaped.withColumn("page", fields["payload"])
        .withColumn("request_id", F.lit(None).cast("string"))
        .withColumn("user", identifier(fields["user_hash"], "user_hash"))
    )
    return _finished(typed, "hashed_payloads", {"user_hash": F.col("user")}, F.col("user"), reading)


def _finished(typed: DataFrame, source: str, ids: dict[str, Column], user: Column, reading: Reading) -> DataFrame:
    page, served = F.col("page"), F.col("fields.timestamp")
    read = (
        typed.withColumn("served_at", parsing.time(served))
        .withColumn("watched", _watched(page["watch_history"], F.col("line")))
        .withColumn("all_watched", _history(F.col("watched")))
        .withColumn("offered", _offered(page["candidates"]))
    )
    faults = [
        missing(ids | {"timestamp": served, "payload": page, "candidates": page["candidates"]}),
        nested(ids | {"timestamp": served, "device": page["device"], "location": page["location"]}),
        parsing.time_fault(served, F.col("served_at"), reading.plausible),
        F.when(F.abs(page["utc_offset_minutes"]) > MOST_OFFSET, "number_out_of_range"),
        _menu_fault(page["candidates"], F.col("offered"), F.col("line")),
        _history_fault(F.col("watched"), page["watch_history"], F.col("line"), reading.plausible),
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
    identity = id_of("source", "user_hash", "request_id", "served_at", "menu")
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


def _menu_fault(candidates: Column, offered: Column, line: Column) -> Column:
    ids = offered["row_id"]
    return (
        F.when(F.size(candidates) == 0, "empty_menu")
        .when(F.exists(candidates, lambda row: row.isNull()), "wrong_type")
        .when(F.exists(ids, lambda row_id: row_id.isNull() | (row_id == "")), "missing_row_id")
        .when(parsing.any_nested(ids, line, "row_id"), "wrong_type")
        .when(parsing.any_nested(offered["row_title"], line, "row_title"), "wrong_type")
        .when(F.size(F.array_distinct(ids)) < F.size(ids), "duplicate_row")
        .when(offered["position"] != F.sequence(F.lit(0), F.size(ids) - 1), "position_gap")
    )


def _menu(offered: Column) -> Column:
    return F.transform(offered, lambda row: F.struct(row["row_id"], row["row_title"], row["position"], row["pinned"]))


# --- history ----------------------------------------------------------------------------------------------------------


def _watched(entries: Column, line: Column) -> Column:
    """The history as array<struct<title_id, text, watched_at>>, in which `text` is the time as it was written.

    An entry that is an object has come as its JSON text. All of them are read at once where all are objects; one by
    one only where ids and objects are mixed.
    """
    is_object = lambda entry: entry.startswith("{")  # noqa: E731
    together = F.from_json(F.concat(F.lit("["), F.array_join(entries, ","), F.lit("]")), f"array<{_ENTRY}>")
    one_by_one = F.transform(
        entries, lambda entry: F.when(is_object(entry), F.from_json(entry, _ENTRY)).otherwise(_alone(entry))
    )
    read = F.when(F.forall(entries, is_object), together).otherwise(one_by_one)
    timed = F.transform(
        read,
        lambda entry: F.struct(
            entry["title_id"].alias("title_id"),
            entry["watched_at"].alias("text"),
            parsing.time(entry["watched_at"]).alias("watched_at"),
        ),
    )
    nothing = F.lit(None)
    untimed = F.transform(
        entries,
        lambda entry: F.struct(
            entry.alias("title_id"), nothing.cast("string").alias("text"), nothing.cast("timestamp").alias("watched_at")
        ),
    )
    return F.when(F.exists(entries, is_object), timed).otherwise(untimed)


def _alone(entry: Column) -> Column:
    return F.struct(entry.alias("title_id"), F.lit(None).cast("string").alias("watched_at"))


def _history(watched: Column) -> Column:
    entries = F.transform(watched, lambda entry: F.struct(entry["title_id"], entry["watched_at"]))
    empty = F.array().cast("array<struct<title_id:string,watched_at:timestamp>>")
    return F.coalesce(entries, empty)


def _history_fault(watched: Column, entries: Column, line: Column, plausible: Plausible) -> Column:
    titles = watched["title_id"]
    is_list = lambda entry: F.get_json_object(entry, "$[0]").isNotNull()  # noqa: E731
    has_times = F.exists(watched["text"], lambda text: text.isNotNull())
    of_times = F.transform(watched, lambda entry: parsing.time_fault(entry["text"], entry["watched_at"], plausible))
    return (
        F.when(F.exists(entries, lambda entry: entry.isNull()), "wrong_type")
        .when(F.exists(titles, lambda title: title.isNull() | (title == "")), "missing_title_id")
        .when(F.exists(titles, lambda title: title.startswith("[") & is_list(title)), "wrong_type")
        .when(parsing.any_nested(titles, line, "title_id"), "wrong_type")
        .when(parsing.any_nested(watched["text"], line, "watched_at"), "wrong_type")
        .when(has_times, F.array_min(of_times))
    )
