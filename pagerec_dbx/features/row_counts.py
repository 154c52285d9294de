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
    mean_places: np.ndarray  # [rows, moments + 2, 2] float64, from 0: when offered, when clicked; -1 where it never was
    hours_since: np.ndarray  # [rows, moments + 2, 2] float64: from the last offer, the last click; -1 likewise
    of_all: np.ndarray  # [2, moments + 2] float64: clicks and impressions of all rows, outside the vocabulary too

    @property
    def common_rate(self) -> np.ndarray:
        """[moments + 2]: clicks of all rows for each time that one was offered; a half where nothing is known."""
        return (self.of_all[0] + 1.0) / (self.of_all[1] + 2.0)


def count_rows(
    page_views: DataFrame, clicks: DataFrame, ids: DataFrame, row_count: int, moments: int, until_micros: int
) -> RowCounts:
    """Count by row and moment; one record of each that is not empty reaches the driver.

    Args:
        page_views: served_micros, menu array<string>: all that may be counted, clicked or not.
        clicks: row_id, position from 0, clicked_micros.
        ids: id, token: the vocabulary of rows, of `row_count` entries.
        moments: how many, with as many page views between two of them.
        until_micros: when the last column's knowledge is asked for; nothing that is counted is later.
    """
    wanted = F.array(*(F.lit(place / (moments + 1)) for place in range(1, moments + 1)))
    seconds = F.floor(F.col("served_micros") / 1e6).cast("int")
    found = page_views.agg(F.percentile_approx(seconds, wanted, _ACCURACY)).first()[0]
    passed = [int(one) for one in found or [0] * moments]
    shown = page_views.select("served_micros", F.posexplode("menu").alias("place", "token"))
    clicked = clicks.select("clicked_micros", F.col("position").alias("place"), F.col("row_id").alias("token"))
    offers = _by_moment(shown, "served_micros", ids, row_count, passed)
    choices = _by_moment(clicked, "clicked_micros", ids, row_count, passed)
    seconds = np.array([0, *passed, until_micros // 1_000_000])  # at which each column is asked for
    return RowCounts(
        moments=np.array(passed, np.int32),
        clicks=choices.events[:row_count],
        impressions=offers.events[:row_count],
        mean_places=np.stack([one.mean_places()[:row_count] for one in (offers, choices)], axis=2),
        hours_since=np.stack([one.hours_until(seconds)[:row_count] for one in (offers, choices)], axis=2),
        of_all=np.stack([one.events.sum(axis=0) for one in (choices, offers)]),
    )


@dataclasses.dataclass(frozen=True)
class _Before:
    """What happened before each moment, [rows + 1, moments + 2]; rows without an id are together in the last line."""

    events: np.ndarray
    places: np.ndarray  # their sum
    last: np.ndarray  # seconds since 1970

    def mean_places(self) -> np.ndarray:
        return np.where(self.events > 0, self.places / np.maximum(self.events, 1), -1)

    def hours_until(self, seconds: np.ndarray) -> np.ndarray:
        return np.where(self.events > 0, (seconds - self.last) / 3_600, -1)


def _by_moment(events: DataFrame, micros: str, ids: DataFrame, row_count: int, passed: list[int]) -> _Before:
    """
    Args:
        events: token, place and, by the name given, when.
    """
    timed = events.select("token", "place", F.floor(F.col(micros) / 1e6).alias("second"))
    of_token = _summed(timed.withColumns({"moment": _moment(passed), "events": F.lit(1)}), "token")
    known = of_token.join(F.broadcast(ids), "token", how="left")
    records = _summed(known.withColumn("id", F.coalesce("id", F.lit(row_count))), "id").toPandas()
    # What happened after m moments had passed is known from the one after it on.
    cells = records["id"].to_numpy(np.int64), records["moment"].to_numpy(np.int64) + 1
    found = np.zeros((3, row_count + 1, len(passed) + 2))
    for matrix, name in zip(found, ("events", "place", "second"), strict=True):
        matrix[cells] = records[name].to_numpy()
    return _Before(found[0].cumsum(axis=1), found[1].cumsum(axis=1), np.maximum.accumulate(found[2], axis=1))


def _moment(passed: list[int]) -> Column:
    """How many of the moments had passed at a `second`."""
    return F.size(F.filter(F.array(*map(F.lit, passed)), lambda one: one <= F.col("second")))


def _summed(events: DataFrame, key: str) -> DataFrame:
    sums = (F.sum(name).alias(name) for name in ("events", "place"))
    return events.groupBy(key, "moment").agg(*sums, F.max("second").alias("second"))
