"""The same reliability curve of a large holdout, counted where it lies: some ten thousand sums reach the driver.

The bits of a float of 0 or more, read as a whole number, are in the order of the floats. So pairs are first counted by
the bits of their probability but for the last 12; only the few groups in which a bin begins or ends are then counted by
all bits, after which they hold pairs of one probability each. The curve is the referee's.
"""

import functools
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.evaluation.calibration import BINS, Groups, Reliability, bin_ends, binned

ARRAYS = PROBABILITIES, TARGETS = ("probabilities", "targets")
_COARSE = 12  # the last bits that the first count leaves out; the second count knows them
_ALL = 31  # the bits of a float of 0 or more
_SUMS = ("pairs", "probability", "target")
_SCHEMA = "bits bigint, pairs bigint, probability double, target double"


def counted_reliability(pages: DataFrame, bins: int = BINS) -> Reliability:
    """The reliability curve of all pairs of some page views.

    Args:
        pages: `probabilities` and `targets`, array<float> of one length, in [0, 1]; page views without are left out.
    """
    known = pages.where(F.col(PROBABILITIES).isNotNull()).select(*ARRAYS)
    coarse = _count(known, np.array([0]), _ALL, _COARSE)
    split = _with_an_end(coarse, bins)
    fine = _count(known, coarse[split, 0].astype(np.int64) >> _COARSE, _COARSE, 0)
    counted = np.concatenate([np.delete(coarse, split, axis=0), fine])
    return binned(_groups(counted[np.argsort(counted[:, 0])]), bins)


def _with_an_end(counted: np.ndarray, bins: int) -> np.ndarray:
    """Which groups hold the first or the last pair of a bin; 30 at most."""
    ends = bin_ends(int(counted[:, 1].sum()), bins)
    full = ends[:-1] < ends[1:]
    return np.unique(_groups(counted).holding(np.concatenate([ends[:-1][full], ends[1:][full] - 1])))


def _groups(counted: np.ndarray) -> Groups:
    bits, pairs, probability, target = counted.T
    first = bits.astype(np.int32).view(np.float32)
    return Groups(first, pairs.astype(np.int64), probability, target)


def _count(known: DataFrame, parents: np.ndarray, parent_bits: int, bits: int) -> np.ndarray:
    """[groups, 4] bits, pairs, probability, target of the pairs in some groups, by finer groups, in rising order.

    Args:
        parents: the groups whose pairs are counted: the bits without the last `parent_bits`, in rising order.
        bits: how many of the last bits the finer groups leave out.
    """
    step = functools.partial(_sums_of_batches, parents=parents, parent_bits=parent_bits, bits=bits)
    sums = known.mapInArrow(step, _SCHEMA).groupBy("bits").agg(*(F.sum(name).alias(name) for name in _SUMS))
    records = sums.orderBy("bits").collect()
    return np.array([tuple(record) for record in records], dtype=np.float64).reshape(-1, 1 + len(_SUMS))


def _sums_of_batches(
    batches: Iterator[pa.RecordBatch], parents: np.ndarray, parent_bits: int, bits: int
) -> Iterator[pa.RecordBatch]:
    """The sums over all batches of a task."""
    inside = 1 << (parent_bits - bits)  # finer groups in one of the parents
    sums = np.zeros((len(_SUMS), len(parents) * inside))
    for batch in batches:
        values = [batch.column(name).flatten().to_numpy(zero_copy_only=False).astype(np.float32) for name in ARRAYS]
        pattern = np.abs(values[0]).view(np.int32)  # no minus zero
        parent = pattern >> parent_bits
        kept = np.isin(parent, parents)
        group = np.searchsorted(parents, parent[kept]) * inside + ((pattern[kept] >> bits) & (inside - 1))
        weights = (None, values[0][kept], values[1][kept])
        sums += [np.bincount(group, weights=weight, minlength=sums.shape[1]) for weight in weights]
    some = np.flatnonzero(sums[0])
    found = (parents[some // inside] << parent_bits) + ((some % inside) << bits)
    columns = [found, sums[0, some].astype(np.int64), sums[1, some], sums[2, some]]
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
