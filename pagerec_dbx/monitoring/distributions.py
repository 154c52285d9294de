"""What page views hold, counted in cells by viewer, in Spark: rows, titles, menu sizes, clicks, unknown tokens."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pagerec_dbx.features.vocabulary import ROWS, TITLES, Vocabulary
from pagerec_dbx.monitoring.psi import Side, decile_edges
from pagerec_dbx.pipelines.gold import has_click
from pagerec_dbx.tables import union_all

MENU_SIZE, CLICK_SHARE, UNKNOWN_ROWS, UNKNOWN_TITLES = "menu_size", "click_share", "unknown_rows", "unknown_titles"
UNKNOWN = {ROWS: UNKNOWN_ROWS, TITLES: UNKNOWN_TITLES}
TRAINING, DAY = "training", "day"  # the sides
OTHER, NEW = 0, -1  # cells of tokens; the most frequent ones have 1, 2, 3, ...
NEW_NAME, WITH_CLICK = "new", "with a click"  # names of cells whose shares are told
NO_TITLE = ""  # the token of a history without any title: whole histories may be lost


@dataclasses.dataclass(frozen=True)
class Distribution:
    """One measure over its cells, counted on both sides."""

    training: Side
    day: Side
    names: tuple[str, ...]  # [cells]

    def share(self, cell: str) -> tuple[float | None, float | None]:
        """The share of a cell in the training days and on the day; None where there is nothing to share."""
        at = self.names.index(cell)
        before, after = (float(side.shares[at]) if side.total else None for side in (self.training, self.day))
        return before, after


def distributions(page_views: DataFrame, vocabulary: Vocabulary, most_frequent: int) -> dict[str, Distribution]:
    """Rows, titles, menu sizes, click share and shares of unknown tokens of a day beside those of the training days.

    Args:
        page_views: records of `labelled_page_views` with a column `side`, TRAINING or DAY.
        vocabulary: of the version; tokens that it does not hold are unknown.
        most_frequent: rows and titles of the training days with a cell of their own; the rest of them is `other`, and
            those that the training days do not have are `new`.
    """
    training = page_views.where(F.col("side") == TRAINING)
    sizes = training.select(F.lit(MENU_SIZE).alias("measure"), F.size("menu").cast("string").alias("token"))
    counted = _tokens(training).select("measure", "token").unionByName(sizes).groupBy("measure", "token").count()
    by_count = Window.partitionBy("measure").orderBy(F.desc("count"), "token")
    ranked = counted.withColumn("rank", F.row_number().over(by_count)).persist()
    try:
        names, edges = _names_and_edges(ranked, most_frequent)
        found = sides_of(_things(page_views, _token_cells(ranked, vocabulary, most_frequent), edges))
    finally:
        ranked.unpersist()
    names |= {
        MENU_SIZE: dict(enumerate(interval_names(edges))),
        CLICK_SHARE: {0: "without a click", 1: WITH_CLICK},
        **{unknown: {0: "known", 1: "unknown"} for unknown in UNKNOWN.values()},
    }
    return {measure: aligned(found, measure, named) for measure, named in names.items()}


def _tokens(page_views: DataFrame) -> DataFrame:
    """One record per row offered and title seen: side, user_hash, measure, token; NO_TITLE for an empty history."""
    titles = F.when(F.size("history") > 0, F.col("history.title_id")).otherwise(F.array(F.lit(NO_TITLE)))
    kinds = {ROWS: F.col("menu.row_id"), TITLES: titles}
    return union_all(
        page_views.select("side", "user_hash", F.lit(kind).alias("measure"), F.explode(listed).alias("token"))
        for kind, listed in kinds.items()
    )


def _names_and_edges(ranked: DataFrame, most_frequent: int) -> tuple[dict[str, dict[int, str]], list[float]]:
    """What each cell of rows and titles is called, and where those of menu sizes begin."""
    wanted = (F.col("rank") <= most_frequent) | (F.col("measure") == MENU_SIZE)
    names: dict[str, dict[int, str]] = {kind: {OTHER: "other", NEW: NEW_NAME} for kind in (ROWS, TITLES)}
    sizes = []
    for record in ranked.where(wanted).orderBy("measure", "rank").collect():  # as many as cells, and sizes of menus
        if record["measure"] == MENU_SIZE:
            sizes.append((int(record["token"]), record["count"]))
        else:
            names[record["measure"]][record["rank"]] = record["token"] or "no title"
    return names, edges_of(sizes)


def _token_cells(ranked: DataFrame, vocabulary: Vocabulary, most_frequent: int) -> DataFrame:
    """One record per token of training or the vocabulary: measure, token, cell (null if not in training), known."""
    own = F.when(F.col("rank") <= most_frequent, F.col("rank")).otherwise(F.lit(OTHER)).cast("int")
    seen = ranked.where(F.col("measure") != MENU_SIZE).select("measure", "token", own.alias("cell"))
    held = [(kind, token) for kind in (ROWS, TITLES) for token in vocabulary.tokens[kind]]
    known = ranked.sparkSession.createDataFrame(held, "measure string, token string").withColumn("known", F.lit(True))
    return seen.join(known, ["measure", "token"], how="full")


def _things(page_views: DataFrame, cells: DataFrame, edges: Sequence[float]) -> DataFrame:
    """One record per thing counted: side, user_hash, measure, cell."""
    placed = _tokens(page_views).join(cells, ["measure", "token"], how="left")
    by_token = placed.select("side", "user_hash", "measure", F.coalesce("cell", F.lit(NEW)).alias("cell"))
    unknown = F.create_map(*[F.lit(text) for pair in UNKNOWN.items() for text in pair])[F.col("measure")]
    by_vocabulary = placed.where(F.col("token") != NO_TITLE).select(
        "side", "user_hash", unknown.alias("measure"), F.when(F.col("known"), 0).otherwise(1).alias("cell")
    )
    of_pages = {MENU_SIZE: cell_by(F.size("menu"), edges), CLICK_SHARE: has_click().cast("int")}
    by_page = [
        page_views.select("side", "user_hash", F.lit(measure).alias("measure"), cell.alias("cell"))
        for measure, cell in of_pages.items()
    ]
    return union_all([by_token, by_vocabulary, *by_page])


# --- cells of numbers -------------------------------------------------------------------------------------------------


def edges_of(histogram: Iterable[tuple[int, int]]) -> list[float]:
    """`decile_edges` of whole numbers, each with how often it occurs."""
    values, counts = (np.array(column) for column in zip(*sorted(histogram), strict=True))
    return decile_edges(values, counts).tolist()


def cell_by(value: Column, edges: Sequence[float]) -> Column:
    """How many of the edges a number reaches."""
    return sum(((value >= F.lit(edge)).cast("int") for edge in edges), start=F.lit(0))


def interval_names(edges: Sequence[float], show=str) -> list[str]:
    """What the cells between edges are called."""
    shown = [show(edge) for edge in edges]
    between = [f"{one} to below {other}" for one, other in zip(shown, shown[1:], strict=False)]
    return [f"below {shown[0]}", *between, f"{shown[-1]} and more"]


# --- counting ---------------------------------------------------------------------------------------------------------

Counted = Mapping[int, tuple[float, float, float]]  # cell -> count, sum of squares, sum of products: see psi.Side


def sides_of(things: DataFrame) -> Mapping[tuple[str, str], Counted]:
    """By side and measure what each cell holds.

    Args:
        things: one record per thing counted: side, user_hash, measure, cell.
    """
    by_viewer = things.groupBy("side", "measure", "user_hash", "cell").agg(F.count("*").cast("double").alias("own"))
    everything = F.sum("own").over(Window.partitionBy("side", "measure", "user_hash"))
    sums = (
        by_viewer.withColumn("all", everything)
        .groupBy("side", "measure", "cell")
        .agg(
            F.sum("own").alias("count"),
            F.sum(F.col("own") * F.col("own")).alias("squares"),
            F.sum(F.col("own") * F.col("all")).alias("products"),
        )
        .collect()  # one record a cell
    )
    found: dict[tuple[str, str], dict[int, tuple[float, float, float]]] = {}
    for record in sums:
        found.setdefault((record["side"], record["measure"]), {})[record["cell"]] = tuple(record)[3:]
    return found


def aligned(found: Mapping[tuple[str, str], Counted], measure: str, names: Mapping[int, str]) -> Distribution:
    """Both sides of a measure over the same cells, in the order of their names."""

    def side(name: str) -> Side:
        counted = found.get((name, measure), {})
        return Side(*np.array([counted.get(cell, (0.0, 0.0, 0.0)) for cell in names], np.float64).T)

    return Distribution(side(TRAINING), side(DAY), tuple(names.values()))
