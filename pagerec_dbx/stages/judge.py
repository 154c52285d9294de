"""Measuring registered versions and holding them against others, with what the registry knows of each."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pyspark.sql import functions as F

from pagerec_dbx import promotions
from pagerec_dbx.errors import UsageError
from pagerec_dbx.evaluation.baselines import FLOORS, POPULARITY
from pagerec_dbx.evaluation.compare import legacy_named
from pagerec_dbx.evaluation.comparison import CompareResult
from pagerec_dbx.evaluation.protocols import BASELINE_PREFIX, MENU
from pagerec_dbx.features.preparation import latest_preparation
from pagerec_dbx.progress import say
from pagerec_dbx.schemas import EVALUATIONS
from pagerec_dbx.stages.compare import Sides, compare, renewed_comparison, stored_comparison
from pagerec_dbx.stages.evaluate import EvaluateResult, evaluate
from pagerec_dbx.stages.floor_records import stored_smoothing
from pagerec_dbx.stages.grounds import resolve, retrained_legacy, serving, trained_until
from pagerec_dbx.stages.power import PowerResult, power
from pagerec_dbx.stages.ranker_loader import broadcast_ranker
from pagerec_dbx.stages.report import FromRegistry
from pagerec_dbx.stages.shown_before import require_shown
from pagerec_dbx.workbench import Workbench


def evaluate_version(
    bench: Workbench, version: str, truth: Path | None = None, legacy_batch_size: int | None = None
) -> EvaluateResult:
    """Measure a registered version on the holdout of the latest preparation; its figures go to its run too.

    Raises:
        SnapshotError: the holdout lacks what the version reads, or see `stages.evaluate.evaluate`.
    """
    known = bench.registry.version(resolve(bench, version))
    preparation = latest_preparation(bench.tables)
    load = broadcast_ranker(bench.tables, bench.registry, known.version)
    require_shown(known.version, load.shown_length, preparation)
    result = evaluate(
        bench.tables,
        known.version,
        preparation,
        load,
        trained_until(bench, known.version),
        bench.settings.judge,
        truth,
        legacy_batch_size,
    )
    bench.registry.log_metrics(known.version, _figures(result))
    return result


def known_of(bench: Workbench, version: str | None, others: Sequence[str] = ()) -> FromRegistry:
    """What the registry knows of a version that is reported on, and of those that it was compared with."""
    legacies = [one for one in others if bench.registry.version(one).is_legacy]
    return FromRegistry(
        curves=bench.registry.curves(version) if version else (),
        legacy=legacies[0] if legacies else None,
    )


def _figures(result: EvaluateResult) -> dict[str, float]:
    """What an evaluation found, by names for the run: `holdout.menu.ndcg`, `holdout.menu.floor.popularity.ndcg`, ..."""
    figures: dict[str, float] = {}
    for part in (result.menu, *result.others):
        ceilings = {f"ceiling.{name}": values for name, values in (part.ceilings or {}).items()}
        floors = {name.replace(":", "."): values for name, values in part.floors.items()}
        figures[f"holdout.{part.protocol}.pages"] = part.pages
        for who, values in {"": part.metrics, **floors, **ceilings}.items():
            where = f"holdout.{part.protocol}.{who}".rstrip(".")
            figures |= {f"{where}.{name}": value for name, value in values.items()}
    return figures


def sides_of(bench: Workbench, challenger: str, champion: str | None = None) -> Sides:
    """Who is to be held against whom: the champion is the version that serves unless one is named.

    Raises:
        UsageError: a version is to be held against itself.
        RoleError: the challenger is the retrained legacy.
        UnknownVersionError: the registry holds no such version, or nobody serves.
    """
    serves = serving(bench)
    number = bench.registry.candidate(resolve(bench, challenger))
    against = resolve(bench, champion) if champion else serves
    if champion and against == number:
        raise UsageError(
            f"version {number} cannot be held against itself", got=f"--champion {champion}", fix="Name another one"
        )
    legacy = retrained_legacy(bench)
    if legacy.unfair:
        say(
            f"  version {legacy.unfair}, the retrained legacy, has seen page views of the holdout and is left out; "
            "train it again"
        )
    return Sides(number, against, legacy.fair)


def evaluate_missing(bench: Workbench, sides: Sides, truth: Path | None = None) -> None:
    """Evaluate those who were not yet, on the latest holdout and beside the floors of these settings."""
    holdout = latest_preparation(bench.tables).holdout
    for version in sides.versions:
        if not _is_evaluated(bench, version, holdout):
            say(f"  version {version} is evaluated on the latest holdout first")
            evaluate_version(bench, version, truth)


def compare_evaluated(bench: Workbench, sides: Sides, legacy: Path | None = None) -> CompareResult:
    """The comparison of sides that were evaluated; it is stored, and goes to the challenger's run."""
    holdout = latest_preparation(bench.tables).holdout
    result = compare(bench.tables, sides, holdout, legacy, bench.settings.judge, bench.now())
    _log_comparison(bench, result, legacy)
    return result


def comparison_of_now(bench: Workbench, sides: Sides) -> CompareResult:
    """The stored comparison, made anew where evaluations or settings have changed since, or where there is none."""
    stored = stored_comparison(bench.tables, sides, latest_preparation(bench.tables).holdout)
    if stored is None:
        return compare_evaluated(bench, sides)
    renewed = renewed_comparison(bench.tables, stored, sides, bench.settings.judge, bench.now())
    if renewed is not stored:
        say(f"  the comparison of version {sides.challenger} was out of date and is made anew")
        _log_comparison(bench, renewed, legacy=None)
    return renewed


def _log_comparison(bench: Workbench, result: CompareResult, legacy: Path | None) -> None:
    """The comparison with its intervals as JSON, the legacy's file beside it, and the figures under its names."""
    folder = f"comparisons/{result.comparison_id}"
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "comparison.json")
        file.write_text(json.dumps(result.to_json(), indent=1) + "\n", encoding="utf-8")
        bench.registry.log_file(result.challenger, file, folder)
    if legacy is not None:
        bench.registry.log_file(result.challenger, legacy, folder)
    bench.registry.log_metrics(result.challenger, legacy_named(result))


def power_of(bench: Workbench, gain: float, challenger: str, baseline: str | None = None) -> PowerResult:
    """How many page views of the latest holdout a verdict on such a gain needs.

    Args:
        baseline: a version, an alias, a floor or a baseline; the champion unless given, popularity where nobody
            serves.
    """
    against = baseline or promotions.serving(bench.tables).champion or POPULARITY
    if against not in FLOORS and not against.startswith(BASELINE_PREFIX):
        against = resolve(bench, against)
    own = resolve(bench, challenger)
    if own == against:  # a version does not differ from itself
        against = POPULARITY
    holdout = latest_preparation(bench.tables).holdout
    return power(bench.tables, own, against, holdout, gain, bench.settings.judge)


def _is_evaluated(bench: Workbench, version: str, holdout: str) -> bool:
    """Whether a version's figures are stored, beside the floors and by the slices that the settings ask for."""
    settings = bench.settings.judge
    if stored_smoothing(bench.tables, holdout) != settings.popularity_smoothing:
        return False
    mine = (F.col("holdout") == holdout) & (F.col("version") == version) & (F.col("protocol") == MENU)
    record = bench.tables.read(EVALUATIONS).where(mine).select("slices").first()
    return record is not None and set(settings.slice_columns) <= {name.partition(": ")[0] for name in record["slices"]}
