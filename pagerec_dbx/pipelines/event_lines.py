"""Lines of click logs and page events: what viewers did."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.pipelines import parsing
from pagerec_dbx.pipelines.forms import EVENTS
from pagerec_dbx.pipelines.lines import (
    CLICK_IDENTITY,
    Reading,
    User,
    finished,
    id_of,
    identifier,
    missing,
    nested,
    with_fields,
)

CLICK = "row_click"


def click_log_lines(lines: DataFrame, reading: Reading) -> DataFrame:
    """Lines of click logs in the columns of BRONZE_EVENTS; the event is `row_click`.

    One record per line.
    """
    fields, form = F.col("fields"), reading.mapping.of("click_logs")
    typed = (
        with_fields(lines, "click_logs", reading)
        .withColumn("happened_at", parsing.time(fields["timestamp"], form.place("timestamp").unit))
        .withColumn("user", identifier(fields["user_id"], "user_id", form))
        .withColumn("given_hash", identifier(fields["user_hash"], "user_hash", form))
        .withColumn("row_id", identifier(fields["row_click"], "row_click", form))
    )
    someone = F.coalesce("user", "given_hash")
    texts = ("request_id", "timestamp", "user_id", "user_hash", "row_click", "row_click_title")
    faults = [
        missing({"timestamp": fields["timestamp"], "user_id": someone, "row_click": F.col("row_id")}),
        nested({name: fields[name] for name in texts}, form),
        *_number_faults(fields["row_position"], reading),
    ]
    good = _columns(
        event=F.lit(CLICK),
        request_id=identifier(fields["request_id"], "request_id", form),
        row_title=fields["row_click_title"],
        row_position=fields["row_position"],
    )
    user = User(id=F.col("user"), hash=F.col("given_hash"))
    return finished(typed, "click_logs", faults, user, good, reading).transform(_with_click_id)


def page_event_lines(lines: DataFrame, reading: Reading) -> DataFrame:
    """Lines of page events in the columns of BRONZE_EVENTS; request_id is null.

    One record per line.
    """
    fields, form = F.col("fields"), reading.mapping.of("page_events")
    typed = (
        with_fields(lines, "page_events", reading)
        .withColumn("happened_at", parsing.time(fields["timestamp"], form.place("timestamp").unit))
        .withColumn("user", identifier(fields["user_hash"], "user_hash", form))
        .withColumn("row_id", identifier(fields["row_id"], "row_id", form))
    )
    texts = ("event", "timestamp", "user_hash", "page", "row_id", "row_title", "transaction")
    rowless_click = F.when((fields["event"] == CLICK) & F.col("row_id").isNull(), "missing_row_id")
    faults = [
        missing({"event": fields["event"], "timestamp": fields["timestamp"], "user_hash": F.col("user")}),
        nested({name: fields[name] for name in texts}, form),
        F.when(~fields["event"].isin(*EVENTS), "unknown_event"),
        rowless_click,
        *_number_faults(fields["position"], reading),
    ]
    good = _columns(
        event=fields["event"],
        page=fields["page"],
        row_title=fields["row_title"],
        row_position=fields["position"],
        transaction=fields["transaction"],
    )
    return finished(typed, "page_events", faults, User(hash=F.col("user")), good, reading).transform(_with_click_id)


def _columns(**given: Column) -> dict[str, Column]:
    nothing = F.lit(None).cast("string")
    common = {"happened_at": F.col("happened_at"), "day": F.to_date("happened_at"), "row_id": F.col("row_id")}
    return dict.fromkeys(("request_id", "page", "transaction"), nothing) | common | given


def _number_faults(position: Column, reading: Reading) -> list[Column]:
    return [
        parsing.time_fault(F.col("fields.timestamp"), F.col("happened_at"), reading.plausible),
        F.when(position < 0, "number_out_of_range"),
    ]


def _with_click_id(events: DataFrame) -> DataFrame:
    identity = id_of(*CLICK_IDENTITY)
    is_click = F.col("reason").isNull() & (F.col("event") == CLICK)
    return events.withColumn("click_id", F.when(is_click, identity))
