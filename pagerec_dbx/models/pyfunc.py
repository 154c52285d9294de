"""The exported ranker as MLflow's generic Python model: a data frame of raw pages in, ranked rows out."""

from pathlib import Path

import numpy as np
import pandas as pd

from pagerec_dbx.models.export import RAW_FIELDS, Ranker, load_ranker

_LISTS = {"history": "", "history_age": 0, "menu": ""}  # list columns and their padding


class PyfuncRanker:
    """`predict` for `mlflow.pyfunc`."""

    def __init__(self, ranker: Ranker):
        self._ranker = ranker

    def predict(self, frame: pd.DataFrame, params: dict | None = None) -> pd.DataFrame:
        """One record per page in: columns as RAW_FIELDS, lists of any length. Out: `row_id` and `score`, best first."""
        pages = {name: _array(frame[name], name) for name in RAW_FIELDS}
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
    return np.array(padded, dtype=object if name != "history_age" else np.int32)


def _load_pyfunc(path: str) -> PyfuncRanker:
    """Called by MLflow with the folder of the data that was logged."""
    return PyfuncRanker(load_ranker(Path(path), "mlflow"))
