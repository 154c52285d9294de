"""What the viewer does with a page: one draw from a multinomial logit over the menu and "no click"."""

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.config import SimulateSettings
from pagerec_dbx.simulation.chance import Chance, constants
from pagerec_dbx.simulation.world import DAYPART_SIGNS, DAYPARTS, DEVICE_SIGNS, SECOND_THEME, World


def with_choice(pages: DataFrame, chance: Chance, world: World, settings: SimulateSettings) -> DataFrame:
    """Add `situation`, the truth of each page view, and its draw.

    `utilities`: of each row, free of its position. `click_probabilities`: of each row given a click, as served (sum 1).
    `no_click_probability`. `click_position`: the drawn row's position, null for no click.
    """
    served = F.transform(
        "utilities", lambda value, place: value - F.lit(settings.position_strength) * F.log(place + F.lit(1.0))
    )
    top = F.greatest(F.array_max("served"), F.lit(settings.no_click_utility))
    odds = F.transform("served", lambda value: F.exp(value - F.col("top")))
    none = F.exp(F.lit(settings.no_click_utility) - F.col("top"))
    return (
        _with_situation(pages)
        .withColumn("utilities", _utilities(world, settings))
        .withColumn("served", served)
        .withColumn("top", top)
        .withColumn("odds", odds)
        .withColumn("odds_sum", F.aggregate("odds", F.lit(0.0), lambda total, one: total + one))
        .withColumn("click_probabilities", F.transform("odds", lambda one: one / F.col("odds_sum")))
        .withColumn("no_click_probability", none / (none + F.col("odds_sum")))
        .withColumn("click_position", _drawn_position(chance))
        .drop("served", "top", "odds", "odds_sum")
    )


def _with_situation(pages: DataFrame) -> DataFrame:
    """Add `situation`: device, daypart and weekday as one number, the index into `_terms_without_history`.

    Hour and weekday are those that a reader of the log can know: local where the offset is logged, else UTC.
    """
    local_ms = F.col("served_ms") + F.coalesce("utc_offset_minutes", F.lit(0)) * F.lit(60_000)
    daypart = F.floor(F.pmod(F.floor(local_ms / 3_600_000), F.lit(24)) / (24 // DAYPARTS))
    weekday = F.pmod(F.floor(local_ms / 86_400_000) + 3, F.lit(7))  # Monday 0; 1970-01-01 was a Thursday
    return pages.withColumn("situation", ((F.col("device") * DAYPARTS + daypart) * 7 + weekday).cast("int"))


def _utilities(world: World, settings: SimulateSettings) -> Column:
    """[menu] affinity + appeal + context + interaction of each row; each term has its strength."""
    first, second = constants(world.row_theme, "int"), constants(world.row_second_theme, "int")
    rows = len(world.row_appeal)
    by_page = constants(_terms_without_history(world, settings).ravel(), "double")

    def utility(row: Column) -> Column:
        likes = F.get("shown_themes", F.get(first, row)) + F.lit(SECOND_THEME) * F.get(
            "shown_themes", F.get(second, row)
        )
        return F.lit(settings.affinity_strength) * likes + F.get(by_page, F.col("situation") * F.lit(rows) + row)

    return F.transform("rows", utility)


def _terms_without_history(world: World, settings: SimulateSettings) -> np.ndarray:
    """[devices, dayparts, 7, rows] appeal + context + interaction.

    The interaction's sign is the device's times the time's: neither alone says anything of it, nor does any sum of what
    each says.
    """
    device = world.device_effects[:, None, None, :]
    daypart = world.daypart_effects[None, :, None, :]
    weekday = world.weekday_effects[None, None, :, :]
    signs = np.multiply.outer(DEVICE_SIGNS, DAYPART_SIGNS)[:, :, None, None] * world.row_sign
    return (
        settings.appeal_strength * world.row_appeal
        + settings.context_strength * (device + daypart + weekday)
        + settings.interaction_strength * signs
    )


def _drawn_position(chance: Chance) -> Column:
    """How many rows' probabilities fit below one uniform draw; null if all do, which is no click."""
    draw = chance.uniform("click", "viewer", "page_index") / (1 - F.col("no_click_probability"))
    passed = F.aggregate(
        "click_probabilities",
        F.struct(draw.alias("left"), F.lit(0).alias("passed")),
        lambda state, probability: F.struct(
            (state["left"] - probability).alias("left"),
            (state["passed"] + F.when(state["left"] >= probability, 1).otherwise(0)).alias("passed"),
        ),
    )["passed"]
    return F.when(passed < F.size("rows"), passed)
