"""Matrix factorisation of implicit feedback, viewer x row, by Spark's alternating least squares."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from pagerec_dbx.baselines.protocol import Past
from pagerec_dbx.baselines.scoring import LITTLE, scores_in_batches
from pagerec_dbx.baselines.viewer_clicks import menu_sizes
from pagerec_dbx.evaluation.baselines import PopularityFloor


@dataclasses.dataclass(frozen=True)
class Als:
    """Hu, Koren and Volinsky (2008): the confidence in a click is 1 + alpha x clicks."""

    factors: int = 16
    iterations: int = 10
    regularisation: float = 0.1
    alpha: float = 10.0
    trained: bool = True

    @property
    def parameters(self) -> dict[str, object]:
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "trained"}

    def fit(self, past: Past) -> "AlsRanker":
        from pyspark.ml.recommendation import ALS

        popularity, spark = past.popularity, past.clicks.sparkSession
        names = popularity.row_ids.to_pylist()
        rows = spark.createDataFrame(pd.DataFrame({"row_id": names, "row": np.arange(len(names), dtype=np.int32)}))
        counts = past.clicks.groupBy("user_hash", "row_id").agg(F.count("*").cast("float").alias("clicks"))
        number = F.row_number().over(Window.orderBy("user_hash"))
        viewers = counts.select("user_hash").distinct().withColumn("viewer", number).persist()  # for fit and ranker
        pairs = counts.join(F.broadcast(rows), "row_id", how="inner").join(viewers, "user_hash", how="inner")
        als = ALS(
            rank=self.factors, maxIter=self.iterations, regParam=self.regularisation, alpha=self.alpha,
            implicitPrefs=True, userCol="viewer", itemCol="row", ratingCol="clicks", seed=past.seed,
        )  # fmt: skip
        model = als.fit(pairs.select("viewer", "row", "clicks"))
        learnt = model.itemFactors.toPandas()  # as many as rows were clicked
        of_rows = np.zeros((len(names), self.factors))
        of_rows[learnt["id"].to_numpy()] = np.vstack(learnt["features"].to_numpy())
        of_viewers = model.userFactors.join(viewers, F.col("id") == F.col("viewer"), how="inner")
        return AlsRanker(popularity, of_rows, of_viewers.select("user_hash", F.col("features").alias("factors")))


@dataclasses.dataclass(frozen=True)
class AlsRanker:
    """The factors; a viewer who never clicked before the holdout has none and gets the order of popularity."""

    popularity: PopularityFloor
    of_rows: np.ndarray  # [rows, factors], 0 for a row that nobody had clicked
    of_viewers: DataFrame  # one record per viewer: user_hash, factors array<float>

    @property
    def figures(self) -> dict[str, float]:
        return {"rows": int(self.of_rows.any(axis=1).sum())}

    def scores(self, page_views: DataFrame, clicks: DataFrame) -> DataFrame:
        known = page_views.join(self.of_viewers, "user_hash", how="left")
        return scores_in_batches(known, _Score(self.popularity, self.of_rows), "factors")

    def save(self, folder: Path) -> None:
        """The factors of the rows, as JSON; those of viewers are not kept."""
        names = self.popularity.row_ids.to_pylist()
        factors = {name: values.round(6).tolist() for name, values in zip(names, self.of_rows, strict=True)}
        (folder / "row_factors.json").write_text(json.dumps(factors) + "\n", encoding="utf-8")


@dataclasses.dataclass(frozen=True)
class _Score:
    """What travels to the workers: the ranker without its frame."""

    popularity: PopularityFloor
    of_rows: np.ndarray

    def __call__(self, batch: pa.RecordBatch) -> np.ndarray:
        rows, sizes, lists = batch.column("menu").flatten(), menu_sizes(batch), batch.column("factors")
        known = lists.is_valid().to_numpy(zero_copy_only=False)
        of_viewers = np.zeros((len(known), self.of_rows.shape[1]))
        of_viewers[known] = lists.flatten().to_numpy(zero_copy_only=False).reshape(known.sum(), -1)
        of_rows = np.vstack([self.of_rows, np.zeros(self.of_rows.shape[1])])[self.popularity.places_of(rows)]
        fit = np.einsum("ij,ij->i", np.repeat(of_viewers, sizes, axis=0), of_rows)
        return fit + LITTLE * self.popularity.rates_of(rows)


BASELINE = Als()
