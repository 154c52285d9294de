"""What each part's snapshot will hold, counted in one job before anything is written."""

import dataclasses
from collections.abc import Iterable, Mapping

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from pagerec_dbx.errors import LeakageError, NoExamplesError
from pagerec_dbx.features.encoding import has_click_within
from pagerec_dbx.features.publishing import bucket_of
from pagerec_dbx.pipelines.cuts import HOLDOUT, SPLITS
from pagerec_dbx.pipelines.order import OrderKey


@dataclasses.dataclass(frozen=True)
class Part:
    """The examples of one part that its snapshot holds, and how many it leaves out."""

    bucket_counts: Mapping[int, int]  # hash bucket -> examples
    left_out: int  # page views whose clicks all lie past the menu length kept
    first: OrderKey
    last: OrderKey
    longest_menu: int  # rows

    @property
    def records(self) -> int:
        return sum(self.bucket_counts.values())


def is_kept(menu_length: int) -> Column:
    """True for examples that their part's snapshot holds: all of the holdout, else those with a click in the menu."""
    return (F.col("split") == HOLDOUT) | has_click_within(menu_length)


def summarise(examples: DataFrame, menu_length: int) -> dict[str, Part]:
    """Every part of the examples with their `split`, in one job.

    Raises:
        NoExamplesError: a part of which nothing is kept.
    """
    kept = is_kept(menu_length)
    # No null in the key: engines differ in where they put it.
    named = F.col("request_id").isNotNull(), F.coalesce("request_id", F.lit(""))
    key = F.when(kept, F.struct(F.unix_micros("served_at"), *named, "page_view_id"))
    records = (
        examples.groupBy("split", bucket_of().alias("bucket"))
        .agg(
            F.count_if(kept).alias("kept"),
            F.count_if(~kept).alias("left_out"),
            F.min(key).alias("first"),
            F.max(key).alias("last"),
            F.max(F.when(kept, F.size("menu"))).alias("longest_menu"),
        )
        .collect()  # one record a part and hash bucket
    )
    return {split: _part(split, [record for record in records if record["split"] == split]) for split in SPLITS}


def _part(split: str, records: Iterable[Row]) -> Part:
    kept = [record for record in records if record["kept"]]
    left_out = sum(record["left_out"] for record in records)
    if not kept:
        raise NoExamplesError(
            f"the {split} part has no example",
            wanted="a page view with a click among the rows kept",
            got=f"{left_out:,} page views whose clicks all lie past menu_length",
            fix="Raise menu_length, or move the cuts",
        )
    return Part(
        bucket_counts={record["bucket"]: record["kept"] for record in kept},
        left_out=left_out,
        first=_key(min(tuple(record["first"]) for record in kept)),
        last=_key(max(tuple(record["last"]) for record in kept)),
        longest_menu=max(record["longest_menu"] for record in kept),
    )


def _key(values: tuple) -> OrderKey:
    micros, named, request_id, page_view_id = values
    return OrderKey(micros, request_id if named else None, page_view_id)


def require_no_overlap(parts: Mapping[str, Part]) -> Mapping[str, Part]:
    """The same parts, each of which ends before the next begins.

    Raises:
        LeakageError: two of them overlap in the order of page views.
    """
    for earlier, later in zip(SPLITS, SPLITS[1:], strict=False):
        if parts[earlier].last.rank >= parts[later].first.rank:
            raise LeakageError(
                f"{earlier} overlaps {later}",
                wanted=f"every {earlier} page view before every {later} page view",
                got=f"{parts[earlier].last} and {parts[later].first}",
                fix="Report this: the cuts and the examples disagree",
            )
    return parts
