"""The holdout's page views on their way from Parquet to arrays, with the truth where the world is simulated."""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pagerec_dbx.errors import LogsError, ScoresError
from pagerec_dbx.evaluation.protocols import PageBatch
from pagerec_dbx.features.snapshot import Snapshot
from pagerec_dbx.schemas import SHOWN
from pagerec_dbx.tables import require_unique

SINGLE = ("hour", "weekday", "device", "location")  # what a model reads, one value a page view
LISTS = ("history", "history_age", "menu", "pinned")  # and in lists of one length
TRUE = ("click_probabilities", "utilities")
SLICES = "slices"


def holdout_pages(spark: SparkSession, holdout: Snapshot, examples: DataFrame) -> DataFrame:
    """The page views of the holdout with what its snapshot does not hold.

    One record per page view: the snapshot's columns and `row_ids`, aligned with the menu; in a simulated world
    (`with_truth`) also `click_probabilities` and `utilities`, and `slices` where the examples have them.

    Args:
        examples: the table's version that the snapshot was made from, or `with_truth` or `with_slices` of it.
    """
    added = [name for name in (*TRUE, SLICES) if name in examples.columns]
    more = examples.select("page_view_id", F.col("menu").alias("row_ids"), *added)
    return spark.read.parquet(*map(str, holdout.paths)).join(more, "page_view_id", how="inner")


def read_truth(spark: SparkSession, folder: Path) -> DataFrame:
    """The true click probabilities and utilities of a simulated world.

    One record per page view: request_id (null for hashed payloads), user_hash, served_at, row_ids, and TRUE.

    Args:
        folder: LOGS/truth.

    Raises:
        LogsError: there is no truth.
        GrainError: a page view is in it twice.
    """
    pages = folder / "page_views"
    if not pages.is_dir():
        raise LogsError(
            f"{folder} holds no truth", wanted="the folder `truth` of simulated logs", fix="Leave out --truth"
        )
    key = ("request_id", "user_hash", "served_at", "row_ids")
    return require_unique(spark.read.parquet(str(pages)).select(*key, *TRUE), key, "truth")


def with_truth(examples: DataFrame, truth: DataFrame) -> DataFrame:
    """The same examples with `click_probabilities` and `utilities` of their rows, null where the truth lacks the page.

    Args:
        truth: one record per page view: request_id, user_hash, served_at, row_ids in menu order, and the two.
    """
    true = truth.select("request_id", "user_hash", "served_at", F.col("row_ids").alias("menu"), *TRUE).alias("true")
    same = (
        (F.col("example.user_hash") == F.col("true.user_hash"))
        & (F.col("example.served_at") == F.col("true.served_at"))
        & F.col("example.request_id").eqNullSafe(F.col("true.request_id"))
        & (F.col("example.menu") == F.col("true.menu"))
    )
    return (
        examples.alias("example").join(true, same, how="left").select("example.*", *(f"true.{name}" for name in TRUE))
    )


@dataclasses.dataclass(frozen=True)
class World:
    """The truth of a batch; NaN and False where it is not known."""

    probabilities: np.ndarray  # [pages, menu] of a click on each row, given a click, as served
    utilities: np.ndarray  # [pages, menu] free of the position
    known: np.ndarray  # [pages] bool
    randomized: np.ndarray  # [pages] bool


def pages_from_arrow(batch: pa.RecordBatch) -> PageBatch:
    """The page views of one Arrow batch of `holdout_pages`."""
    lists = (*LISTS, *(name for name in SHOWN if name in batch.schema.names))
    record = {name: _matrix(batch.column(name)) for name in lists}
    record |= {name: batch.column(name).to_numpy(zero_copy_only=False) for name in SINGLE}
    return PageBatch(
        page_view_ids=batch.column("page_view_id").to_numpy(zero_copy_only=False),
        record=record,
        pinned=_matrix(batch.column("pinned")) > 0,
        clicked=_matrix(batch.column("clicked")) > 0,
        row_ids=batch.column("row_ids").flatten(),
    )


def scores_from_arrow(scores: pa.ListArray, pages: PageBatch, who: str) -> np.ndarray:
    """[pages, menu] the scores of the rows offered, 0 in the padding.

    Args:
        scores: one list for each page view, aligned with its menu.

    Raises:
        ScoresError: a page view has no scores, or more or fewer than rows.
    """
    offered = pages.offered.sum(axis=1)
    given = scores.value_lengths().fill_null(-1).to_numpy(zero_copy_only=False)
    if (given != offered).any():
        first = int(np.argmax(given != offered))
        got = "none" if given[first] < 0 else f"{given[first]}"
        raise ScoresError(
            f"{who} did not score page view {pages.page_view_ids[first]}",
            wanted=f"{offered[first]} scores, one for each row of the menu",
            got=got,
        )
    matrix = np.zeros(pages.menu.shape)
    matrix[pages.offered] = scores.flatten().to_numpy(zero_copy_only=False)
    return matrix


def world_from_arrow(batch: pa.RecordBatch) -> World | None:
    """The truth of the same batch; None where this is no simulated world."""
    if TRUE[0] not in batch.schema.names:
        return None
    offered = _matrix(batch.column("menu")) > 0
    known = batch.column(TRUE[0]).is_valid().to_numpy(zero_copy_only=False)
    probabilities, utilities = (np.full(offered.shape, np.nan) for _ in TRUE)
    filled = offered & known[:, None]  # the truth's lists are as long as the menus, which are padded here
    for name, target in zip(TRUE, (probabilities, utilities), strict=True):
        target[filled] = batch.column(name).flatten().to_numpy(zero_copy_only=False)
    randomized = batch.column("randomized").to_numpy(zero_copy_only=False) > 0
    return World(np.where(known[:, None] & ~filled, 0.0, probabilities), utilities, known, randomized)


def _matrix(lists: pa.ListArray) -> np.ndarray:
    """Lists of one length as [records, length]."""
    return lists.flatten().to_numpy(zero_copy_only=False).reshape(len(lists), -1)


def width(lists: pa.ListArray) -> int:
    """The length of lists of one length."""
    return len(lists.flatten()) // max(1, len(lists))
