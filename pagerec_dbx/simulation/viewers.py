"""Who comes, when, and with what in hand: viewers and the times of their page views."""

import math

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from pagerec_dbx.config import SimulateSettings
from pagerec_dbx.hashing import HashingKey, hashed
from pagerec_dbx.simulation.chance import Chance, constants
from pagerec_dbx.simulation.world import DEVICES, LOCATIONS, OFFSETS

# A viewer's time is cut into slots of eight minutes. A slot holds one page view, or two of which the second comes while
# the first is open; every click on them lies within the slot. So what each click means can be said exactly.
SLOT_MS = 480_000
SLOTS_PER_DAY = 86_400_000 // SLOT_MS
LATEST_IN_SLOT_MS = 60_000  # a slot's first page view begins at most this late
PAIR_GAP_MS = (5_000, 110_000)  # a slot's second page view begins this much later
PARETO = 1.3
MOST_PAGE_VIEWS = 3_000  # of one viewer
_BLOCK = 4_096  # viewers whose page views are added up together
_VISITS_BY_HOUR = (8, 4, 2, 2, 2, 4, 8, 12, 12, 10, 10, 12, 15, 14, 12, 12, 15, 20, 28, 36, 40, 38, 28, 16)


def viewers(
    spark: SparkSession, chance: Chance, key: HashingKey, page_views: int, days: int, settings: SimulateSettings
) -> DataFrame:
    """As many viewers as it takes, in order of their number, to see just so many pages.

    One record per viewer: viewer, pages, first_slot, slots, watch_start_ms (from the log's first instant),
    watch_interval_ms, taste_phase, lifelong_theme, offset_minutes, home_device, home_location, user_id, user_hash,
    other_user_hash.
    """
    active = _with_page_counts(spark, chance, page_views, days, settings)
    return (
        active.transform(_with_habits(chance, settings.world_themes))
        .withColumn("user_id", user_id("viewer"))
        .withColumn("user_hash", hashed(user_id("viewer"), key))
        .withColumn("other_user_hash", hashed(other_user_id("viewer"), key))
    )


def user_id(viewer: str) -> Column:
    """The raw id of a viewer's number."""
    return F.concat(F.lit("viewer-"), F.lpad(F.col(viewer).cast("string"), 8, "0"))


def other_user_id(viewer: str) -> Column:
    """The raw id of somebody who uses the same screen and has no page views of their own."""
    return F.concat(F.lit("guest-"), F.lpad(F.col(viewer).cast("string"), 8, "0"))


def _with_page_counts(
    spark: SparkSession, chance: Chance, page_views: int, days: int, settings: SimulateSettings
) -> DataFrame:
    """Viewers in order until the page views are used up; the last one gets what is left."""
    mean = sum(n**-PARETO for n in range(1, min(MOST_PAGE_VIEWS, days * SLOTS_PER_DAY) + 1))
    count = math.ceil(1.2 * page_views / mean) + 100
    while True:
        everybody = _activity(spark, chance, count, days, settings)
        totals = everybody.groupBy("block").agg(F.sum("pages").alias("pages")).orderBy("block").collect()
        if sum(total.pages for total in totals) >= page_views:
            break
        count *= 2
    before, running = [], 0
    for total in totals:
        before.append(running)
        running += total.pages
    in_block = Window.partitionBy("block").orderBy("viewer").rowsBetween(Window.unboundedPreceding, -1)
    earlier = F.get(constants(before, "bigint"), F.col("block")) + F.coalesce(F.sum("pages").over(in_block), F.lit(0))
    left = F.greatest(F.lit(page_views) - earlier, F.lit(0))
    return everybody.withColumn("pages", F.least("pages", left)).where(F.col("pages") > 0).drop("block")


def _activity(spark: SparkSession, chance: Chance, count: int, days: int, settings: SimulateSettings) -> DataFrame:
    """One record per viewer: viewer, block, first_slot, slots, pages (Pareto, at most one in a slot)."""
    new = settings.viewers_new_each_day
    day = F.floor((chance.uniform("arrival", "viewer") * (1 + new * days) - 1) / F.lit(max(new, 1e-9)))
    pareto = F.floor(F.pow(chance.uniform("activity", "viewer"), F.lit(-1 / PARETO)))
    return (
        spark.range(count, numPartitions=2)
        .withColumnRenamed("id", "viewer")
        .withColumn("block", F.floor(F.col("viewer") / _BLOCK).cast("int"))
        .withColumn("new_on_day", F.when(day >= 0, F.least(day, F.lit(days - 1))))  # null: was there before the log
        .withColumn("first_slot", F.coalesce("new_on_day", F.lit(0)) * SLOTS_PER_DAY)
        .withColumn("slots", F.lit(days * SLOTS_PER_DAY - 1) - F.col("first_slot"))  # the last is lost to the phase
        .withColumn("pages", F.least(pareto, F.lit(MOST_PAGE_VIEWS), "slots"))
    )


