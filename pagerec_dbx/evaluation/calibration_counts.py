"""The same reliability curve of a large holdout, counted where it lies: some ten thousand sums reach the driver.

The bits of a float of 0 or more, read as a whole number, are in the order of the floats. So pairs are first counted by
the upper 16 bits of their probability; only the few groups in which a bin begins or ends are then counted by 8 more
bits, and by the last 8, after which they hold pairs of one probability each. The curve is the referee's.
"""

import functools
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.evaluation.calibration import BINS, Groups, Reliability, bin_ends, binned

ARRAYS = PROBABILITIES, TARGETS = ("probabilities", "targets")
_FINER = (8, 0)  # how many of the last bits the second and the third count leave out
_SUMS = ("pairs", "probability", "target")
_SCHEMA = "bits bigint, pairs bigint, probability double, target double"


def counted_reliability(pages: DataFrame, bins: int = BINS) -> Reliability:
    """The reliability curve of all pairs of some page views.

    Args:
        pages: `probabilities` and `targets`, array<float> of one length, in [0, 1]; page views without are left out.
    """
    known = pages.where(F.col(PROBABILITIES).isNotNull()).select(*ARRAYS)
    counted = _count(known, 16, None)
    for shift in _FINER:
        ends = bin_ends(int(counted[:, 1].sum()), bins)
        edges = np.concatenate([ends[:-1], ends[1:] - 1])  # the first and the last pair of each bin
        edges = edges[(edges >= 0) & (edges < ends[-1])]
        split = np.unique(_groups(counted).holding(edges))
        finer = _count(known, shift, counted[split, 0].astype(np.int64) >> (shift + 8))
        counted = np.concatenate([np.delete(counted, split, axis=0), finer])
        counted = counted[np.argsort(counted[:, 0])]
    return binned(_groups(counted), bins)


def _groups(counted: np.ndarray) -> Groups:
    bits, pairs, probability, target = counted.T
    first = bits.astype(np.int32).view(np.float32)
    return Groups(first, pairs.astype(np.int64), probability, target)


def _count(known: DataFrame, shift: int, within: np.ndarray | None) -> np.ndarray:
    """[groups, 4] bits, pairs, probability, target, by bits.

    Args:
        shift: how many of the last bits are left out of account.
        within: the groups to count, by their bits without `shift` + 8; None for all.
    """
    step = functools.partial(_sums_of_batches, shift=shift, within=within)
    sums = known.mapInArrow(step, _SCHEMA).groupBy("bits").agg(*(F.sum(name).alias(name) for name in _SUMS))
    records = sums.orderBy("bits").collect()  # 16,257 at most, and 30 times 256 in a finer count
    return np.array([tuple(record) for record in records], dtype=np.float64).reshape(-1, 4)


def _sums_of_batches(
    batches: Iterator[pa.RecordBatch], shift: int, within: np.ndarray | None
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        probabilities, targets = (
            batch.column(name).flatten().to_numpy(zero_copy_only=False).astype(np.float32) for name in ARRAYS
        )
        bits = np.abs(probabilities).view(np.int32).astype(np.int64)  # no minus zero
        if within is not None:
            kept = np.isin(bits >> (shift + 8), within)
            probabilities, targets, bits = probabilities[kept], targets[kept], bits[kept]
        groups, group = np.unique(bits >> shift, return_inverse=True)
        sums = [np.bincount(group, weights=values, minlength=len(groups)) for values in (probabilities, targets)]
        columns = [groups << shift, np.bincount(group, minlength=len(groups)), *sums]
        yield pa.RecordBatch.from_arrays([pa.array(column) for column in columns], names=["bits", *_SUMS])


def shares_by_position(pages: DataFrame) -> DataFrame:
    """How often rows were clicked and how often they were expected to be, by their position on the page.

    One record per position: position (0-based), shown (pairs), predicted (mean probability), observed (mean target).

    Args:
        pages: as `counted_reliability`.
    """
    known = pages.where(F.col(PROBABILITIES).isNotNull())
    pairs = known.select(F.posexplode(F.arrays_zip(*ARRAYS)).alias("position", "pair"))
    return pairs.groupBy("position").agg(
        F.count("*").alias("shown"),
        F.avg(f"pair.{PROBABILITIES}").alias("predicted"),
        F.avg(f"pair.{TARGETS}").alias("observed"),
    )
