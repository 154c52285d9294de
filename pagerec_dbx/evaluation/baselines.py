"""The floors: rankers that learn nothing of the viewer. A model that does not beat all of them is no model.

A floor scores the rows of a menu; equal scores tie, and ties are shuffled by expectation in `metrics`.
"""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.errors import NoExamplesError, SnapshotError
from pagerec_dbx.evaluation.protocols import Lists, PageBatch, offered_first_lists

RANDOM, PAGE_ORDER, POPULARITY = FLOORS = ("floor:random", "floor:page_order", "floor:popularity")


@dataclasses.dataclass(frozen=True)
class RandomFloor:
    """Any order as likely as any other: all rows tie, so the metrics are the exact expectations for the menu's size."""

    name: str = RANDOM

    def menu_scores(self, pages: PageBatch) -> np.ndarray:
        """[pages, menu]"""
        return np.zeros(pages.menu.shape)

    def vocabulary_lists(self, pages: PageBatch) -> Lists | None:
        """The offered rows in any order, then the others."""
        return offered_first_lists(pages, self.menu_scores(pages))


@dataclasses.dataclass(frozen=True)
class PageOrderFloor:
    """The order in which the page showed the rows."""

    name: str = PAGE_ORDER

    def menu_scores(self, pages: PageBatch) -> np.ndarray:
        """[pages, menu]"""
        return np.broadcast_to(-np.arange(pages.menu.shape[1], dtype=np.float64), pages.menu.shape)

    def vocabulary_lists(self, pages: PageBatch) -> Lists | None:
        """A page has no order of rows that it does not show."""
        return None


@dataclasses.dataclass(frozen=True)
class PopularityFloor:
    """Clicks by impressions of each row before the holdout, smoothed towards the rate of all rows."""

    row_ids: pa.StringArray
    rates: np.ndarray  # [rows]
    overall_rate: float  # of a row that was never shown before
    smoothing: float  # impressions at the overall rate that were added to each row's own
    name: str = POPULARITY

    def menu_scores(self, pages: PageBatch) -> np.ndarray:
        """[pages, menu]"""
        if len(pages.row_ids) != int(pages.offered.sum()):
            raise SnapshotError(
                "menus of the holdout do not fit their row ids",
                wanted=f"{int(pages.offered.sum())} rows",
                got=str(len(pages.row_ids)),
                fix="Run `pagerec prepare` again",
            )
        scores = np.zeros(pages.menu.shape)
        scores[pages.offered] = self.rates_of(pages.row_ids)
        return scores

    def rates_of(self, row_ids: pa.StringArray) -> np.ndarray:
        """[rows] for these row ids, in (0, 1) where rows were shown and clicked."""
        return np.append(self.rates, self.overall_rate)[self.places_of(row_ids)]  # -1 is the last

    def places_of(self, row_ids: pa.StringArray) -> np.ndarray:
        """[rows] the place of each row id among those that were shown before, -1 for others."""
        return pc.index_in(row_ids, value_set=self.row_ids).fill_null(-1).to_numpy(zero_copy_only=False)

    def vocabulary_lists(self, pages: PageBatch) -> Lists | None:
        """The offered rows by popularity, then the others."""
        return offered_first_lists(pages, self.menu_scores(pages))


Floor = RandomFloor | PageOrderFloor | PopularityFloor


def all_floors(rows_before: DataFrame, smoothing: float) -> tuple[Floor, ...]:
    """Every floor; see `popularity_floor` for the arguments."""
    return RandomFloor(), PageOrderFloor(), popularity_floor(rows_before, smoothing)


def smoothing_of(floors: tuple[Floor, ...]) -> float | None:
    """Of the popularity floor among these; None where it is not."""
    return next((floor.smoothing for floor in floors if isinstance(floor, PopularityFloor)), None)


def popularity_floor(rows_before: DataFrame, smoothing: float) -> PopularityFloor:
    """Popularity over page views, clicked or not.

    Args:
        rows_before: `row_counts` of all labelled page views before the holdout, validation included.
        smoothing: impressions at the overall rate that are added to each row's own.

    Raises:
        NoExamplesError: there are none.
    """
    counts = rows_before.orderBy("row_id").toPandas()  # one record per row, as a vocabulary
    if counts.empty:
        raise NoExamplesError("there are no labelled page views before the holdout", fix="Choose a later holdout_from")
    clicks, impressions = counts["clicks"].to_numpy(np.float64), counts["impressions"].to_numpy(np.float64)
    overall = float(clicks.sum() / impressions.sum())
    rates = (clicks + smoothing * overall) / (impressions + smoothing)
    return PopularityFloor(pa.array(counts["row_id"], pa.string()), rates, overall, smoothing)


def row_counts(page_views: DataFrame, rows: str = "menu.row_id") -> DataFrame:
    """How often each row was shown and clicked.

    One record per row: row_id, impressions, clicks.

    Args:
        page_views: labelled ones, with `clicked` aligned with the menu.
        rows: where the ids of the menu's rows stand, an array<string>.
    """
    shown = page_views.select(F.explode(F.arrays_zip(F.col(rows).alias("row_id"), "clicked")).alias("shown"))
    return shown.groupBy("shown.row_id").agg(
        F.count("*").alias("impressions"), F.sum(F.col("shown.clicked").cast("bigint")).alias("clicks")
    )
