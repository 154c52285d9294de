"""The shuffled order of a snapshot's records and its division into equal row groups, without a sort of all records.

The order is that of a hash of `page_view_id`. Records are counted in ranges of that hash (buckets); where a row group
begins is then known to the bucket, and only the hashes of those few buckets are looked at.
"""

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.pipelines.cuts import locate

_BUCKET_BITS = 12


def shuffle_hash() -> Column:
    """Where a record stands in the shuffled order; no two 64-bit ids share a hash."""
    return F.xxhash64("page_view_id")


def bucket_of() -> Column:
    """The hash's range: its highest 12 bits, -2048 to 2047, in the order of the hashes."""
    return F.shiftright(shuffle_hash(), 64 - _BUCKET_BITS).cast("int")


def group_starts(records: DataFrame, bucket_counts: Mapping[int, int], groups: int) -> list[int]:
    """The hash of the first record of every row group but the first; sizes differ by at most 1.

    Args:
        records: what will be in the row groups; only `page_view_id` is read.
        bucket_counts: how many of them each bucket holds.
    """
    places = places_of_starts(bucket_counts, groups)
    wanted = sorted({bucket for bucket, _ in places})
    found = records.where(bucket_of().isin(wanted)).select(bucket_of(), shuffle_hash()).collect()  # a few buckets
    hashes: dict[int, list[int]] = {bucket: [] for bucket in wanted}
    for bucket, value in sorted(map(tuple, found)):
        hashes[bucket].append(value)
    return [hashes[bucket][place] for bucket, place in places]


def places_of_starts(bucket_counts: Mapping[int, int], groups: int) -> list[tuple[int, int]]:
    """(bucket, place within it) of the first record of every row group but the first.

    Record p of n belongs to row group p x groups div n, so group g begins at ceil(g x n / groups).
    """
    counts = sorted(bucket_counts.items())
    total = sum(bucket_counts.values())
    return [locate(counts, -(-group * total // groups)) for group in range(1, groups)]


def row_group_of(place: Column, starts: Sequence[int]) -> Column:
    """The row group of a record with this `shuffle_hash`: how many of the ordered starts lie at or before it."""

    def search(first: int, last: int) -> Column:
        if first == last:
            return F.lit(first)
        middle = (first + last) // 2
        return F.when(place < starts[middle], search(first, middle)).otherwise(search(middle + 1, last))

    return search(0, len(starts))
