"""Clicks and impressions counted strictly before a moment, so that no page view knows of itself or of what came later.

Time before the holdout is cut into buckets of equal length; a page view sees the counts of the buckets before its own.
An impression counts in the bucket in which its page was served, a click in the one in which it happened.
"""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.baselines.protocol import Past
from pagerec_dbx.baselines.views import shown_rows

_MOST_COUNTS = 3_000_000  # rows x devices x buckets; fewer buckets where there are many rows
_MOST_DEVICES = 8  # the most frequent ones; others have no counts of their own


@dataclasses.dataclass(frozen=True)
class Clock:
    """Buckets of equal length from the first page view on; the holdout's page views are at `buckets`, after all."""

    first: int  # microseconds since 1970
    width: int  # microseconds
    buckets: int

    def bucket(self, micros: Column) -> Column:
        """0 to buckets - 1."""
        number = F.floor((micros - self.first) / self.width)
        return F.least(F.greatest(number, F.lit(0)), F.lit(self.buckets - 1)).cast("int")


@dataclasses.dataclass(frozen=True)
class CountsBefore:
    """Counts of groups by bucket, as running sums over (group, bucket)."""

    buckets: int
    keys: np.ndarray  # [counted] group x (buckets + 1) + bucket, rising; one may stand there twice
    clicks: np.ndarray  # [counted + 1] running sums, from 0
    impressions: np.ndarray  # [counted + 1]

    @staticmethod
    def of(group: np.ndarray, bucket: np.ndarray, clicks, impressions, buckets: int) -> "CountsBefore":
        """All arguments [counted], in any order."""
        keys = group.astype(np.int64) * (buckets + 1) + bucket
        order = np.argsort(keys, kind="stable")
        sums = (np.concatenate([[0.0], np.cumsum(np.asarray(values)[order])]) for values in (clicks, impressions))
        return CountsBefore(buckets, keys[order], *sums)

    def at(self, group: np.ndarray, bucket: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[asked] clicks and impressions of each group in the buckets before this one; 0 and 0 of group -1."""
        start = np.searchsorted(self.keys, group * (self.buckets + 1))
        end = np.searchsorted(self.keys, group * (self.buckets + 1) + bucket)
        end = np.where(group < 0, start, end)
        return self.clicks[end] - self.clicks[start], self.impressions[end] - self.impressions[start]


@dataclasses.dataclass(frozen=True)
class Rates:
    """Click rates of rows, and of rows on a device, as they were known at any bucket."""

    row_ids: pa.StringArray
    devices: pa.StringArray
    smoothing: float
    overall: CountsBefore
    of_rows: CountsBefore
    of_devices: CountsBefore

    def at(self, rows: np.ndarray, devices: np.ndarray, buckets: np.ndarray) -> dict[str, np.ndarray]:
        """row_rate (smoothed towards the overall rate), row_impressions, row_device_rate (towards the row's).

        Args:
            rows, devices: [asked] places among `row_ids` and `devices`, -1 for others.
            buckets: [asked] when.
        """
        s = self.smoothing
        clicks, impressions = self.overall.at(np.zeros_like(rows), buckets)
        overall = np.divide(clicks, impressions, out=np.zeros(len(rows)), where=impressions > 0)
        clicks, impressions = self.of_rows.at(rows, buckets)
        row_rate = (clicks + s * overall) / np.maximum(impressions + s, 1e-9)
        known = (rows >= 0) & (devices >= 0)
        there = self.of_devices.at(np.where(known, rows * max(1, len(self.devices)) + devices, -1), buckets)
        device_rate = (there[0] + s * row_rate) / np.maximum(there[1] + s, 1e-9)
        return {"row_rate": row_rate, "row_impressions": impressions, "row_device_rate": device_rate}


def clock_of(past: Past, wanted: int) -> Clock:
    """Buckets over the page views before the holdout; fewer than wanted where there are very many rows."""
    first, last = past.page_views.agg(F.min("served_micros"), F.max("served_micros")).first()
    most = max(10, _MOST_COUNTS // (len(past.popularity.row_ids) * (_MOST_DEVICES + 1)))
    buckets = min(wanted, most)
    return Clock(first, (last - first) // buckets + 1, buckets)


def rates_of(past: Past, clock: Clock) -> Rates:
    """Counted by Spark; one record per row, device and bucket reaches the driver."""
    common = past.page_views.where(F.col("device").isNotNull()).groupBy("device").count()
    found = common.orderBy(F.desc("count"), "device").limit(_MOST_DEVICES).collect()
    devices = pa.array(sorted(record["device"] for record in found), pa.string())
    counts = _counts(past, clock).toPandas()
    rows = past.popularity.places_of(pa.array(counts["row_id"], pa.string())).astype(np.int64)
    device = places(pa.array(counts["device"], pa.string()), devices)
    bucket, clicks, impressions = (counts[name].to_numpy(np.int64) for name in ("bucket", "clicks", "impressions"))
    on_device = device >= 0
    pair = rows * max(1, len(devices)) + device

    def counted(group: np.ndarray, kept=slice(None)) -> CountsBefore:
        return CountsBefore.of(group, bucket[kept], clicks[kept], impressions[kept], clock.buckets)

    return Rates(
        row_ids=past.popularity.row_ids,
        devices=devices,
        smoothing=past.smoothing,
        overall=counted(np.zeros_like(rows)),
        of_rows=counted(rows),
        of_devices=counted(pair[on_device], on_device),
    )


def _counts(past: Past, clock: Clock) -> DataFrame:
    """One record per row, device and bucket: row_id, device, bucket, impressions, clicks."""
    shown = shown_rows(past.page_views, "served_micros", "device").select(
        "row_id", "device", clock.bucket(F.col("served_micros")).alias("bucket"), F.lit(0).alias("click")
    )
    clicked = past.clicks.select(
        "row_id", "device", clock.bucket(F.col("clicked_micros")).alias("bucket"), F.lit(1).alias("click")
    )
    return (
        shown.unionByName(clicked)
        .groupBy("row_id", "device", "bucket")
        .agg(F.sum(1 - F.col("click")).alias("impressions"), F.sum("click").alias("clicks"))
    )


def places(values: pa.Array, among: pa.StringArray) -> np.ndarray:
    """[values] the place of each among the others, -1 where it is not."""
    return pc.index_in(values, value_set=among).fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
