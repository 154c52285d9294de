"""What viewers watch: a sequence of titles that depends on nothing but the viewer and the number of the title.

So the history of any page view can be said without walking through the viewer's life.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.config import SimulateSettings
from pagerec_dbx.simulation.chance import Chance, constants
from pagerec_dbx.simulation.world import World, title_laws

HISTORY = "array<struct<title:int,watched_ms:bigint>>"


def with_history(
    visits: DataFrame, chance: Chance, world: World, settings: SimulateSettings, day0_ms: int
) -> DataFrame:
    """Add `history` (the latest titles watched strictly before the page view, oldest first) and `timed`.

    Title number m of a viewer is begun at a random moment of the m-th of the equal intervals since they first watched.
    """
    start, interval = F.col("watch_start_ms") + F.lit(day0_ms), F.col("watch_interval_ms")

    def watched_ms(number: Column) -> Column:
        within = chance.uniform("watched", "viewer", number)
        return (start + F.floor((number + within) * interval)).cast("bigint")

    title = _titles(chance, world, settings, day0_ms)
    running = F.floor((F.col("served_ms") - start) / interval)  # the interval in which the page view lies
    last = F.col("running") - F.when(watched_ms(F.col("running")) < F.col("served_ms"), 0).otherwise(1)
    first = F.greatest(F.col("last") - (settings.logged_history_length - 1), F.lit(0))

    def entry(number: Column) -> Column:
        moment = watched_ms(number)
        return F.struct(title(number, moment).cast("int").alias("title"), moment.alias("watched_ms"))

    entries = F.transform(F.sequence(first, F.col("last")), entry)
    ids_alone = chance.happens(settings.history_ids_alone_share, "ids alone", "viewer", "page_index")
    return (
        visits.withColumn("running", running)
        .withColumn("last", last)
        .withColumn("history", F.when(F.col("last") >= 0, entries).otherwise(F.array().cast(HISTORY)))
        .withColumn("timed", ~ids_alone)
        .drop("running", "last", "watch_start_ms", "watch_interval_ms")
    )


def _titles(chance: Chance, world: World, settings: SimulateSettings, day0_ms: int):
    """The title that a viewer watches as number m at a time: a theme by their taste, then a title of it by Zipf.

    The taste moves from one favourite theme to the next in `taste_days`; a part of it never moves.
    """
    themes, laws = settings.world_themes, title_laws(world)
    own, other = constants(laws.own, "int"), constants(laws.other, "int")
    keep = constants(laws.keep, "double")
    offsets, sizes = constants(laws.offsets, "int"), constants(laws.sizes, "int")
    period_ms = settings.taste_days * 86_400_000

    def law(number: Column, moment: Column) -> Column:
        age = (moment - F.lit(day0_ms)) / F.lit(period_ms) + chance.uniform("taste phase", "viewer")
        moved_on = chance.uniform("moved on", "viewer", number) < age - F.floor(age)
        favourite = chance.below(themes, "favourite", "viewer", F.floor(age) + moved_on.cast("int"))
        lifelong = chance.below(themes, "lifelong", "viewer")
        pick = chance.uniform("theme", "viewer", number)
        focus = settings.taste_focus
        by_taste = F.when(pick < focus * settings.taste_drift, favourite).when(pick < focus, lifelong)
        return by_taste.otherwise(F.lit(themes)).cast("int")

    def title(number: Column, moment: Column) -> Column:
        draw = chance.uniform("title", "viewer", number)
        # One-element arrays name intermediate values: a lambda's argument is computed once.
        placed = F.transform(
            F.array(law(number, moment)),
            lambda chosen: F.struct(
                F.get(offsets, chosen).alias("offset"), (draw * F.get(sizes, chosen)).alias("place")
            ),
        )
        drawn = F.transform(
            placed,
            lambda at: F.when(
                at["place"] - F.floor(at["place"]) < F.get(keep, _cell(at)), F.get(own, _cell(at))
            ).otherwise(F.get(other, _cell(at))),
        )
        return drawn[0]

    return title


def _cell(at: Column) -> Column:
    return (at["offset"] + F.floor(at["place"])).cast("int")


def with_shown_themes(pages: DataFrame, world: World, settings: SimulateSettings) -> DataFrame:
    """Add `shown_themes` [K]: the mean theme vector of the logged history.

    Newer titles count more: by their order and, where the log says the times, by their age. Without a history: zeros.
    """
    half_life_ms = settings.history_half_life_days * 86_400_000

    def weighed(entry: Column, index: Column) -> Column:
        steps_back = F.size("history") - 1 - index
        age_ms = F.when(F.col("timed"), F.col("served_ms") - entry["watched_ms"]).otherwise(F.lit(0))
        weight = F.pow(F.lit(settings.history_decay), steps_back) * F.pow(F.lit(0.5), age_ms / F.lit(half_life_ms))
        return F.struct(entry["title"].alias("title"), weight.alias("weight"))

    def total(theme: int) -> Column:
        share = constants(world.title_themes[:, theme], "double")
        return F.aggregate("weights", F.lit(0.0), lambda sum_, one: sum_ + one["weight"] * F.get(share, one["title"]))

    whole = F.aggregate("weights", F.lit(0.0), lambda sum_, one: sum_ + one["weight"])
    means = [
        F.when(F.col("whole") > 0, total(theme) / F.col("whole")).otherwise(F.lit(0.0))
        for theme in range(settings.world_themes)
    ]
    return (
        pages.withColumn("weights", F.transform("history", weighed))
        .withColumn("whole", whole)
        .withColumn("shown_themes", F.array(*means))
        .drop("weights", "whole")
    )
