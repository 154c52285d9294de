"""Writes snapshots: equal row groups, shuffled by a hash, published by a manifest that is written last."""

import dataclasses
import datetime as dt
import functools
import hashlib
import itertools
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.errors import NoExamplesError, SnapshotError
from pagerec_dbx.features.encoding import Lengths, encode, encode_packed, packing_of
from pagerec_dbx.features.leases import LEASES, MANIFEST
from pagerec_dbx.features.packing import IDS, RECORDS, blocks_of
from pagerec_dbx.features.packing import ROWS as PACKED
from pagerec_dbx.features.row_groups import group_starts, row_group_of, shuffle_hash
from pagerec_dbx.features.snapshot import (
    FORMAT,
    File,
    Manifest,
    Snapshot,
    open_snapshot,
    require_undamaged,
    row_groups_of,
    sha256_of,
)
from pagerec_dbx.features.viewer_snapshots import remove_unread
from pagerec_dbx.features.vocabulary import DEVICES, LOCATIONS, ROWS, TITLES, Vocabulary
from pagerec_dbx.home import write_atomically
from pagerec_dbx.pipelines.cuts import HOLDOUT
from pagerec_dbx.pipelines.order import Cuts, OrderKey

ORDER = 5  # raised whenever the same records come in another order or another layout
_ONE_GROUP_BYTES = 512 * 1024 * 1024  # Parquet's row-group limit: far above a group, so that no group is split
# Zstandard's files are shorter by a third, and slower. Spark 3.5.0 knows LZ4 by no other name than this one.
_PACKED_CODEC = "lz4raw"
_HOLDOUT_ALSO = ("user_hash",)  # what only the holdout's records have
_GROUP = "row_group"
MOST_GROUP_RECORDS = 65_536  # of a training or validation snapshot


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
    lengths: Lengths
    viewer_day_cap: int | None
    bucket_counts: Mapping[int, int]  # records by hash bucket
    groups: int  # row groups
    first: OrderKey
    last: OrderKey
    left_out: Mapping[str, int]
    command: str  # that makes it; told where the snapshot turns out to be damaged, no part of what makes two equal

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
    def packed(self) -> bool:
        """Whether ranks will stream it; the holdout is read by Spark, record by record."""
        return self.split != HOLDOUT

    @property
    def name(self) -> str:
        """The folder's name; equal contents have equal names."""
        facts = [
            FORMAT, ORDER, self.split, self.table_id, self.table_version, self.vocabulary.version,
            self.vocabulary.sizes, self.cuts.validation.as_json(), self.cuts.holdout.as_json(),
            dataclasses.astuple(self.lengths), self.viewer_day_cap, sorted(self.bucket_counts.items()), self.groups,
            self.first.as_json(), self.last.as_json(), sorted(self.left_out.items()),
        ]  # fmt: skip
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode("utf-8")).hexdigest()
        return f"{self.split}-v{self.table_version}-{digest[:16]}"


def publish(examples: DataFrame, contents: Contents, root: Path, created_at: dt.datetime) -> Snapshot:
    """The snapshot of these contents: the one that exists if it is complete, else a new one.

    Args:
        examples: those of this part that are kept; evaluated only if they are written.
        root: the folder of all snapshots.

    Raises:
        SnapshotError: what was written is not what was asked for; or the one that exists is damaged and being read.
    """
    folder = root / contents.name
    if (folder / MANIFEST).exists():
        try:
            found = open_snapshot(folder)
            require_undamaged(found, range(len(found.paths)))
            return found
        except SnapshotError:
            remove_unread([folder], created_at)
    if folder.exists():
        shutil.rmtree(folder)  # a run was killed while it wrote this
    (root / LEASES).mkdir(parents=True, exist_ok=True)  # so that who only reads leaves nothing behind
    _write_files(examples, contents, folder)
    manifest = _manifest(folder, contents, created_at)
    write_atomically(folder / MANIFEST, manifest.to_json())
    return open_snapshot(folder)


def _write_files(examples: DataFrame, contents: Contents, folder: Path) -> None:
    """One file a row group, in subfolders row_group=0, 1, ...: a file is then one row group and no list is ragged.

    The records are shuffled once, encoded, when a token has become four bytes.
    """
    starts = group_starts(examples, contents.bucket_counts, contents.groups)
    if contents.packed:
        records = encode_packed(examples, contents.vocabulary, contents.lengths)
    else:
        records = encode(examples, contents.vocabulary, contents.lengths, _HOLDOUT_ALSO)
    ordered = (
        records.withColumn("shuffled", shuffle_hash())
        .withColumn(_GROUP, row_group_of(F.col("shuffled"), starts))
        .repartition(_GROUP)
        .sortWithinPartitions(_GROUP, "shuffled")
        .drop("shuffled")
    )
    if contents.packed:
        schema = f"`{_GROUP}` int, `{RECORDS}` int, `{IDS}` binary, `{PACKED}` binary"
        ordered = ordered.mapInArrow(functools.partial(blocks_of, group=_GROUP), schema)
    (
        ordered.write.mode("overwrite")
        .option("parquet.block.size", _ONE_GROUP_BYTES)
        .option("maxRecordsPerFile", 0)
        .option("compression", _PACKED_CODEC if contents.packed else "snappy")
        .partitionBy(_GROUP)
        .parquet(str(folder))
    )


def _manifest(folder: Path, contents: Contents, created_at: dt.datetime) -> Manifest:
    paths = sorted(folder.glob("row_group=*/*.parquet"), key=_group_number)
    groups = [row_groups_of(path, contents.packed) for path in paths]
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
        history_length=contents.lengths.history,
        menu_length=contents.lengths.menu,
        shown_length=contents.lengths.shown,
        records=contents.records,
        row_groups=tuple(group[0] for group in groups),
        files=tuple(File(path.relative_to(folder).as_posix(), path.stat().st_size, sha256_of(path)) for path in paths),
        packed=contents.packed,
        schema=_schema(contents, paths[0]),
        first=contents.first,
        last=contents.last,
        created_at=created_at.isoformat(),
        left_out=dict(contents.left_out),
        command=contents.command,
    )


def _schema(contents: Contents, path: Path) -> dict[str, str]:
    if contents.packed:
        return packing_of(contents.lengths, contents.vocabulary.sizes).as_schema()
    return {field.name: str(field.type) for field in pq.read_schema(path)}


def _group_number(path: Path) -> int:
    return int(re.fullmatch(r"row_group=(\d+)", path.parent.name).group(1))
