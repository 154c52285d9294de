"""The stage `prepare`: labelled page views -> examples, vocabularies, and a snapshot of each part."""

import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Mapping

from pyspark.sql import DataFrame

from pagerec_dbx.config import PrepareSettings
from pagerec_dbx.features.encoding import encode
from pagerec_dbx.features.parts import Part, is_kept, require_no_overlap, summarise
from pagerec_dbx.features.preparation import Preparation, preparations, store_preparation
from pagerec_dbx.features.publishing import HOLDOUT_RECORD, RECORD, Contents, publish
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
)
from pagerec_dbx.pipelines.cuts import HOLDOUT, SPLITS, TRAIN, VALIDATION, find_cuts, with_split
from pagerec_dbx.pipelines.gold import SplitCounts, count_splits, examples_from_labelled
from pagerec_dbx.pipelines.order import Cuts
from pagerec_dbx.progress import watch_spark
from pagerec_dbx.schemas import EXAMPLES, LABELLED_PAGE_VIEWS, PREPARATIONS
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


@dataclasses.dataclass(frozen=True)
class _Source:
    """The versions of the tables that this run reads."""

    labelled_table: str
    labelled_version: int
    examples_table: str
    examples_version: int


def prepare(tables: Tables, settings: PrepareSettings, now: dt.datetime) -> PrepareResult:
    """Examples, vocabularies and the three snapshots of the labelled page views as they are now.

    Raises:
        MissingTableError: `join` has not run.
        NoExamplesError: a part is empty, has no click, or has fewer examples than row groups.
        LeakageError: a history knows what was watched at or after its page view, or the parts overlap.
    """
    with watch_spark(tables.spark, "prepare"):
        version = tables.version(LABELLED_PAGE_VIEWS)
        labelled = tables.read(LABELLED_PAGE_VIEWS, version)
        cuts = find_cuts(labelled, settings)
        split_counts = count_splits(labelled, cuts)
        vocabulary = _vocabulary(tables, labelled, cuts, settings)
        source = _source(tables, labelled, version, settings.history_length)
        examples = with_split(tables.read(EXAMPLES, source.examples_version), cuts)
        parts = require_no_overlap(summarise(examples, settings.menu_length))
        snapshots = {
            split: publish(_records(examples, contents), contents, tables.home.snapshots, now)
            for split, contents in _contents(source, vocabulary, cuts, parts, settings).items()
        }
        counts = _counts(split_counts, snapshots)
        preparation = _preparation(source, vocabulary, cuts, snapshots, counts, settings, now)
        store_preparation(tables, preparation)
    return _result(preparation)


def _vocabulary(tables: Tables, labelled: DataFrame, cuts: Cuts, settings: PrepareSettings) -> Vocabulary:
    limits = {TITLES: settings.max_titles, ROWS: settings.max_rows, DEVICES: MAX_CONTEXTS, LOCATIONS: MAX_CONTEXTS}
    training = with_split(labelled, cuts).where(f"split = '{TRAIN}'")
    return store_vocabulary(tables, count_tokens(training, limits, settings.min_count), limits)


def _source(tables: Tables, labelled: DataFrame, version: int, history_length: int) -> _Source:
    """The version of `examples` made from these page views; they are written only if no earlier run has done so."""
    labelled_table = tables.identity(LABELLED_PAGE_VIEWS)
    tables.create(EXAMPLES)
    examples_table = tables.identity(EXAMPLES)
    if tables.exists(PREPARATIONS):
        same = preparations(
            tables,
            f"labelled_table = '{labelled_table}' AND labelled_version = {version} "
            f"AND examples_table = '{examples_table}' AND history_length = {history_length}",
        )
        if same:
            return _Source(labelled_table, version, examples_table, same[0].examples_version)
    tables.replace(EXAMPLES, examples_from_labelled(labelled, history_length))
    return _Source(labelled_table, version, examples_table, tables.version(EXAMPLES))


def _contents(
    source: _Source, vocabulary: Vocabulary, cuts: Cuts, parts: Mapping[str, Part], settings: PrepareSettings
) -> dict[str, Contents]:
    """What each part's snapshot holds: training and validation laid out for ranks, the holdout with whole menus."""
    return {
        split: Contents(
            split=split,
            table=EXAMPLES.name,
            table_id=source.examples_table,
            table_version=source.examples_version,
            vocabulary=vocabulary,
            cuts=cuts,
            history_length=settings.history_length,
            menu_length=part.longest_menu if split == HOLDOUT else settings.menu_length,
            bucket_counts=part.bucket_counts,
            groups=min(settings.row_groups, part.records) if split == HOLDOUT else settings.row_groups,
            first=part.first,
            last=part.last,
            left_out={"clicks_past_menu": part.left_out},
        )
        for split, part in parts.items()
    }


def _records(examples: DataFrame, contents: Contents) -> DataFrame:
    kept = examples.where(f"split = '{contents.split}'").where(is_kept(contents.menu_length))
    encoded = encode(kept, contents.vocabulary, contents.history_length, contents.menu_length)
    return encoded.select(*(HOLDOUT_RECORD if contents.split == HOLDOUT else RECORD))


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
    return counts


def _preparation(
    source: _Source,
    vocabulary: Vocabulary,
    cuts: Cuts,
    snapshots: Mapping[str, Snapshot],
    counts: Mapping[str, int],
    settings: PrepareSettings,
    now: dt.datetime,
) -> Preparation:
    names = {split: snapshots[split].manifest.name for split in SPLITS}
    identity = json.dumps([names, source.labelled_version], sort_keys=True)
    return Preparation(
        preparation_id=hashlib.sha256(identity.encode("utf-8")).hexdigest()[:16],
        prepared_at=now,
        labelled_table=source.labelled_table,
        labelled_version=source.labelled_version,
        examples_table=source.examples_table,
        examples_version=source.examples_version,
        vocabulary_version=vocabulary.version,
        title_count=vocabulary.size(TITLES),
        row_count=vocabulary.size(ROWS),
        device_count=vocabulary.size(DEVICES),
        location_count=vocabulary.size(LOCATIONS),
        history_length=settings.history_length,
        menu_length=settings.menu_length,
        cuts=cuts,
        train_snapshot=names[TRAIN],
        validation_snapshot=names[VALIDATION],
        holdout_snapshot=names[HOLDOUT],
        counts=counts,
    )


def _result(preparation: Preparation) -> PrepareResult:
    return PrepareResult(
        preparation_id=preparation.preparation_id,
        vocabulary_version=preparation.vocabulary_version,
        titles=preparation.title_count,
        rows=preparation.row_count,
        validation_from=preparation.cuts.validation.served_at.isoformat(),
        holdout_from=preparation.cuts.holdout.served_at.isoformat(),
        counts=preparation.counts,
        snapshots={split: preparation.folder_name(split) for split in SPLITS},
    )
