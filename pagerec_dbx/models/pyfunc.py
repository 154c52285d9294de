"""The exported ranker as MLflow's generic Python model: a data frame of raw pages in, ranked rows out."""

from pathlib import Path

import numpy as np
import pandas as pd

from pagerec_dbx.models.export import Ranker, load_ranker, raw_fields

# List columns and their padding.
_LISTS = {
    "history": "", "history_age": 0, "menu": "", "pinned": 0,
    "shown_row": "", "shown_position": 0, "shown_clicked": 0, "shown_age": 0,
}  # fmt: skip


class PyfuncRanker:
    """`predict` for `mlflow.pyfunc`."""

    def __init__(self, ranker: Ranker):
        self._ranker = ranker

    def predict(self, frame: pd.DataFrame, params: dict | None = None) -> pd.DataFrame:
        """One record per page in: columns `raw_fields`, lists of any length. Out: `row_id` and `score`, best first."""
        pages = {name: _array(frame[name], name) for name in raw_fields(self._ranker.config)}
        ranked = self._ranker.rank(pages)
        lengths = frame["menu"].map(len)
        columns = {
            name: [list(values[:length]) for values, length in zip(ranked[name].tolist(), lengths, strict=True)]
            for name in ("row_id", "score")
        }
        return pd.DataFrame(columns, index=frame.index)


def _array(column: pd.Series, name: str) -> np.ndarray:
    if name not in _LISTS:
        return column.to_numpy()
    longest = max([1, *column.map(len)])
    padded = [[*values, *[_LISTS[name]] * (longest - len(values))] for values in column]
    return np.array(padded, dtype=object if _LISTS[name] == "" else np.int32)


def _load_pyfunc(path: str) -> PyfuncRanker:
    """Called by MLflow with the folder of the data that was logged."""
    return PyfuncRanker(load_ranker(Path(path), "mlflow"))
