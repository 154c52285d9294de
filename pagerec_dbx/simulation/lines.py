"""Page views and clicks as the JSON lines of the four logs (SPEC 2, default fields)."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.config import SimulateSettings
from pagerec_dbx.simulation.chance import Chance, constants
from pagerec_dbx.simulation.viewers import other_user_id, user_id
from pagerec_dbx.simulation.world import DEVICES, World

PAGE_LOGS = ("service_logs", "hashed_payloads")
LOGS = ("service_logs", "click_logs", "hashed_payloads", "page_events")
IMPRESSIONS = 3  # rows of a hashed page view that have an event of their own

_TOLD_OF_PAGE = (
    "request_id", "user_hash", "device", "location", "utc_offset_minutes", "randomized", "timed", "history", "rows",
    "pinned",
)  # fmt: skip


def all_lines(
    pages: DataFrame, clicks: DataFrame, chance: Chance, world: World, settings: SimulateSettings
) -> DataFrame:
    """Every line that is well made, as yet without its text: what places lines in files moves numbers, not letters.

    One record per line: log, line_id (bigint), viewer, number and what (of whose page view it is the what), kind
    ('page', 'repeated_page', 'click', 'event'), time_ms; and what the line tells as `page`, `click` or `event`, the
    other two null.
    """
    parts = [
        page_lines(pages, chance, settings),
        click_lines(clicks, world),
        click_event_lines(clicks, chance, world),
        other_event_lines(pages, chance, world),
    ]
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.unionByName(part, allowMissingColumns=True)
    return whole.withColumn("line_id", chance.bits("line", F.xxhash64("log"), "viewer", "number", F.xxhash64("what")))


def with_text(lines: DataFrame, world: World) -> DataFrame:
    """The lines with `text`, their JSON, in place of `page`, `click` and `event`."""
    of_page = F.when(F.col("log") == "service_logs", _service_line(world)).otherwise(_payload_line(world))
    of_click = F.to_json("click", {"ignoreNullFields": "false"})  # what a click lacks is written as null
    text = F.when(F.col("page").isNotNull(), of_page).when(F.col("click").isNotNull(), of_click)
    return lines.withColumn("text", text.otherwise(F.to_json("event"))).drop("page", "click", "event")


def page_lines(pages: DataFrame, chance: Chance, settings: SimulateSettings) -> DataFrame:
    """Service log and hashed payloads; a repeated page view has a second line, which may tell another location."""
    repeated = chance.happens(settings.repeated_page_rate, "repeated page", "viewer", "page_index")
    same = chance.happens(0.5, "same location", "viewer", "page_index")
    copies = F.when(repeated, F.array(F.lit("page"), F.lit("repeated_page"))).otherwise(F.array(F.lit("page")))
    lines = pages.withColumn("kind", F.explode(copies)).withColumn(
        "location", F.when((F.col("kind") == "repeated_page") & ~same, F.lit("elsewhere")).otherwise(F.col("location"))
    )
    return lines.select(
        F.col("source").alias("log"),
        "viewer",
        F.col("page_index").alias("number"),
        F.col("kind").alias("what"),
        "kind",
        F.col("served_ms").alias("time_ms"),
        F.struct(*_TOLD_OF_PAGE).alias("page"),
    )


def _service_line(world: World) -> Column:
    own = [F.col("page.request_id"), F.col("time_ms").alias("timestamp"), user_id("viewer").alias("user_id")]
    return _with_history(lambda history: F.to_json(F.struct(*own, *_page(world, history))), world)


def _payload_line(world: World) -> Column:
    own = [F.col("page.user_hash"), _iso("time_ms").alias("timestamp")]

    def line(history: Column) -> Column:
        return F.to_json(F.struct(*own, F.struct(*_page(world, history)).alias("payload")))

    return _with_history(line, world)


def _with_history(line, world: World) -> Column:
    """The line with its history in one of the two forms: ids and times, or ids alone."""
    words = constants(world.title_ids, "string")
    timed = F.transform(
        "page.history",
        lambda entry: F.struct(F.get(words, entry["title"]).alias("title_id"), entry["watched_ms"].alias("watched_at")),
    )
    return F.when(F.col("page.timed"), line(timed)).otherwise(line(F.transform(timed, lambda entry: entry["title_id"])))


def _page(world: World, history: Column) -> list[Column]:
    ids, titles = constants(world.row_ids, "string"), constants(world.row_titles, "string")
    candidates = F.transform(
        "page.rows",
        lambda row, place: F.struct(
            F.get(ids, row).alias("row_id"),
            F.get(titles, row).alias("row_title"),
            place.alias("position"),
            F.get("page.pinned", place).alias("pinned"),
        ),
    )
    return [
        F.get(constants(DEVICES, "string"), "page.device").alias("device"),
        F.col("page.location"),
        F.col("page.utc_offset_minutes"),
        F.when(F.col("page.randomized"), F.lit(True)).alias("randomized"),
        history.alias("watch_history"),
        candidates.alias("candidates"),
    ]


def click_lines(clicks: DataFrame, world: World) -> DataFrame:
    """The click log."""
    hashed = F.col("page_source") == "hashed_payloads"
    by = F.when(F.col("by_guest"), other_user_id("viewer")).otherwise(user_id("viewer"))
    fields = F.struct(
        F.col("request_id"),
        F.when(~hashed, by).alias("user_id"),
        F.when(hashed, F.col("user_hash")).alias("user_hash"),
        F.col("clicked_ms").alias("timestamp"),
        F.col("row_id").alias("row_click"),
        F.get(constants(world.row_titles, "string"), "row").alias("row_click_title"),
        F.col("row_position"),
    )
    return _clicks_as_lines(clicks, "click_logs", fields.alias("click"))


def click_event_lines(clicks: DataFrame, chance: Chance, world: World) -> DataFrame:
    """Page events of clicks."""
    bought = chance.uniform("transaction", "viewer", "page_index")
    transaction = F.when(bought < 0.5, "play").when(bought < 0.55, "purchase").otherwise("none")
    title = F.get(constants(world.row_titles, "string"), "row")
    event = _event("row_click", "clicked_ms", F.col("row_id"), title, F.col("row_position"), transaction)
    return _clicks_as_lines(clicks, "page_events", event)


def _clicks_as_lines(clicks: DataFrame, log: str, told: Column) -> DataFrame:
    return clicks.where(F.col("log") == log).select(
        "log",
        "viewer",
        F.col("page_index").alias("number"),
        F.col("kind").alias("what"),
        F.lit("click").alias("kind"),
        F.col("clicked_ms").alias("time_ms"),
        told,
    )


def other_event_lines(pages: DataFrame, chance: Chance, world: World) -> DataFrame:
    """Page events of hashed page views that are no click: the load, the first rows coming into sight, scrolling."""
    titles = constants(world.row_titles, "string")
    nothing = F.lit(None).cast("string")

    def part(event: str, place: int | None, delay_ms: int) -> Column:
        return F.struct(
            F.lit(event).alias("event"), F.lit(place).cast("int").alias("place"), F.lit(delay_ms).alias("delay_ms")
        )

    always = [part("page_load", None, 0), *(part("row_impression", k, 300 + 150 * k) for k in range(IMPRESSIONS))]
    scroll = F.when(chance.happens(0.3, "scroll", "viewer", "page_index"), part("scroll", None, 900))
    parts = F.array_compact(F.array(*always, scroll))
    events = (
        pages.where(F.col("source") == "hashed_payloads")
        .withColumn("happening", F.explode(parts))
        .select("*", "happening.*")
        .withColumn("time_ms", F.col("served_ms") + F.col("delay_ms"))
        .withColumn("row", F.get("rows", "place"))
    )
    event = _event(F.col("event"), "time_ms", F.get("row_ids", "place"), F.get(titles, "row"), F.col("place"), nothing)
    return events.select(
        F.lit("page_events").alias("log"),
        "viewer",
        F.col("page_index").alias("number"),
        F.concat("event", F.coalesce(F.col("place").cast("string"), F.lit(""))).alias("what"),
        F.lit("event").alias("kind"),
        "time_ms",
        event,
    )


def _event(event, moment: str, row_id: Column, title: Column, position: Column, transaction: Column) -> Column:
    return F.struct(
        (F.lit(event) if isinstance(event, str) else event).alias("event"),
        F.col("user_hash"),
        _iso(moment).alias("timestamp"),
        F.lit("home").alias("page"),
        row_id.alias("row_id"),
        title.alias("row_title"),
        position.alias("position"),
        transaction.alias("transaction"),
    ).alias("event")


def _iso(moment: str) -> Column:
    """Epoch milliseconds as `2024-01-01T12:00:00.000Z`, whatever the session's time zone."""
    utc = F.to_utc_timestamp(F.timestamp_millis(moment), F.current_timezone())
    return F.date_format(utc, "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'")
