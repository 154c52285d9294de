"""Which clicks the logs hold, and what becomes of each by the rules of the joins.

A slot of a viewer's time holds one page view, or a pair. Only page views that are alone get faulty clicks, so that the
fate of each can be said here without running a join.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.config import SimulateSettings
from pagerec_dbx.simulation.chance import Chance, constants
from pagerec_dbx.simulation.world import World

_DELAY_MS = (800, 115_000)  # of a click after its page view; half of them within _USUAL_DELAY_MS
_USUAL_DELAY_MS = 12_000
_PAST_WINDOW_MS = (125_000, 300_000)
_DOUBLE_MS = (100, 1_800)  # after the click that it repeats
_TWICE_MS = (1, 50)  # between two logs that record one click
_NOT_OFFERED_MS = (2_000, 100_000)
_NO_PAGE_MS = (300_000, 460_000)  # from the slot's begin: every window is closed, the next slot has not begun
_BEFORE_MS = (3_000, 10_000)
_REPEAT_MS = 2_000  # clicks of one viewer on one row closer than this are one


def logged_clicks(pages: DataFrame, chance: Chance, world: World, settings: SimulateSettings) -> DataFrame:
    """Page views to the click lines of the logs.

    One record per click line (repeated lines and broken copies apart): viewer, page_index; log ('click_logs',
    'page_events'), kind, fate, join_method; clicked_ms, clicked_at, request_id, by_guest, user_hash, row, row_id,
    row_position; of the page view it came from: page_source, page_request_id, served_at.

    Kinds: true, past_window (true, but late), double, recorded_twice, without_page, not_offered, before_page,
    other_viewer. Fates: matched, matched_other_page, repeat, no_page, before_page, other_viewer, row_not_offered.
    """
    drawn = _with_drawn_click(pages, chance, settings)
    lines = F.array_compact(F.array(*_lines(chance, settings, len(world.row_ids))))
    exploded = _with_partner(drawn).withColumn("line", F.explode(lines)).select("*", "line.*")
    by_guest = F.col("kind") == "other_viewer"
    return exploded.select(
        "viewer",
        "page_index",
        "log",
        "kind",
        F.coalesce(_fate_in_pair(), "fate").alias("fate"),
        F.when(F.col("line_request").isNull(), "windowed").otherwise("keyed").alias("join_method"),
        "clicked_ms",
        F.timestamp_millis("clicked_ms").alias("clicked_at"),
        F.col("line_request").alias("request_id"),
        by_guest.alias("by_guest"),
        F.when(by_guest, F.col("other_user_hash")).otherwise(F.col("user_hash")).alias("user_hash"),
        "row",
        F.get(constants(world.row_ids, "string"), "row").alias("row_id"),
        "row_position",
        F.col("source").alias("page_source"),
        F.col("request_id").alias("page_request_id"),
        "served_at",
    )


def _with_drawn_click(pages: DataFrame, chance: Chance, settings: SimulateSettings) -> DataFrame:
    """Add of the drawn click: `drawn_row`, `drawn_ms` (null for none), `is_past`, and `alone`."""
    usual = F.lit(float(_USUAL_DELAY_MS)) * F.exp(F.lit(0.7) * chance.gumbel("delay", "viewer", "page_index"))
    delay = F.greatest(F.lit(_DELAY_MS[0]), F.least(usual, F.lit(_DELAY_MS[1])))
    past = ~F.col("in_pair") & chance.happens(settings.past_window_rate, "past window", "viewer", "page_index")
    late = chance.between(*_PAST_WINDOW_MS, "late click", "viewer", "page_index")
    # Even and odd milliseconds: the clicks on the two page views of a pair are never at one time.
    even = F.floor(F.when(F.col("is_past"), late).otherwise(delay) / 2) * 2
    clicked = F.col("click_position").isNotNull()
    return (
        pages.withColumn("alone", ~F.col("in_pair"))
        .withColumn("is_past", past)
        .withColumn("drawn_row", F.get("rows", "click_position"))
        .withColumn("drawn_ms", F.when(clicked, F.col("served_ms") + even - _odd("served_ms") + _odd("page_index")))
    )


def _odd(number: str) -> Column:
    return F.pmod(F.col(number), F.lit(2))


def _with_partner(pages: DataFrame) -> DataFrame:
    """Add what the fate of a click needs to know of the other page view of a pair; null for one that is alone."""
    pairs = pages.where("in_pair")
    partners = pairs.select(
        "viewer",
        F.col("page_index").bitwiseXOR(F.lit(1)).alias("page_index"),
        F.col("served_ms").alias("partner_served_ms"),
        F.col("rows").alias("partner_rows"),
        F.col("drawn_row").alias("partner_row"),
        F.col("drawn_ms").alias("partner_ms"),
    )
    # Only the pairs are moved between processes: they are few, and menus are heavy.
    together = pairs.join(partners, ["viewer", "page_index"], how="left")
    return pages.where("alone").unionByName(together, allowMissingColumns=True)


def _lines(chance: Chance, settings: SimulateSettings, row_count: int) -> list[Column]:
    """The click lines that a page view may give, each null if it does not."""
    hashed = F.col("source") == "hashed_payloads"

    def happens(rate: float, purpose: str) -> Column:
        return chance.happens(rate, purpose, "viewer", "page_index")

    def after(moment: str, bounds: tuple[int, int], purpose: str) -> Column:
        return F.col(moment) + chance.between(*bounds, purpose, "viewer", "page_index")

    drawn, position, request = F.col("drawn_row"), F.col("click_position"), F.col("request_id")
    clicked, alone = drawn.isNotNull(), F.col("alone")
    forgotten = alone & happens(settings.without_request_id_rate, "without request id")
    own_request = F.when(~forgotten, request)
    in_events = hashed & happens(0.7, "in page events")
    log = F.when(in_events, "page_events").otherwise("click_logs")
    other_log = F.when(in_events, "click_logs").otherwise("page_events")
    drawn_fate = F.when(own_request.isNull() & (F.col("is_past") | ~hashed), "no_page").otherwise("matched")
    kind = F.when(F.col("is_past"), "past_window").otherwise("true")
    lost = F.concat(F.lit("lost-"), F.lower(F.hex(chance.bits("lost request", "viewer", "page_index"))))
    others = F.array_except(F.sequence(F.lit(0), F.lit(row_count - 1)), "rows")
    elsewhere = F.get(others, chance.below(F.size(others), "other row", "viewer", "page_index").cast("int"))
    any_row = chance.below(row_count - 1, "any row", "viewer", "page_index").cast("int")
    unlike_drawn = any_row + F.when(any_row >= F.coalesce(drawn, F.lit(row_count)), 1).otherwise(0)
    somewhere = chance.below(F.size("rows"), "some position", "viewer", "page_index").cast("int")
    keyed_only = alone & ~hashed
    double = clicked & alone & happens(settings.double_click_rate, "double click")
    twice = clicked & alone & hashed & happens(settings.recorded_twice_rate, "recorded twice")
    without_page = alone & happens(settings.without_page_rate, "without page")
    not_offered = alone & happens(settings.not_offered_rate, "not offered")
    before = keyed_only & happens(settings.before_page_rate, "before page")
    by_other = keyed_only & happens(settings.other_viewer_rate, "other viewer")
    shown = F.get("rows", somewhere)
    nowhere = F.lit(None).cast("int")
    return [
        _line(clicked, kind, drawn_fate, log, F.col("drawn_ms"), own_request, drawn, position),
        _line(double, "double", "repeat", log, after("drawn_ms", _DOUBLE_MS, "double"), own_request, drawn, position),
        _line(
            twice, "recorded_twice", "repeat", other_log, after("drawn_ms", _TWICE_MS, "twice"),
            None, drawn, position,
        ),
        _line(
            without_page, "without_page", "no_page", log, after("slot_ms", _NO_PAGE_MS, "no page"),
            F.when(~hashed, lost), unlike_drawn, nowhere,
        ),
        _line(
            not_offered, "not_offered", "row_not_offered", log, after("served_ms", _NOT_OFFERED_MS, "not offered at"),
            request, elsewhere, nowhere,
        ),
        _line(
            before, "before_page", "before_page", log,
            F.col("served_ms") - chance.between(*_BEFORE_MS, "before", "viewer", "page_index"),
            request, shown, somewhere,
        ),
        _line(
            by_other, "other_viewer", "other_viewer", log, after("served_ms", _NOT_OFFERED_MS, "other viewer at"),
            request, shown, somewhere,
        ),
    ]  # fmt: skip


def _line(happens, kind, fate, log, moment, request, row, position) -> Column:
    """One click line as a struct, null unless it happens."""
    request = F.lit(None) if request is None else request
    return F.when(
        happens,
        F.struct(
            (F.lit(kind) if isinstance(kind, str) else kind).alias("kind"),
            (F.lit(fate) if isinstance(fate, str) else fate).alias("fate"),
            log.alias("log"),
            moment.cast("bigint").alias("clicked_ms"),
            request.cast("string").alias("line_request"),
            row.cast("int").alias("row"),
            position.cast("int").alias("row_position"),
        ),
    )


def _fate_in_pair() -> Column:
    """What becomes of a click on one of two hashed page views that are open together; null for all other clicks.

    The second within two seconds on the same row is a repeat; one on the first page view, after the second was served
    and on a row that both offer, is taken for a click on the second.
    """
    since_partner = F.col("clicked_ms") - F.col("partner_ms")
    repeat = (F.col("row") == F.col("partner_row")) & since_partner.between(0, _REPEAT_MS - 1)
    on_second = ~F.col("is_second") & (F.col("clicked_ms") >= F.col("partner_served_ms"))
    taken = on_second & F.array_contains("partner_rows", F.col("row"))
    open_together = F.col("in_pair") & (F.col("source") == "hashed_payloads")
    return F.when(open_together & repeat, "repeat").when(open_together & taken, "matched_other_page")
