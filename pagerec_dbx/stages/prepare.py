"""The stage `prepare`: labelled page views -> examples, vocabularies, and a snapshot of each part."""

import dataclasses
import datetime as dt
import hashlib
import json
import math
from collections.abc import Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pagerec_dbx import schemas
from pagerec_dbx.config import PrepareSettings
from pagerec_dbx.features.encoding import Lengths
from pagerec_dbx.features.examples import Renewed, renew_examples
from pagerec_dbx.features.leases import remove_old_snapshots
from pagerec_dbx.features.parts import Part, require_no_overlap, summarise, with_left_out
from pagerec_dbx.features.preparation import Preparation, store_preparation
from pagerec_dbx.features.publishing import MOST_GROUP_RECORDS, Contents, publish
from pagerec_dbx.features.snapshot import Snapshot
from pagerec_dbx.features.vocabulary import (
    DEVICES,
    LOCATIONS,
    MAX_CONTEXTS,
    ROWS,
    TITLES,
    Vocabulary,
    count_tokens,
    store_vocabulary,
    with_catalogue,
)
from pagerec_dbx.pipelines.cuts import HOLDOUT, SPLITS, TRAIN, VALIDATION, find_cuts, keep_split, with_split
from pagerec_dbx.pipelines.gold import SplitCounts, count_splits
from pagerec_dbx.pipelines.order import Cuts
from pagerec_dbx.progress import watch_spark
from pagerec_dbx.schemas import EXAMPLES, LABELLED_PAGE_VIEWS
from pagerec_dbx.stages.stopped_runs import snapshots_to_go_on
from pagerec_dbx.tables import Tables


@dataclasses.dataclass(frozen=True)
class PrepareResult:
    """What `pagerec prepare` answers."""

    preparation_id: str
    vocabulary_version: int
    titles: int  # entries of the vocabularies, padding and unknown included
    rows: int
    validation_from: str  # when the first page view of the part was served, ISO 8601
    holdout_from: str
    counts: Mapping[str, int]  # per part: page views, those with a click, records of the snapshot, those left out
    snapshots: Mapping[str, str]  # part -> folder name
    days_rewritten: int  # of `examples`
    snapshots_removed: tuple[str, ...]  # by age


@dataclasses.dataclass(frozen=True)
class _Basis:
    """What the snapshots of one run are made of."""

    labelled_table: str  # Delta's id
    labelled_version: int
    examples: Renewed
    cuts: Cuts
    vocabulary: Vocabulary


def prepare(tables: Tables, settings: PrepareSettings, now: dt.datetime) -> PrepareResult:
    """Examples, vocabularies and the three snapshots of the labelled page views as they are now.

    Raises:
        MissingTableError: `join` has not run. UnfinishedTableError: it was killed while it rewrote days.
        NoExamplesError: a part is empty, has no click, or has fewer examples than row groups.
        LeakageError: a history knows what was watched at or after its page view, or the parts overlap.
    """
    with watch_spark(tables.spark, "prepare"):
        version = tables.version(LABELLED_PAGE_VIEWS)
        labelled = tables.read(LABELLED_PAGE_VIEWS, version)
        cuts = find_cuts(labelled, settings)
        split_counts = count_splits(labelled, cuts)
        vocabulary = _vocabulary(tables, labelled, cuts, settings)
        renewed = renew_examples(tables, labelled, version, settings.history_length, settings.shown_length)
        basis = _Basis(tables.identity(LABELLED_PAGE_VIEWS), version, renewed, cuts, vocabulary)
        snapshots = _snapshots(tables, basis, settings, now)
        preparation = _preparation(basis, snapshots, _counts(split_counts, snapshots), settings, now)
        store_preparation(tables, preparation)
        needed = {preparation.folder_name(split) for split in SPLITS}
        needed |= snapshots_to_go_on(tables, now)
        removed = remove_old_snapshots(tables.home.snapshots, needed, now, settings.snapshot_days)
    return _result(preparation, renewed, removed)


def _vocabulary(tables: Tables, labelled: DataFrame, cuts: Cuts, settings: PrepareSettings) -> Vocabulary:
    limits = {TITLES: settings.max_titles, ROWS: settings.max_rows, DEVICES: MAX_CONTEXTS, LOCATIONS: MAX_CONTEXTS}
    training = keep_split(labelled, cuts, TRAIN)
    counted = count_tokens(training, limits, settings.min_count)
    if settings.catalogue:
        catalogue = {TITLES: (schemas.TITLES, "title_id"), ROWS: (schemas.ROWS, "row_id")}
        known = {
            kind: tables.read(table).select(key).where(F.col(key) != "")
            for kind, (table, key) in catalogue.items()
            if tables.exists(table)
        }
        counted = with_catalogue(counted, known, limits)
    return store_vocabulary(tables, counted, limits)


