"""Popularity inside a context (an hour, a device), smoothed towards the row's overall rate."""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.baselines.counts import places as places_in
from pagerec_dbx.baselines.protocol import Past
from pagerec_dbx.baselines.scoring import scores_in_batches
from pagerec_dbx.baselines.viewer_clicks import menu_sizes
from pagerec_dbx.baselines.views import shown_rows
from pagerec_dbx.evaluation.baselines import PopularityFloor


@dataclasses.dataclass(frozen=True)
class ContextPopularity:
    """Clicks by impressions of each row in each value of a column; a value or row that is new has the overall rate."""

    column: str
    trained: bool = False

    @property
    def parameters(self) -> dict[str, object]:
        return {"column": self.column}

    def fit(self, past: Past) -> "ContextRates":
        context = F.col(self.column).cast("string").alias("context")
        shown = shown_rows(past.page_views, self.column).where(F.col(self.column).isNotNull())
        counts = (
            shown.groupBy("row_id", context)
            .agg(F.count("*").alias("impressions"), F.sum("clicked").alias("clicks"))
            .toPandas()  # one record per row and context
        )
        popularity = past.popularity
        names = pa.array(sorted(counts["context"].unique()), pa.string())
        row_ids = pa.array(counts["row_id"], pa.string())
        places = popularity.places_of(row_ids) * len(names) + places_in(pa.array(counts["context"], pa.string()), names)
        clicks, impressions = (counts[name].to_numpy(np.float64) for name in ("clicks", "impressions"))
        rates = (clicks + past.smoothing * popularity.rates_of(row_ids)) / (impressions + past.smoothing)
        order = np.argsort(places)
        return ContextRates(popularity, self.column, names, places[order], rates[order])


@dataclasses.dataclass(frozen=True)
class ContextRates:
    """The rates that were counted."""

    popularity: PopularityFloor
    column: str
    contexts: pa.StringArray
    keys: np.ndarray  # [counted] place of the row x contexts + place of the context, rising
    rates: np.ndarray  # [counted]

    @property
    def figures(self) -> dict[str, float]:
        return {"rates": len(self.rates)}

    def scores(self, page_views: DataFrame, clicks: DataFrame) -> DataFrame:
        return scores_in_batches(page_views, self._score, self.column)

    def save(self, folder: Path) -> None:
        """Nothing: counting again gives the same."""

    def _score(self, batch: pa.RecordBatch) -> np.ndarray:
        rows = batch.column("menu").flatten()
        row, scores = self.popularity.places_of(rows), self.popularity.rates_of(rows)
        context = np.repeat(places_in(batch.column(self.column).cast(pa.string()), self.contexts), menu_sizes(batch))
        keys = row * len(self.contexts) + context
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        found = (row >= 0) & (context >= 0) & (self.keys[at] == keys) if len(self.keys) else np.zeros(len(row), bool)
        scores[found] = self.rates[at[found]]
        return scores
