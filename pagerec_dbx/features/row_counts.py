"""How rows fared with all viewers, as it was known at each of some moments: counted strictly before them."""

import dataclasses

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

_ACCURACY = 100_000  # of the moments' places among the page views


@dataclasses.dataclass(frozen=True)
class RowCounts:
    """By row of a vocabulary. Column m knows what happened before the m-th moment, 0 nothing, the last one all."""

    moments: np.ndarray  # [moments] int32 seconds since 1970, rising
    clicks: np.ndarray  # [rows, moments + 2] float64
    impressions: np.ndarray  # [rows, moments + 2] float64
    of_all: np.ndarray  # [2, moments + 2] float64: clicks and impressions of all rows, outside the vocabulary too

    @property
    def common_rate(self) -> np.ndarray:
        """[moments + 2]: clicks of all rows for each time that one was offered; a half where nothing is known."""
        return (self.of_all[0] + 1.0) / (self.of_all[1] + 2.0)


def count_rows(page_views: DataFrame, clicks: DataFrame, ids: DataFrame, row_count: int, moments: int) -> RowCounts:
    """Count by row and moment; one record of each that is not empty reaches the driver.

    Args:
        page_views: served_micros, menu array<string>: all that may be counted, clicked or not.
        clicks: row_id, clicked_micros.
        ids: id, token: the vocabulary of rows, of `row_count` entries.
        moments: how many, with as many page views between two of them.
    """
    wanted = F.array(*(F.lit(place / (moments + 1)) for place in range(1, moments + 1)))
    seconds = F.floor(F.col("served_micros") / 1e6).cast("int")
    found = page_views.agg(F.percentile_approx(seconds, wanted, _ACCURACY)).first()[0]
    passed = [int(one) for one in found or [0] * moments]
    shown = page_views.select(_moment("served_micros", passed), F.explode("menu").alias("token"))
    clicked = clicks.select(_moment("clicked_micros", passed), F.col("row_id").alias("token"))
    counts = [_by_moment(events, ids, row_count, moments) for events in (clicked, shown)]
    return RowCounts(
        moments=np.array(passed, np.int32),
        clicks=counts[0][:row_count],
        impressions=counts[1][:row_count],
        of_all=np.stack([count.sum(axis=0) for count in counts]),
    )


def _moment(micros: str, passed: list[int]) -> Column:
    """How many of the moments had passed when something happened."""
    moments = F.array(*map(F.lit, passed))
    return F.size(F.filter(moments, lambda one: one <= F.floor(F.col(micros) / 1e6))).alias("moment")


def _by_moment(events: DataFrame, ids: DataFrame, row_count: int, moments: int) -> np.ndarray:
    """[rows + 1, moments + 2] events before each moment; rows without an id are counted together in the last line."""
    joined = events.groupBy("token", "moment").count().join(F.broadcast(ids), "token", how="left")
    found = joined.groupBy(F.coalesce("id", F.lit(row_count)).alias("id"), "moment").agg(F.sum("count").alias("count"))
    records = found.toPandas()
    counts = np.zeros((row_count + 1, moments + 2))
    # What happened after m moments had passed is known from the one after it on.
    counts[records["id"].to_numpy(np.int64), records["moment"].to_numpy(np.int64) + 1] = records["count"].to_numpy()
    return counts.cumsum(axis=1)
