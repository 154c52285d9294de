"""The rows that the viewer clicked most recently, then those never clicked by popularity."""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from pagerec_dbx.baselines.protocol import Past
from pagerec_dbx.baselines.scoring import scores_in_batches
from pagerec_dbx.baselines.viewer_clicks import row_clicks_from_arrow, with_row_clicks
from pagerec_dbx.evaluation.baselines import PopularityFloor


@dataclasses.dataclass(frozen=True)
class RecentClick:
    """It has no settings."""

    trained: bool = False

    @property
    def parameters(self) -> dict[str, object]:
        return {}

    def fit(self, past: Past) -> "RecentClickRanker":
        return RecentClickRanker(past.popularity)


@dataclasses.dataclass(frozen=True)
class RecentClickRanker:
    """A clicked row scores the microseconds since 1970 of its last click, any other row its rate, which is below 1."""

    popularity: PopularityFloor

    @property
    def figures(self) -> dict[str, float]:
        return {}

    def scores(self, page_views: DataFrame, clicks: DataFrame) -> DataFrame:
        return scores_in_batches(with_row_clicks(page_views, clicks), self._score, "row_clicks")

    def save(self, folder: Path) -> None:
        """Nothing was learnt."""

    def _score(self, batch: pa.RecordBatch) -> np.ndarray:
        clicks, last = row_clicks_from_arrow(batch)
        return np.where(clicks > 0, last, self.popularity.rates_of(batch.column("menu").flatten()))


BASELINE = RecentClick()
