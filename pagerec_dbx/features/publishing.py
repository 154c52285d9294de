"""Writes snapshots: equal row groups, shuffled by a hash, published by a manifest that is written last."""

import dataclasses
import datetime as dt
import hashlib
import itertools
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pagerec_dbx.errors import NoExamplesError, SnapshotError
from pagerec_dbx.features.snapshot import FORMAT, MANIFEST, File, Manifest, Snapshot, open_snapshot, row_groups_of
from pagerec_dbx.features.vocabulary import DEVICES, LOCATIONS, ROWS, TITLES, Vocabulary
from pagerec_dbx.home import write_atomically
from pagerec_dbx.pipelines.order import Cuts, OrderKey

BUCKETS = 96  # how many hash buckets are counted and numbered side by side
_ONE_GROUP_BYTES = 512 * 1024 * 1024  # Parquet's row-group limit: far above a group, so that no group is split
RECORD = (
    "history", "history_age", "menu", "pinned", "clicked", "clicked_row", "hour", "weekday", "device", "location",
    "page_view_id", "day",
)  # fmt: skip
HOLDOUT_RECORD = (*RECORD, "user_hash", "randomized")


@dataclasses.dataclass(frozen=True)
class Contents:
    """What makes two snapshots equal: all that their records depend on.

    Raises:
        NoExamplesError: fewer records than row groups.
    """

    split: str
    table: str
    table_id: str  # Delta's, which a table made anew does not share
    table_version: int
    vocabulary: Vocabulary
    cuts: Cuts
    history_length: int
    menu_length: int
    bucket_counts: Mapping[int, int]  # records by hash bucket
    groups: int  # row groups
    first: OrderKey
    last: OrderKey
    left_out: Mapping[str, int]

    def __post_init__(self):
        if self.records < self.groups:
            raise NoExamplesError(
                f"the {self.split} part has too few examples for its row groups",
                wanted=f"at least {self.groups}",
                got=f"{self.records:,}",
                fix="Ingest more page views, or move the cuts (holdout_fraction, validation_fraction)",
            )

    @property
    def records(self) -> int:
        return sum(self.bucket_counts.values())

    @property
    def name(self) -> str:
        """The folder's name; equal contents have equal names."""
        facts = [
            FORMAT, self.split, self.table_id, self.table_version, self.vocabulary.version, self.vocabulary.sizes,
            self.cuts.validation.as_json(), self.cuts.holdout.as_json(), self.history_length, self.menu_length,
            sorted(self.bucket_counts.items()), self.groups, self.first.as_json(), self.last.as_json(),
            sorted(self.left_out.items()),
        ]  # fmt: skip
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode("utf-8")).hexdigest()
        return f"{self.split}-v{self.table_version}-{digest[:16]}"


def bucket_of(page_view_id: str = "page_view_id") -> Column:
    """The hash bucket of a page view, 0 to BUCKETS - 1."""
    return F.pmod(F.xxhash64(page_view_id), F.lit(BUCKETS)).cast("int")


def publish(records: DataFrame, contents: Contents, root: Path, created_at: dt.datetime) -> Snapshot:
    """The snapshot of these contents: the one that exists if it is complete, else a new one.

    Args:
        records: encoded records in the snapshot's columns; evaluated only if they are written.
        root: the folder of all snapshots.

    Raises:
        SnapshotError: what was written is not what was asked for.
    """
    folder = root / contents.name
    if (folder / MANIFEST).exists():
        try:
            return open_snapshot(folder)
        except SnapshotError:
            (folder / MANIFEST).unlink()  # damaged: first make it unreadable, then replace it
    if folder.exists():
        shutil.rmtree(folder)  # a run was killed while it wrote this
    root.mkdir(parents=True, exist_ok=True)
    _write_files(records, contents, folder)
    manifest = _manifest(folder, contents, created_at)
    write_atomically(folder / MANIFEST, manifest.to_json())
    return open_snapshot(folder)


def _write_files(records: DataFrame, contents: Contents, folder: Path) -> None:
    """One file a row group, in subfolders row_group=0, 1, ...: a file is then one row group and no list is ragged."""
    grouped = with_row_group(records, contents.bucket_counts, contents.groups)
    (
        grouped.repartition("row_group")
        .sortWithinPartitions("row_group", "shuffled")
        .drop("shuffled")
        .write.mode("overwrite")
        .option("parquet.block.size", _ONE_GROUP_BYTES)
        .option("maxRecordsPerFile", 0)
        .partitionBy("row_group")
        .parquet(str(folder))
    )


def with_row_group(records: DataFrame, bucket_counts: Mapping[int, int], groups: int) -> DataFrame:
    """The records in one shuffled order (`shuffled`, 0-based), cut into `groups` parts whose sizes differ by at most 1.

    The buckets' counts are known, so that each bucket is numbered on its own and no executor sees all records.
    """
    total = sum(bucket_counts.values())
    starts = itertools.accumulate((bucket_counts.get(bucket, 0) for bucket in range(BUCKETS)), initial=0)
    start = F.get(F.array(*[F.lit(number) for number in starts]), bucket_of())
    within = Window.partitionBy(bucket_of()).orderBy(F.xxhash64("page_view_id"), "page_view_id")
    numbered = records.withColumn("shuffled", (start + F.row_number().over(within) - 1).cast("bigint"))
    return numbered.withColumn("row_group", F.expr(f"cast(shuffled * {groups} div {total} as int)"))


def _manifest(folder: Path, contents: Contents, created_at: dt.datetime) -> Manifest:
    paths = sorted(folder.glob("row_group=*/*.parquet"), key=_group_number)
    groups = [row_groups_of(path) for path in paths]
    ends = [contents.records * number // contents.groups for number in range(contents.groups + 1)]
    sizes = sorted(last - first for first, last in itertools.pairwise(ends))
    if any(len(group) != 1 for group in groups) or sorted(group[0] for group in groups) != sizes:
        raise SnapshotError(
            f"snapshot {folder} was not written as one row group a file",
            wanted=f"{contents.groups} row groups of {sizes[0]:,} to {sizes[-1]:,} records",
            got=str(groups),
            fix="Raise row_groups so that each stays small, or report this",
        )
    vocabulary = contents.vocabulary
    return Manifest(
        name=contents.name,
        split=contents.split,
        table=contents.table,
        table_version=contents.table_version,
        vocabulary_version=vocabulary.version,
        title_count=vocabulary.size(TITLES),
        row_count=vocabulary.size(ROWS),
        device_count=vocabulary.size(DEVICES),
        location_count=vocabulary.size(LOCATIONS),
        history_length=contents.history_length,
        menu_length=contents.menu_length,
        records=contents.records,
        row_groups=tuple(group[0] for group in groups),
        files=tuple(File(path.relative_to(folder).as_posix(), path.stat().st_size) for path in paths),
        schema={field.name: str(field.type) for field in pq.read_schema(paths[0])},
        first=contents.first,
        last=contents.last,
        created_at=created_at.isoformat(),
        left_out=dict(contents.left_out),
    )


def _group_number(path: Path) -> int:
    return int(re.fullmatch(r"row_group=(\d+)", path.parent.name).group(1))
