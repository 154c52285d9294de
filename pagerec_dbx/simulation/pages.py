"""The page views of a world with their truth, from which every log is written."""

import datetime as dt

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pagerec_dbx.config import SimulateSettings, parse_time
from pagerec_dbx.hashing import HashingKey
from pagerec_dbx.simulation.batches import ADDED, WATCHERS, PagesFromVisits
from pagerec_dbx.simulation.chance import Chance
from pagerec_dbx.simulation.draws import Draws
from pagerec_dbx.simulation.viewers import viewers, visits
from pagerec_dbx.simulation.world import DAY_MS, World, title_laws

_PAGES_PER_PARTITION = 50_000


def first_day(settings: SimulateSettings) -> dt.date:
    """The day, in UTC, on which the logs begin."""
    return parse_time("first_day", settings.first_day).date()


def day0_ms(settings: SimulateSettings) -> int:
    """The first instant of the first day, in epoch milliseconds."""
    return (first_day(settings) - dt.date(1970, 1, 1)).days * DAY_MS


def partition_count(spark: SparkSession, page_views: int) -> int:
    """Into how many parts to divide the work on so many page views: each of them must fit the memory of a task."""
    return max(2 * spark.sparkContext.defaultParallelism, page_views // _PAGES_PER_PARTITION)


def simulated_pages(
    spark: SparkSession, key: HashingKey, world: World, page_views: int, days: int, settings: SimulateSettings
) -> DataFrame:
    """Just so many distinct page views in just so many days.

    One record per page view: what the logs say of it (`source`, `request_id`, `user_id`, `user_hash`, `served_at`,
    history, rows, ...), its truth (see `PagesFromVisits`), and the number of its viewer and of the page view
    among the viewer's (`viewer`, `page_index`), which are its key.
    """
    chance, start = Chance(settings.seed), day0_ms(settings)
    audience = viewers(spark, chance, key, page_views, days, settings)
    visited = visits(audience.repartition(partition_count(spark, page_views), "viewer"), chance, settings, start)
    kept = {field.name: field.dataType.simpleString() for field in visited.drop(*WATCHERS).schema}
    step = PagesFromVisits(Draws(chance), world, title_laws(world), settings, start)
    schema = ", ".join(f"{name} {kind}" for name, kind in (kept | ADDED).items())
    return _named(visited.mapInArrow(step, schema), chance)


def _named(pages: DataFrame, chance: Chance) -> DataFrame:
    """Add what the logs say of the page view itself: `source`, `request_id` (null for hashed payloads), `served_at`."""
    request = F.concat(F.lit("q"), F.lpad(F.lower(F.hex(chance.bits("request", "viewer", "page_index"))), 16, "0"))
    return (
        pages.withColumn("source", F.when(F.col("hashed_source"), "hashed_payloads").otherwise("service_logs"))
        .withColumn("request_id", F.when(~F.col("hashed_source"), request))
        .withColumn("served_at", F.timestamp_millis("served_ms"))
        .drop("hashed_source")
    )
