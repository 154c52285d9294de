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

    running = F.floor((F.col("served_ms") - start) / interval)  # the interval in which the page view lies
    last = F.col("running") - F.when(watched_ms(F.col("running")) < F.col("served_ms"), 0).otherwise(1)
    first = F.greatest(F.col("last") - (settings.logged_history_length - 1), F.lit(0))
    # A lambda's argument is computed once; what a Python name stands for is computed wherever it is used.
    moments = F.transform(
        F.sequence(first, F.col("last")),
        lambda number: F.struct(number.alias("number"), watched_ms(number).alias("ms")),
    )
    watched = F.when(F.col("last") >= 0, _with_titles(moments, chance, world, settings, day0_ms))
    ids_alone = chance.happens(settings.history_ids_alone_share, "ids alone", "viewer", "page_index")
    return (
        visits.withColumn("running", running)
        .withColumn("last", last)
        .withColumn("history", F.coalesce(watched, F.array().cast(HISTORY)))
        .withColumn("timed", ~ids_alone)
        .drop("running", "last", "watch_start_ms", "watch_interval_ms", "taste_phase", "lifelong_theme")
    )


def _with_titles(moments: Column, chance: Chance, world: World, settings: SimulateSettings, day0_ms: int) -> Column:
    """What the viewer watches at each of these moments: a theme by their taste, then a title of it by Zipf."""
    laws = title_laws(world)
    own, other, keep = constants(laws.own, "int"), constants(laws.other, "int"), constants(laws.keep, "double")
    offsets, sizes = constants(laws.offsets, "int"), constants(laws.sizes, "int")
    period_ms = settings.taste_days * 86_400_000

    def in_taste(at: Column) -> Column:
        period = (at["ms"] - F.lit(day0_ms)) / F.lit(period_ms) + F.col("taste_phase")
        return F.struct(at["number"].alias("number"), at["ms"].alias("ms"), period.alias("period"))

    def with_law(at: Column) -> Column:
        law = _law(at["number"], at["period"], chance, settings)
        return F.struct(at["number"].alias("number"), at["ms"].alias("ms"), law.alias("law"))

    def with_cell(at: Column) -> Column:
        room = chance.uniform("title", "viewer", at["number"]) * F.get(sizes, at["law"]) + F.get(offsets, at["law"])
        return F.struct(
            at["ms"].alias("ms"), F.floor(room).cast("int").alias("cell"), F.pmod(room, F.lit(1.0)).alias("rest")
        )

    def with_title(at: Column) -> Column:
        title = F.when(at["rest"] < F.get(keep, at["cell"]), F.get(own, at["cell"])).otherwise(F.get(other, at["cell"]))
        return F.struct(title.alias("title"), at["ms"].alias("watched_ms"))

    for step in (in_taste, with_law, with_cell, with_title):
        moments = F.transform(moments, step)
    return moments


def _law(number: Column, period: Column, chance: Chance, settings: SimulateSettings) -> Column:
    """Which of the `title_laws` decides: that of the moving favourite, of the lifelong one, or that of all titles.

    The moving part goes over from one favourite theme to the next in the course of each period.
    """
    moved_on = chance.uniform("moved on", "viewer", number) < F.pmod(period, F.lit(1.0))
    themes = settings.world_themes
    favourite = chance.below(themes, "favourite", "viewer", F.floor(period) + moved_on.cast("int"))
    moving = settings.taste_focus * settings.taste_drift
    pick = F.array(chance.uniform("theme", "viewer", number))
    law = F.transform(
        pick,
        lambda u: (
            F.when(u < moving, favourite).when(u < settings.taste_focus, F.col("lifelong_theme")).otherwise(themes)
        ),
    )
    return law[0].cast("int")


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