def _with_habits(chance: Chance, themes: int):
    """Where viewers live, what they hold in hand, when they began to watch and how often they do."""

    def add(frame: DataFrame) -> DataFrame:
        day_ms = 86_400_000
        known_for = chance.between(2 * day_ms, 40 * day_ms, "known for", "viewer")
        arrived = F.col("first_slot") * SLOT_MS + chance.below(day_ms // 4, "first title", "viewer")
        often = F.exp(chance.gumbel("often", "viewer") * 0.5) * (18 * 3_600_000)
        busy = F.col("slots") * SLOT_MS / F.col("pages")  # about one title a page view, for those who come often
        return (
            frame.withColumn("watch_start_ms", F.when(F.col("new_on_day").isNull(), -known_for).otherwise(arrived))
            .withColumn("watch_interval_ms", F.greatest(F.least(often, busy), F.lit(600_000)).cast("bigint"))
            .withColumn("taste_phase", chance.uniform("taste phase", "viewer"))
            .withColumn("lifelong_theme", chance.below(themes, "lifelong", "viewer"))
            .withColumn("phase_ms", chance.below(SLOT_MS, "phase", "viewer"))
            .withColumn("offset_minutes", _one_of(OFFSETS, "int", chance.uniform("offset", "viewer")))
            .withColumn("home_device", chance.below(len(DEVICES), "home device", "viewer").cast("int"))
            .withColumn("home_location", _one_of(LOCATIONS, "string", chance.uniform("location", "viewer")))
            .drop("new_on_day")
        )

    return add


def visits(viewers: DataFrame, chance: Chance, settings: SimulateSettings, day0_ms: int) -> DataFrame:
    """Viewers to their page views.

    One record per page view: the viewer's columns and page_index, in_pair, is_second, served_ms, slot_ms (where the
    slot begins), hashed_source, utc_offset_minutes (null where the log does not say it), device (its number), location.
    """
    pages = viewers.withColumn("page_index", F.explode(F.sequence(F.lit(0), F.col("pages") - 1))).withColumn(
        "pair", F.floor(F.col("page_index") / 2)
    )
    paired = chance.happens(settings.two_pages_rate, "two pages", "viewer", "pair")
    begins = F.col("slot_ms") + chance.below(LATEST_IN_SLOT_MS, "begin", "viewer", "slot_index")
    gap = chance.between(*PAIR_GAP_MS, "gap", "viewer", "page_index")
    says_offset = chance.happens(settings.utc_offset_share, "says offset", "viewer", "page_index")
    says_location = chance.happens(0.95, "says location", "viewer", "page_index")
    return (
        pages.withColumn("in_pair", paired & (F.col("pair") * 2 + 1 < F.col("pages")))
        .withColumn("is_second", F.col("in_pair") & (F.col("page_index") % 2 == 1))
        .withColumn("slot_index", F.col("page_index") - F.col("is_second").cast("int"))
        .withColumn("slot", _slot(chance))
        .withColumn("slot_ms", F.col("slot") * SLOT_MS + F.col("phase_ms") + F.lit(day0_ms))
        .withColumn("served_ms", begins + F.when(F.col("is_second"), gap).otherwise(F.lit(0)))
        .withColumn("hashed_source", chance.happens(settings.hashed_share, "source", "viewer", "slot_index"))
        .withColumn("utc_offset_minutes", F.when(says_offset, F.col("offset_minutes")))
        .withColumn("device", _device(chance))
        .withColumn("location", F.when(says_location, F.col("home_location")))
        .drop("pages", "pair", "slot_index", "slot", "phase_ms", "slots", "first_slot", "home_device", "home_location")
    )


def _slot(chance: Chance) -> Column:
    """The slot of a page view: in its equal part of the viewer's time, one of six, the likelier at busy local hours."""
    index, pages, slots = F.col("slot_index"), F.col("pages"), F.col("slots")
    low, high = F.floor(index * slots / pages), F.floor((index + 1) * slots / pages)

    def candidate(number: Column) -> Column:
        slot = low + chance.below(high - low, "slot", "viewer", "slot_index", number)
        minutes = (F.col("first_slot") + slot) * (SLOT_MS // 60_000) + F.col("offset_minutes")
        hour = F.pmod(F.floor(minutes / 60), F.lit(24)).cast("int")
        liking = F.log(F.get(constants(_VISITS_BY_HOUR, "double"), hour))
        return F.struct(
            (liking + chance.gumbel("hour", "viewer", "slot_index", number)).alias("liking"), slot.alias("slot")
        )

    best = F.greatest(*(candidate(F.lit(number)) for number in range(6)))  # written out, so that Spark compiles it
    return F.col("first_slot") + best["slot"]


def _device(chance: Chance) -> Column:
    other = chance.below(len(DEVICES), "device", "viewer", "page_index").cast("int")
    at_home = chance.happens(0.7, "at home", "viewer", "page_index")
    return F.when(at_home, F.col("home_device")).otherwise(other)


def _one_of(values, kind: str, uniform: Column) -> Column:
    return F.get(constants(values, kind), F.floor(uniform * len(values)).cast("int"))
