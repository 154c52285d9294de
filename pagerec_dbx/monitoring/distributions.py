"""What page views hold, counted in cells by viewer, in Spark: rows, titles, menu sizes, clicks, unknown tokens."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pagerec_dbx.features.vocabulary import ROWS, TITLES, Vocabulary
from pagerec_dbx.monitoring.psi import Side, decile_edges
from pagerec_dbx.pipelines.gold import has_click
from pagerec_dbx.tables import union_all

MENU_SIZE, CLICK_SHARE, UNKNOWN_ROWS, UNKNOWN_TITLES = "menu_size", "click_share", "unknown_rows", "unknown_titles"
UNKNOWN = {ROWS: UNKNOWN_ROWS, TITLES: UNKNOWN_TITLES}
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
        return tuple(float(side.shares[at]) if side.total else None for side in (self.training, self.day))


def distributions(
    training: DataFrame, day: DataFrame, vocabulary: Vocabulary, most_frequent: int
) -> dict[str, Distribution]:
    """Rows, titles, menu sizes, click share and shares of unknown tokens of a day beside those of the training days.

    Args:
        training, day: records of `labelled_page_views`.
        vocabulary: of the version; tokens that it does not hold are unknown.
        most_frequent: rows and titles of the training days with a cell of their own; the rest of them is `other`, and
            those that the training days do not have are `new`.
    """
    tokens = _tokens(training).groupBy("measure", "token").count().persist()
    try:
        cells = _token_cells(tokens, vocabulary, most_frequent)
        names = _token_names(tokens, most_frequent)
        sizes = training.groupBy(F.size("menu").alias("value")).count()
        edges = edges_of(sizes)
        counted = [_cells_of(page_views, cells, edges) for page_views in (training, day)]
        found_training, found_day = (sides_of(frame) for frame in counted)
    finally:
        tokens.unpersist()
    names |= {
        MENU_SIZE: dict(enumerate(interval_names(edges))),
        CLICK_SHARE: {0: "without a click", 1: WITH_CLICK},
        **{unknown: {0: "known", 1: "unknown"} for unknown in UNKNOWN.values()},
    }
    return {
        measure: aligned(found_training.get(measure, {}), found_day.get(measure, {}), named)
        for measure, named in names.items()
    }


def _tokens(page_views: DataFrame) -> DataFrame:
    """One record per row offered and title seen: user_hash, measure, token; NO_TITLE for an empty history."""
    titles = F.when(F.size("history") > 0, F.col("history.title_id")).otherwise(F.array(F.lit(NO_TITLE)))
    kinds = {ROWS: F.col("menu.row_id"), TITLES: titles}
    return union_all(
        page_views.select("user_hash", F.lit(kind).alias("measure"), F.explode(listed).alias("token"))
        for kind, listed in kinds.items()
    )


def _ranked(tokens: DataFrame) -> DataFrame:
    by_count = Window.partitionBy("measure").orderBy(F.desc("count"), "token")
    return tokens.withColumn("rank", F.row_number().over(by_count))


def _token_names(tokens: DataFrame, most_frequent: int) -> dict[str, dict[int, str]]:
    """What each cell of rows and titles is called."""
    top = _ranked(tokens).where(F.col("rank") <= most_frequent).collect()  # as many as cells
    names: dict[str, dict[int, str]] = {kind: {OTHER: "other", NEW: NEW_NAME} for kind in (ROWS, TITLES)}
    for record in top:
        names[record["measure"]][record["rank"]] = record["token"] or "no title"
    return names


def _token_cells(tokens: DataFrame, vocabulary: Vocabulary, most_frequent: int) -> DataFrame:
    """One record per token of training or the vocabulary: measure, token, cell (null if not in training), known."""
    own = F.when(F.col("rank") <= most_frequent, F.col("rank")).otherwise(F.lit(OTHER)).cast("int")
    seen = _ranked(tokens).select("measure", "token", own.alias("cell"))
    held = [(kind, token) for kind in (ROWS, TITLES) for token in vocabulary.tokens[kind]]
    known = tokens.sparkSession.createDataFrame(held, "measure string, token string").withColumn("known", F.lit(True))
    return seen.join(known, ["measure", "token"], how="full")


def _cells_of(page_views: DataFrame, cells: DataFrame, edges: Sequence[float]) -> DataFrame:
    """One record per thing counted: user_hash, measure, cell."""
    placed = _tokens(page_views).join(cells, ["measure", "token"], how="left")
    by_token = placed.select("user_hash", "measure", F.coalesce("cell", F.lit(NEW)).alias("cell"))
    unknown = F.create_map(*[F.lit(text) for pair in UNKNOWN.items() for text in pair])[F.col("measure")]
    by_vocabulary = placed.where(F.col("token") != NO_TITLE).select(
        "user_hash", unknown.alias("measure"), F.when(F.col("known"), 0).otherwise(1).alias("cell")
    )
    sizes = page_views.select("user_hash", F.lit(MENU_SIZE).alias("measure"), cell_by(F.size("menu"), edges))
    clicks = page_views.select("user_hash", F.lit(CLICK_SHARE).alias("measure"), has_click().cast("int").alias("cell"))
    return union_all([by_token, by_vocabulary, sizes, clicks])


# --- cells of numbers -------------------------------------------------------------------------------------------------


def edges_of(histogram: DataFrame) -> list[float]:
    """`decile_edges` of a frame of one record per distinct whole number: value, count."""
    records = sorted((record["value"], record["count"]) for record in histogram.collect())  # some hundred
    values, counts = (np.array([record[place] for record in records]) for place in (0, 1))
    return decile_edges(values, counts).tolist()


def cell_by(value: Column, edges: Sequence[float]) -> Column:
    """How many of the edges a number reaches, as the column `cell`."""
    reached = sum(((value >= F.lit(edge)).cast("int") for edge in edges), start=F.lit(0))
    return reached.alias("cell")


def interval_names(edges: Sequence[float], show=str) -> list[str]:
    """What the cells between edges are called."""
    shown = [show(edge) for edge in edges]
    between = [f"{one} to below {other}" for one, other in zip(shown, shown[1:], strict=False)]
    return [f"below {shown[0]}", *between, f"{shown[-1]} and more"]


# --- counting ---------------------------------------------------------------------------------------------------------

Counted = Mapping[int, tuple[float, float, float]]  # cell -> count, sum of squares, sum of products: see psi.Side


def sides_of(things: DataFrame) -> dict[str, Counted]:
    """By measure what each cell holds.

    Args:
        things: one record per thing counted: user_hash, measure, cell.
    """
    by_viewer = things.groupBy("measure", "user_hash", "cell").agg(F.count("*").cast("double").alias("own"))
    everything = F.sum("own").over(Window.partitionBy("measure", "user_hash"))
    sums = (
        by_viewer.withColumn("all", everything)
        .groupBy("measure", "cell")
        .agg(
            F.sum("own").alias("count"),
            F.sum(F.col("own") * F.col("own")).alias("squares"),
            F.sum(F.col("own") * F.col("all")).alias("products"),
        )
        .collect()  # one record a cell
    )
    found: dict[str, dict[int, tuple[float, float, float]]] = {}
    for record in sums:
        found.setdefault(record["measure"], {})[record["cell"]] = tuple(record)[2:]
    return found


def aligned(training: Counted, day: Counted, names: Mapping[int, str]) -> Distribution:
    """Both sides over the same cells, in the order of their names."""

    def side(counted: Counted) -> Side:
        return Side(*np.array([counted.get(cell, (0.0, 0.0, 0.0)) for cell in names], np.float64).T)

    return Distribution(side(training), side(day), tuple(names.values()))
