"""Which rows a page offers, and in which order: an old popularity policy with noise, or pure chance."""

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.config import SimulateSettings
from pagerec_dbx.simulation.chance import Chance, constants
from pagerec_dbx.simulation.world import World

_ROW_BITS = 1_024  # a sorting key holds a score and, in its last ten bits, a row
_SCORE_STEPS = 2.0**24


def with_menu(pages: DataFrame, chance: Chance, world: World, settings: SimulateSettings) -> DataFrame:
    """Add `randomized`, `rows` (indices in page order), `pinned` (of each row), `propensities`.

    First the policy draws which rows are offered (the first of a Plackett-Luce order of all rows); then it draws their
    order (Plackett-Luce among those, or uniform on randomized pages); pinned rows stand at their places.
    A propensity is the chance of the row at its place, given the menu's rows and the rows above; 1 for pinned rows.
    """
    scores = settings.policy_strength * world.old_popularity
    believed = constants(scores, "double")
    free = F.col("menu_size") - F.when(F.col("pinned_page"), len(settings.pinned_places)).otherwise(0)
    offered = F.slice("pool", 1, F.least(free, F.size("pool")))

    def score(row: Column) -> Column:
        return F.when(F.col("randomized"), F.lit(0.0)).otherwise(F.get(believed, row))

    return (
        _with_layout(pages, chance, settings)
        .withColumns({"pool": _pool(chance, scores, settings), "pinned": _pinned(settings)})
        .withColumn("offered", F.transform(offered, _row_of))
        .withColumn("ordered", _ordered(chance, score))
        .withColumn("rows", _with_pins(settings.pinned_places))
        .withColumn(
            "odds", F.zip_with("rows", "pinned", lambda row, pin: F.when(pin, 0.0).otherwise(F.exp(score(row))))
        )
        .withColumn("propensities", _propensities())
        .drop("menu_size", "pinned_page", "pool", "offered", "ordered", "odds")
    )


def _with_layout(pages: DataFrame, chance: Chance, settings: SimulateSettings) -> DataFrame:
    size = chance.between(settings.menu_shortest, settings.menu_longest, "menu size", "viewer", "page_index")
    randomized = chance.happens(settings.randomized_share, "randomized", "viewer", "page_index")
    pinned = chance.happens(settings.pinned_share, "pinned", "viewer", "page_index") & ~F.col("randomized")
    return (
        pages.withColumn("menu_size", size.cast("int"))
        .withColumn("randomized", randomized)
        .withColumn("pinned_page", pinned & F.lit(bool(settings.pinned_places)))
    )


def _pool(chance: Chance, scores: np.ndarray, settings: SimulateSettings) -> Column:
    """Sorting keys of all rows in the order of the policy's draw; on pinned pages the pinned rows come last.

    Written out row by row, so that Spark compiles it: this is the largest part of a simulation.
    """
    pins, last = len(settings.pinned_places), (1 << 63) - 1
    keys = [
        f"floor((ln(-ln({chance.uniform_sql('offer', 'viewer', 'page_index', str(row))})) - {float(score)!r}D)"
        f" * {_SCORE_STEPS!r}D) * {_ROW_BITS} + {row}"
        for row, score in enumerate(scores)
    ]
    placed = [f"if(pinned_page, {last}, {key})" if row < pins else key for row, key in enumerate(keys)]
    # Never null, and said to be: Spark sorts such an array faster.
    return F.sort_array(F.expr(f"array({', '.join(f'coalesce({key}, {last})' for key in placed)})"))


def _ordered(chance: Chance, score) -> Column:
    """The offered rows in falling order of score + Gumbel noise, which is a draw from the Plackett-Luce law."""
    return F.transform(
        F.sort_array(F.transform("offered", lambda row: _key(chance, "order", row, score(row)))), _row_of
    )


def _key(chance: Chance, purpose: str, row: Column, score: Column) -> Column:
    """A row and, before it, minus its score + Gumbel noise: the best row has the smallest key."""
    behind = F.log(-F.log(chance.uniform(purpose, "viewer", "page_index", row))) - score
    return F.floor(behind * F.lit(_SCORE_STEPS)) * F.lit(_ROW_BITS) + row


def _row_of(key: Column) -> Column:
    return F.pmod(key, F.lit(_ROW_BITS)).cast("int")


def _pinned(settings: SimulateSettings) -> Column:
    """[menu] whether the page forced the row at this place."""
    places = list(settings.pinned_places) or [-1]
    return F.transform(
        F.sequence(F.lit(0), F.col("menu_size") - 1), lambda place: F.col("pinned_page") & place.isin(places)
    )


def _with_pins(places: tuple[int, ...]) -> Column:
    """The ordered rows with rows 0, 1, ... put in at the pinned places."""

    def at(place: Column) -> Column:
        pinned_above = sum((F.when(place > pin, 1).otherwise(0) for pin in places), F.lit(0))
        row = F.get("ordered", place - pinned_above)
        for row_number, pin in enumerate(places):
            row = F.when(place == pin, F.lit(row_number)).otherwise(row)
        return row

    with_pins = F.transform(F.sequence(F.lit(0), F.col("menu_size") - 1), at)
    return F.when(F.col("pinned_page"), with_pins).otherwise(F.col("ordered"))


def _propensities() -> Column:
    """Each row's odds over the sum of its own and those below; pinned rows have no odds and stand there for sure."""

    def chance(odds: Column, place: Column) -> Column:
        below = F.slice("odds", place + 1, F.size("odds"))
        return F.when(odds > 0, odds / F.aggregate(below, F.lit(0.0), lambda total, one: total + one)).otherwise(1.0)

    return F.transform("odds", chance)
