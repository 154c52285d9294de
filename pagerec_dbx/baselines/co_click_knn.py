"""Item kNN: rows that were clicked by the same viewers as the rows that this viewer had clicked.

The likeness of two rows is the cosine of their clicks over viewers, a viewer counting once: viewers who clicked both,
by the root of the product of those who clicked each; a row is like itself by 1. A row scores the sum of its likenesses
to the rows that the viewer had clicked before the page view; equal scores go by popularity, so a viewer who never
clicked gets the order of popularity.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import scipy.sparse as sparse
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from pagerec_dbx.baselines.protocol import Past
from pagerec_dbx.baselines.scoring import LITTLE, scores_in_batches
from pagerec_dbx.baselines.viewer_clicks import menu_sizes, with_clicked_rows
from pagerec_dbx.evaluation.baselines import PopularityFloor

_PAGES_AT_ONCE = 2_000


@dataclasses.dataclass(frozen=True)
class CoClickKnn:
    """Two bounds on the work."""

    neighbours: int = 100  # of each row, the most like it; the others count as unlike
    rows_of_a_viewer: int = 300  # the most recently clicked ones make pairs
    trained: bool = True

    @property
    def parameters(self) -> dict[str, object]:
        return {"neighbours": self.neighbours, "rows_of_a_viewer": self.rows_of_a_viewer}

    def fit(self, past: Past) -> "KnnRanker":
        cosines = self.cosines(past.clicks).toPandas()  # at most `neighbours` a row
        popularity = past.popularity
        row, other = (popularity.places_of(pa.array(cosines[name], pa.string())) for name in ("row_id", "other_id"))
        size = len(popularity.row_ids)
        likeness = sparse.csr_matrix((cosines["cosine"].to_numpy(np.float64), (row, other)), shape=(size, size))
        return KnnRanker(popularity, likeness + sparse.identity(size, format="csr"))

    def cosines(self, clicks: DataFrame) -> DataFrame:
        """One record per pair of different rows that are neighbours: row_id, other_id, cosine in (0, 1]."""
        last = clicks.groupBy("user_hash", "row_id").agg(F.max("clicked_micros").alias("last"))
        recent = F.row_number().over(Window.partitionBy("user_hash").orderBy(F.desc("last"), "row_id"))
        pairs = last.withColumn("n", recent).where(F.col("n") <= self.rows_of_a_viewer).select("user_hash", "row_id")
        viewers = pairs.groupBy("row_id").agg(F.count("*").alias("viewers"))
        others = pairs.withColumnRenamed("row_id", "other_id")
        both = (
            pairs.join(others, "user_hash", how="inner")
            .where("row_id <> other_id")
            .groupBy("row_id", "other_id")
            .agg(F.count("*").alias("both"))
            .join(F.broadcast(viewers), "row_id", how="inner")
            .join(F.broadcast(viewers.toDF("other_id", "other_viewers")), "other_id", how="inner")
            .withColumn("cosine", F.col("both") / F.sqrt(F.col("viewers") * F.col("other_viewers")))
        )
        nearest = F.row_number().over(Window.partitionBy("row_id").orderBy(F.desc("cosine"), "other_id"))
        kept = both.withColumn("n", nearest).where(F.col("n") <= self.neighbours)
        return kept.select("row_id", "other_id", "cosine")


@dataclasses.dataclass(frozen=True)
class KnnRanker:
    """Likenesses of all rows that were shown before the holdout."""

    popularity: PopularityFloor
    likeness: sparse.csr_matrix  # [rows, rows]

    @property
    def figures(self) -> dict[str, float]:
        return {"rows": len(self.popularity.row_ids), "likenesses": self.likeness.nnz}

    def scores(self, page_views: DataFrame, clicks: DataFrame) -> DataFrame:
        return scores_in_batches(with_clicked_rows(page_views, clicks), self._score, "clicked_rows")

    def save(self, folder: Path) -> None:
        """The neighbours of each row, as JSON: row -> {row: likeness}."""
        names = self.popularity.row_ids.to_pylist()
        table = {
            name: {names[at]: round(float(value), 6) for at, value in zip(line.indices, line.data, strict=True)}
            for name, line in zip(names, self.likeness, strict=True)
        }
        (folder / "neighbours.json").write_text(json.dumps(table) + "\n", encoding="utf-8")

    def _score(self, batch: pa.RecordBatch) -> np.ndarray:
        starts = range(0, max(1, batch.num_rows), _PAGES_AT_ONCE)
        return np.concatenate([self._some(batch.slice(start, _PAGES_AT_ONCE)) for start in starts])

    def _some(self, batch: pa.RecordBatch) -> np.ndarray:
        rows = batch.column("menu").flatten()
        if not len(rows):
            return np.zeros(0)  # of no index SciPy makes an array of one
        to_all = self._clicked(batch.column("clicked_rows")) @ self.likeness.T  # [page views, rows]
        page, place = np.repeat(np.arange(batch.num_rows), menu_sizes(batch)), self.popularity.places_of(rows)
        likeness = np.where(place >= 0, np.asarray(to_all[page, np.maximum(place, 0)]).ravel(), 0.0)
        return likeness + LITTLE * self.popularity.rates_of(rows)

    def _clicked(self, lists: pa.ListArray) -> sparse.csr_matrix:
        """[page views, rows] 1 where the viewer had clicked the row; rows that were never shown before are left out."""
        page = np.repeat(np.arange(len(lists)), lists.value_lengths().to_numpy(zero_copy_only=False))
        place = self.popularity.places_of(lists.flatten())
        page, place = page[place >= 0], place[place >= 0]
        shape = (len(lists), len(self.popularity.row_ids))
        return sparse.csr_matrix((np.ones(len(place)), (page, place)), shape=shape)


BASELINE = CoClickKnn()
