"""The page views of a world with their truth, from which every log is written."""

import datetime as dt

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from pagerec_dbx.config import SimulateSettings, parse_time
from pagerec_dbx.hashing import HashingKey
from pagerec_dbx.simulation.chance import Chance, constants
from pagerec_dbx.simulation.choosing import with_choice
from pagerec_dbx.simulation.menus import with_menu
from pagerec_dbx.simulation.viewers import viewers, visits
from pagerec_dbx.simulation.watching import with_history, with_shown_themes
from pagerec_dbx.simulation.world import World

_PAGES_PER_PARTITION = 50_000


def first_day(settings: SimulateSettings) -> dt.date:
    """The day, in UTC, on which the logs begin."""
    return parse_time("first_day", settings.first_day).date()


def day0_ms(settings: SimulateSettings) -> int:
    """The first instant of the first day, in epoch milliseconds."""
    return (first_day(settings) - dt.date(1970, 1, 1)).days * 86_400_000


def simulated_pages(
    spark: SparkSession, key: HashingKey, world: World, page_views: int, days: int, settings: SimulateSettings
) -> DataFrame:
    """Just so many distinct page views in just so many days.

    One record per page view: what the logs say of it (`source`, `request_id`, `user_id`, `user_hash`, `served_at`,
    history, rows, ...), its truth (see `with_choice`, `with_menu`), and the number of its viewer and of the page view
    among the viewer's (`viewer`, `page_index`), which are its key.
    """
    chance, start = Chance(settings.seed), day0_ms(settings)
    audience = viewers(spark, chance, key, page_views, days, settings)
    partitions = max(2 * spark.sparkContext.defaultParallelism, page_views // _PAGES_PER_PARTITION)
    visited = visits(audience, chance, settings, start).repartition(partitions, "viewer", "page_index")
    seen = with_shown_themes(with_history(visited, chance, world, settings, start), world, settings)
    offered = with_menu(seen, chance, world, settings)
    return with_choice(offered, chance, world, settings).transform(_named(chance, world))


def _named(chance: Chance, world: World):
    request = F.concat(F.lit("q"), F.lpad(F.lower(F.hex(chance.bits("request", "viewer", "page_index"))), 16, "0"))

    def name(pages: DataFrame) -> DataFrame:
        return (
            pages.withColumn("source", F.when(F.col("hashed_source"), "hashed_payloads").otherwise("service_logs"))
            .withColumn("request_id", F.when(~F.col("hashed_source"), request))
            .withColumn("served_at", F.timestamp_millis("served_ms"))
            .withColumn("row_ids", named("rows", world.row_ids))
            .drop("hashed_source")
        )

    return name


def named(numbers: str, names: list[str]) -> Column:
    """The names of an array column of numbers."""
    words = constants(names, "string")
    return F.transform(numbers, lambda number: F.get(words, number))
