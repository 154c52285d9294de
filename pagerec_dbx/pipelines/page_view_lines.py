"""Lines of service logs and hashed payloads: pages as they were served."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.pipelines import parsing
from pagerec_dbx.pipelines.history_lines import with_history
from pagerec_dbx.pipelines.lines import (
    PAGE_VIEW_IDENTITY,
    Reading,
    User,
    finished,
    id_of,
    identifier,
    missing,
    nested,
    with_fields,
)
from pagerec_dbx.pipelines.menu_lines import with_menu

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
    return _finished(typed, "service_logs", ids, User(id=F.col("user")), reading)


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
    return _finished(typed, "hashed_payloads", {"user_hash": F.col("user")}, User(hash=F.col("user")), reading)


def _finished(typed: DataFrame, source: str, ids: dict[str, Column], user: User, reading: Reading) -> DataFrame:
    page, served, form = F.col("page"), F.col("fields.timestamp"), reading.mapping.of(source)
    read = typed.withColumn("served_at", parsing.time(served, form.place("timestamp").unit))
    read = with_history(with_menu(read, page["candidates"], form), page["watch_history"], form, reading.plausible)
    faults = [
        missing(ids | {"timestamp": served, "payload": page, "candidates": page["candidates"]}),
        nested(ids | {"timestamp": served, "device": page["device"], "location": page["location"]}, form),
        parsing.time_fault(served, F.col("served_at"), reading.plausible),
        F.when(F.abs(page["utc_offset_minutes"]) > MOST_OFFSET, "number_out_of_range"),
        F.col("menu_fault"),
        F.col("history_fault"),
    ]
    good = {
        "request_id": F.col("request_id"),
        "served_at": F.col("served_at"),
        "utc_offset_minutes": page["utc_offset_minutes"],
        "randomized": F.coalesce(page["randomized"], F.lit(False)),
        "device": page["device"],
        "location": page["location"],
        "history": F.col("history"),
        "late_titles": F.col("late_titles"),
        "menu": F.col("menu"),
        "day": F.to_date("served_at"),
    }
    views = finished(read, source, faults, user, good, reading)
    identity = id_of(*PAGE_VIEW_IDENTITY)
    return views.withColumn("page_view_id", F.when(F.col("reason").isNull(), identity))
