"""What judging stands on as things are now: who serves, whom the legacy may be held against, and which data."""

import dataclasses
import json

from pyspark.sql import functions as F

from pagerec_dbx import promotions
from pagerec_dbx.evaluation.grounds import Grounds, limits_of
from pagerec_dbx.evaluation.protocols import SPLIT
from pagerec_dbx.features.preparation import Preparation, latest_preparation
from pagerec_dbx.features.snapshot import open_snapshot
from pagerec_dbx.pipelines.cuts import HOLDOUT, keep_split
from pagerec_dbx.pipelines.order import OrderKey
from pagerec_dbx.registry.versions import CHAMPION, PREVIOUS
from pagerec_dbx.schemas import EVALUATIONS, LABELLED_PAGE_VIEWS, PAGE_VIEWS
from pagerec_dbx.tables import Tables
from pagerec_dbx.workbench import Workbench


def serving(bench: Workbench) -> str | None:
    """The champion by the table of decisions; aliases and tags are made to agree, should a crash have kept them behind.

    For commands that hold the home's lock.
    """
    return bench.registry.mend(bench.tables).champion


def resolve(bench: Workbench, version: str) -> str:
    """A version's number, of a number or an alias; `champion` and `previous` as the table of decisions has them.

    Nothing is written: an alias that a crash kept behind is not believed, but stays.

    Raises:
        UnknownVersionError: the registry holds no such version, or nobody serves.
    """
    if version not in (CHAMPION, PREVIOUS):
        return bench.registry.resolve(version)
    seen = promotions.serving(bench.tables)
    number = seen.champion if version == CHAMPION else seen.previous
    if number is None:
        raise bench.registry.unknown(version)
    return bench.registry.resolve(number)


def resolve_quickly(bench: Workbench, version: str) -> str:
    """As `resolve`, by the alias and without Spark unless a decision is under way or was cut off.

    Raises:
        UnknownVersionError: the registry holds no such version or alias.
    """
    if version in (CHAMPION, PREVIOUS) and bench.registry.is_deciding():
        return resolve(bench, version)
    return bench.registry.resolve(version)


@dataclasses.dataclass(frozen=True)
class RetrainedLegacy:
    """The legacy's architecture as it was last trained here: one of the two is its version, if it ever was."""

    fair: str | None = None  # it has seen nothing of the latest holdout
    unfair: str | None = None  # it has


def retrained_legacy(bench: Workbench) -> RetrainedLegacy:
    """The retrained legacy, and whether it may be held against on the latest holdout."""
    legacy = bench.registry.legacy()
    if legacy is None:
        return RetrainedLegacy()
    first = open_snapshot(latest_preparation(bench.tables).folder(bench.home, SPLIT)).manifest.first
    if trained_until(bench, legacy).rank < first.rank:
        return RetrainedLegacy(fair=legacy)
    return RetrainedLegacy(unfair=legacy)


def trained_until(bench: Workbench, version: str) -> OrderKey:
    """The last page view that a version was trained or validated on."""
    return OrderKey.from_json(json.loads(bench.registry.version(version).tags["trained_until"]))


def grounds_of(bench: Workbench, seen: promotions.Serving | None = None) -> Grounds:
    """What a verdict made now stands on.

    Args:
        seen: who serves; asked for, and aliases and tags mended, where it is not given.
    """
    tables, preparation = bench.tables, latest_preparation(bench.tables)
    seen = seen or bench.registry.mend(tables)
    return Grounds(
        champion=seen.champion,
        champion_since=seen.changed,
        legacy=None if seen.champion else retrained_legacy(bench).fair,  # where somebody serves, it decides nothing
        holdout=preparation.holdout,
        labelled_version=preparation.labelled_version,
        examples_version=preparation.examples_version,
        evaluations_version=tables.version(EVALUATIONS) if tables.exists(EVALUATIONS) else 0,
        newest_page_view=newest_page_view(tables),
        limits=limits_of(bench.settings.judge),
        relabelled=relabelled(tables, preparation),
    )


def newest_page_view(tables: Tables) -> int | None:
    """When the last page view in the home was served, in microseconds since 1970; None where there is none."""
    return tables.read(PAGE_VIEWS).agg(F.max(F.unix_micros("served_at"))).first()[0]


def relabelled(tables: Tables, preparation: Preparation) -> int:
    """How many page views from the holdout's cut on `join` has labelled otherwise since they were prepared.

    A daily `join` of new days alone changes none of them, and viewers who were forgotten are no change of a label. The
    table is read as the preparation left it, as `evaluate` does, so this is as long possible as that is.
    """
    if tables.version(LABELLED_PAGE_VIEWS) == preparation.labelled_version:
        return 0
    before = keep_split(tables.read(LABELLED_PAGE_VIEWS, preparation.labelled_version), preparation.cuts, HOLDOUT)
    now = tables.read(LABELLED_PAGE_VIEWS).where(F.col("day") >= F.lit(preparation.cuts.holdout.served_at.date()))
    labels = now.select("page_view_id", F.col("clicked").alias("clicked_now"))
    return before.join(labels, "page_view_id", how="inner").where("clicked <> clicked_now").count()
