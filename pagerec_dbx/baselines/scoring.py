"""Scores of menus in Arrow batches: the arrays that a baseline computes, as lists aligned with the menus."""

import functools
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from pagerec_dbx.baselines.viewer_clicks import menu_sizes

LITTLE = 1e-9  # weight of popularity where it only decides between equal scores


def scores_in_batches(page_views: DataFrame, score: Callable[[pa.RecordBatch], np.ndarray], *columns: str) -> DataFrame:
    """One record per page view: page_view_id, scores.

    Args:
        score: picklable; a batch with page_view_id, menu and `columns` -> the scores of all its menus, one after the
            other.
    """
    step = functools.partial(_scored, score=score)
    needed = page_views.select("page_view_id", "menu", *columns)
    return needed.mapInArrow(step, "page_view_id bigint, scores array<double>")


def _scored(
    batches: Iterator[pa.RecordBatch], score: Callable[[pa.RecordBatch], np.ndarray]
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        sizes = menu_sizes(batch)
        offsets = pa.array(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32))
        scores = pa.ListArray.from_arrays(offsets, pa.array(score(batch).astype(np.float64)))
        yield pa.RecordBatch.from_arrays([batch.column("page_view_id"), scores], names=["page_view_id", "scores"])
