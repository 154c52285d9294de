"""What each part's snapshot will hold, counted in one job before anything is written."""

import dataclasses
from collections.abc import Iterable, Mapping

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from pagerec_dbx.errors import LeakageError, NoExamplesError
from pagerec_dbx.features.encoding import has_click_within
from pagerec_dbx.features.row_groups import bucket_of, shuffle_hash
from pagerec_dbx.pipelines.cuts import HOLDOUT, SPLITS
from pagerec_dbx.pipelines.order import OrderKey

CLICKS_PAST_MENU, VIEWER_DAY_CAP = "clicks_past_menu", "viewer_day_cap"  # why an example is left out


@dataclasses.dataclass(frozen=True)
class Part:
    """The examples of one part that its snapshot holds, and how many it leaves out."""

    bucket_counts: Mapping[int, int]  # hash bucket -> examples
    left_out: Mapping[str, int]  # examples, by reason
    first: OrderKey
    last: OrderKey
    longest_menu: int  # rows

    @property
    def records(self) -> int:
        return sum(self.bucket_counts.values())


def with_left_out(examples: DataFrame, menu_length: int, viewer_day_cap: int | None) -> DataFrame:
    """The same examples with `left_out`: why their part's snapshot leaves them out, null where it holds them.

    The holdout leaves nothing out; the other parts what has no click in the menu kept and, with a cap, what a viewer
    has on one day beyond it. Which examples a capped viewer keeps is decided by the hash of their page views.

    Args:
        examples: records of `examples` with their `split`.
    """
    past_menu = ~_is_holdout() & ~has_click_within(menu_length)
    marked = examples.withColumn("left_out", F.when(past_menu, CLICKS_PAST_MENU))
    return marked if viewer_day_cap is None else _with_cap(marked, viewer_day_cap)


def _with_cap(examples: DataFrame, cap: int) -> DataFrame:
    """Only viewer-days beyond the cap are joined: each with the hash of the last example that it keeps."""
    viewer_day = ("split", "user_hash", "day")
    candidates = examples.where(~_is_holdout() & F.col("left_out").isNull())
    hashes = candidates.groupBy(*viewer_day).agg(F.collect_list(shuffle_hash()).alias("hashes"))
    last_kept = F.element_at(F.sort_array("hashes"), cap).alias("last_kept")
    beyond = hashes.where(F.size("hashes") > cap).select(*viewer_day, last_kept)
    joined = examples.join(beyond, list(viewer_day), how="left")
    over = F.when(shuffle_hash() > F.col("last_kept"), VIEWER_DAY_CAP)
    return joined.withColumn("left_out", F.coalesce("left_out", over)).drop("last_kept")


def _is_holdout() -> Column:
    return F.col("split") == HOLDOUT


def summarise(examples: DataFrame) -> dict[str, Part]:
    """Every part of the examples, in one job.

    Args:
        examples: as `with_left_out` gives them.

    Raises:
        NoExamplesError: a part of which nothing is kept.
    """
    # No null in the key: engines differ in where they put it.
    named = F.col("request_id").isNotNull(), F.coalesce("request_id", F.lit(""))
    key = F.struct(F.unix_micros("served_at"), *named, "page_view_id")
    records = (
        examples.groupBy("split", "left_out", bucket_of().alias("bucket"))
        .agg(
            F.count("*").alias("examples"),
            F.min(key).alias("first"),
            F.max(key).alias("last"),
            F.max(F.size("menu")).alias("longest_menu"),
        )
        .collect()  # one record a part, reason and hash bucket
    )
    return {split: _part(split, [record for record in records if record["split"] == split]) for split in SPLITS}


def _part(split: str, records: Iterable[Row]) -> Part:
    kept = [record for record in records if record["left_out"] is None]
    left_out = {CLICKS_PAST_MENU: 0}
    for record in records:
        if record["left_out"] is not None:
            left_out[record["left_out"]] = left_out.get(record["left_out"], 0) + record["examples"]
    if not kept:
        raise NoExamplesError(
            f"the {split} part has no example",
            wanted="a page view with a click among the rows kept",
            got=f"{sum(left_out.values()):,} page views whose clicks all lie past menu_length",
            fix="Raise menu_length, or move the cuts",
        )
    return Part(
        bucket_counts={record["bucket"]: record["examples"] for record in kept},
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
