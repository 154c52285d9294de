"""Which rows a page offers, and in which order: an old popularity policy with noise, or pure chance."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.config import SimulateSettings
from pagerec_dbx.simulation.chance import Chance, constants
from pagerec_dbx.simulation.world import World

_ROW_BITS = 1_024  # a sorting key holds a score and, in its last ten bits, a row
_SCORE_STEPS = 2.0**24


def with_menu(pages: DataFrame, chance: Chance, world: World, settings: SimulateSettings) -> DataFrame:
    """Add `randomized`, `pinned_page`, `rows` (indices in page order), `propensities`.

    First the policy draws which rows are offered (the first of a Plackett-Luce order of all rows); then it draws their
    order (Plackett-Luce among those, or uniform on randomized pages); pinned rows stand at their places.
    A propensity is the chance of the row at its place, given the menu's rows and the rows above; 1 for pinned rows.
    """
    size = chance.between(settings.menu_shortest, settings.menu_longest, "menu size", "viewer", "page_index")
    randomized = chance.happens(settings.randomized_share, "randomized", "viewer", "page_index")
    pinned = chance.happens(settings.pinned_share, "pinned", "viewer", "page_index") & ~F.col("randomized")
    pins = len(settings.pinned_places)
    scores = constants(settings.policy_strength * world.old_popularity, "double")
    free = F.col("menu_size") - F.when(F.col("pinned_page"), pins).otherwise(0)
    order_scores = lambda row: F.when(F.col("randomized"), F.lit(0.0)).otherwise(F.get(scores, row))  # noqa: E731
    return (
        pages.withColumn("menu_size", size.cast("int"))
        .withColumn("randomized", randomized)
        .withColumn("pinned_page", pinned & F.lit(pins > 0))
        .withColumn("pool", F.sequence(F.when(F.col("pinned_page"), pins).otherwise(0), F.lit(len(world.row_ids) - 1)))
        .withColumn("offered", F.slice(_drawn_order(chance, "offer", "pool", lambda row: F.get(scores, row)), 1, free))
        .withColumn("ordered", _drawn_order(chance, "order", "offered", order_scores))
        .withColumn("rows", _with_pins(settings.pinned_places))
        .withColumn("odds", F.transform("rows", lambda row, place: _odds(row, place, order_scores, settings)))
        .withColumn("propensities", _propensities())
        .drop("menu_size", "pool", "offered", "ordered", "odds")
    )


def _drawn_order(chance: Chance, purpose: str, rows: str, score) -> Column:
    """The rows in falling order of score + Gumbel noise, which is a draw from the Plackett-Luce law of the scores."""

    def key(row: Column) -> Column:
        # Minus (score + Gumbel noise), so that the sort may be a rising one.
        behind = F.log(-F.log(chance.uniform(purpose, "viewer", "page_index", row))) - score(row)
        return F.floor(behind * F.lit(_SCORE_STEPS)) * F.lit(_ROW_BITS) + row

    return F.transform(F.sort_array(F.transform(rows, key)), lambda key: F.pmod(key, F.lit(_ROW_BITS)).cast("int"))


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


def is_pinned(place: Column, settings: SimulateSettings) -> Column:
    """Whether the page forced the row at a place of the menu."""
    return F.col("pinned_page") & place.isin(list(settings.pinned_places) or [-1])


def _odds(row: Column, place: Column, score, settings: SimulateSettings) -> Column:
    return F.when(is_pinned(place, settings), F.lit(0.0)).otherwise(F.exp(score(row)))


def _propensities() -> Column:
    """Each row's odds over the sum of its own and those of the free rows below."""
    sums = F.aggregate(
        F.reverse("odds"),
        F.array().cast("array<double>"),
        lambda done, odds: F.concat(done, F.array(F.coalesce(F.try_element_at(done, F.lit(-1)), F.lit(0.0)) + odds)),
    )
    return F.zip_with("odds", F.reverse(sums), lambda odds, left: F.when(odds > 0, odds / left).otherwise(F.lit(1.0)))