def _snapshots(tables: Tables, basis: _Basis, settings: PrepareSettings, now: dt.datetime) -> dict[str, Snapshot]:
    """Each part's snapshot, found or written."""
    examples = tables.read(EXAMPLES, basis.examples.version)
    parts = require_no_overlap(summarise(_marked(with_split(examples, basis.cuts), settings)))
    contents = {split: _contents(basis, split, part, settings) for split, part in parts.items()}
    snapshots = {}
    for split, content in contents.items():
        kept = _marked(keep_split(examples, basis.cuts, split), settings).where("left_out IS NULL")
        snapshots[split] = publish(kept, content, tables.home.snapshots, now)
    return snapshots


def _marked(examples: DataFrame, settings: PrepareSettings) -> DataFrame:
    return with_left_out(examples, settings.menu_length, settings.max_examples_per_viewer_day)


def _contents(basis: _Basis, split: str, part: Part, settings: PrepareSettings) -> Contents:
    """What a part's snapshot holds: training and validation laid out for ranks, the holdout with whole menus."""
    menu_length = part.longest_menu if split == HOLDOUT else settings.menu_length
    return Contents(
        split=split,
        table=EXAMPLES.name,
        table_id=basis.examples.table,
        table_version=basis.examples.version,
        vocabulary=basis.vocabulary,
        cuts=basis.cuts,
        lengths=Lengths(settings.history_length, menu_length, settings.shown_length),
        viewer_day_cap=None if split == HOLDOUT else settings.max_examples_per_viewer_day,
        bucket_counts=part.bucket_counts,
        groups=min(settings.row_groups, part.records) if split == HOLDOUT else _groups_of(part.records, settings),
        first=part.first,
        last=part.last,
        left_out=part.left_out,
        command=settings.as_command(),
    )


def _groups_of(records: int, settings: PrepareSettings) -> int:
    """Readers hold a few row groups in memory, so these stay small however many records there are."""
    return settings.row_groups * max(1, math.ceil(records / (settings.row_groups * MOST_GROUP_RECORDS)))


def _counts(split_counts: Mapping[str, SplitCounts], snapshots: Mapping[str, Snapshot]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for split in SPLITS:
        manifest = snapshots[split].manifest
        counts |= {
            f"{split}_page_views": split_counts[split].page_views,
            f"{split}_clicked": split_counts[split].clicked,
            f"{split}_records": manifest.records,
            f"{split}_left_out": sum(manifest.left_out.values()),
        }
        reasons = {f"{split}_left_out_{reason}": count for reason, count in manifest.left_out.items()}
        counts |= reasons if len(reasons) > 1 else {}
    return counts


def _preparation(
    basis: _Basis,
    snapshots: Mapping[str, Snapshot],
    counts: Mapping[str, int],
    settings: PrepareSettings,
    now: dt.datetime,
) -> Preparation:
    names = {split: snapshots[split].manifest.name for split in SPLITS}
    identity = json.dumps([names, basis.labelled_version], sort_keys=True)
    vocabulary = basis.vocabulary
    return Preparation(
        preparation_id=hashlib.sha256(identity.encode("utf-8")).hexdigest()[:16],
        prepared_at=now,
        labelled_table=basis.labelled_table,
        labelled_version=basis.labelled_version,
        examples_table=basis.examples.table,
        examples_version=basis.examples.version,
        vocabulary_version=vocabulary.version,
        title_count=vocabulary.size(TITLES),
        row_count=vocabulary.size(ROWS),
        device_count=vocabulary.size(DEVICES),
        location_count=vocabulary.size(LOCATIONS),
        history_length=settings.history_length,
        menu_length=settings.menu_length,
        shown_length=settings.shown_length,
        cuts=basis.cuts,
        train_snapshot=names[TRAIN],
        validation_snapshot=names[VALIDATION],
        holdout_snapshot=names[HOLDOUT],
        counts=counts,
    )


def _result(preparation: Preparation, renewed: Renewed, removed: list[str]) -> PrepareResult:
    return PrepareResult(
        preparation_id=preparation.preparation_id,
        vocabulary_version=preparation.vocabulary_version,
        titles=preparation.title_count,
        rows=preparation.row_count,
        validation_from=preparation.cuts.validation.served_at.isoformat(),
        holdout_from=preparation.cuts.holdout.served_at.isoformat(),
        counts=preparation.counts,
        snapshots={split: preparation.folder_name(split) for split in SPLITS},
        days_rewritten=len(renewed.days),
        snapshots_removed=tuple(removed),
    )
