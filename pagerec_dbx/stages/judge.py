"""Measuring registered versions and holding them against others, with what the registry knows of each."""

import json
import tempfile
from pathlib import Path

from pyspark.sql import functions as F

from pagerec_dbx import promotions
from pagerec_dbx.errors import UsageError
from pagerec_dbx.evaluation.baselines import FLOORS, POPULARITY
from pagerec_dbx.evaluation.compare import legacy_named
from pagerec_dbx.evaluation.comparison import CompareResult
from pagerec_dbx.evaluation.legacy import read_legacy
from pagerec_dbx.evaluation.protocols import BASELINE_PREFIX, MENU, SPLIT
from pagerec_dbx.features.preparation import latest_preparation
from pagerec_dbx.features.snapshot import open_snapshot
from pagerec_dbx.pipelines.order import OrderKey
from pagerec_dbx.progress import say
from pagerec_dbx.schemas import EVALUATIONS
from pagerec_dbx.stages.compare import Sides, compare, renewed_comparison, stored_comparison
from pagerec_dbx.stages.evaluate import EvaluateResult, evaluate
from pagerec_dbx.stages.power import PowerResult, power
from pagerec_dbx.stages.ranker_loader import broadcast_ranker
from pagerec_dbx.stages.report import FromRegistry
from pagerec_dbx.workbench import Workbench

SMOOTHING = "popularity_smoothing"  # tag of the registered model: the holdout judged last, and its floors' smoothing


def evaluate_version(
    bench: Workbench, version: str, truth: Path | None = None, legacy_batch_size: int | None = None
) -> EvaluateResult:
    """Measure a registered version on the holdout of the latest preparation; its figures go to its run too."""
    known = bench.registry.version(version)
    preparation = latest_preparation(bench.tables)
    result = evaluate(
        bench.tables,
        known.version,
        preparation,
        broadcast_ranker(bench.tables, bench.registry, known.version),
        trained_until(bench, known.version),
        bench.settings.judge,
        truth,
        legacy_batch_size,
    )
    bench.registry.log_metrics(known.version, _figures(result))
    bench.registry.tag_model(SMOOTHING, f"{preparation.holdout} {bench.settings.judge.popularity_smoothing:g}")
    return result


def smoothing_of(bench: Workbench, holdout: str) -> str | None:
    """Of the popularity floor that is stored for a holdout; None where another one was judged last."""
    judged, _, smoothing = bench.registry.model_tags().get(SMOOTHING, "").partition(" ")
    return smoothing if judged == holdout else None


def known_of(bench: Workbench, version: str | None, holdout: str | None) -> FromRegistry:
    """What the registry knows of a version that is reported on."""
    return FromRegistry(
        curves=bench.registry.curves(version) if version else (),
        smoothing=smoothing_of(bench, holdout) if holdout else None,
        legacy=bench.registry.legacy(),
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


def compare_versions(
    bench: Workbench,
    challenger: str,
    champion: str | None = None,
    legacy: Path | None = None,
    truth: Path | None = None,
) -> CompareResult:
    """Hold a version against a champion (the one that serves, unless named), the retrained legacy and every floor.

    Whoever was not evaluated on the latest holdout yet, or with another popularity floor, is evaluated first. What was
    found goes to the challenger's run too, with the legacy's file as it is.

    Args:
        truth: LOGS/truth of a simulated world, for those who are evaluated here.

    Raises:
        LegacyFileError: the file is missing or malformed; nothing was evaluated then.
        UsageError: a version is to be held against itself.
    """
    if legacy is not None:
        read_legacy(legacy)
    challenger = bench.registry.resolve(challenger)
    against = bench.registry.resolve(champion) if champion else serving(bench)
    if champion and against == challenger:
        raise UsageError(
            f"version {challenger} cannot be held against itself", got=f"--champion {champion}", fix="Name another one"
        )
    sides = Sides(challenger, against, fair_legacy(bench))
    holdout = latest_preparation(bench.tables).holdout
    for version in sides.versions:
        if not _is_evaluated(bench, version, holdout):
            say(f"  version {version} is evaluated on the latest holdout first")
            evaluate_version(bench, version, truth)
    result = compare(bench.tables, sides, holdout, legacy, bench.settings.judge, bench.now())
    _log_comparison(bench, result, legacy)
    return result


def comparison_of_now(bench: Workbench, version: str, champion: str | None, holdout: str) -> CompareResult:
    """The stored comparison, made anew where evaluations or settings have changed since, or where there is none."""
    sides = Sides(version, champion, fair_legacy(bench))
    stored = stored_comparison(bench.tables, sides, holdout)
    if stored is None or not all(_is_evaluated(bench, one, holdout) for one in sides.versions):
        return compare_versions(bench, version)
    renewed = renewed_comparison(bench.tables, stored, sides, bench.settings.judge, bench.now())
    if renewed is not stored:
        say(f"  the comparison of version {version} was out of date and is made anew")
        _log_comparison(bench, renewed, legacy=None)
    return renewed


def fair_legacy(bench: Workbench) -> str | None:
    """The retrained legacy, if it has seen nothing of the latest holdout; None else."""
    legacy = bench.registry.legacy()
    if legacy is None:
        return None
    first = open_snapshot(latest_preparation(bench.tables).folder(bench.home, SPLIT)).manifest.first
    if trained_until(bench, legacy).rank < first.rank:
        return legacy
    say(f"  version {legacy}, the retrained legacy, has seen page views of the holdout and is left out; train it again")
    return None


def trained_until(bench: Workbench, version: str) -> OrderKey:
    """The last page view that a version was trained or validated on."""
    return OrderKey.from_json(json.loads(bench.registry.version(version).tags["trained_until"]))


def serving(bench: Workbench) -> str | None:
    """The champion by the table of decisions; the aliases are made to agree, should a crash have kept them behind."""
    seen = promotions.serving(bench.tables)
    bench.registry.follow(seen)
    return seen.champion


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
        against = bench.registry.resolve(against)
    own = bench.registry.resolve(challenger)
    if own == against:  # a version does not differ from itself
        against = POPULARITY
    holdout = latest_preparation(bench.tables).holdout
    return power(bench.tables, own, against, holdout, gain, bench.settings.judge)


def _is_evaluated(bench: Workbench, version: str, holdout: str) -> bool:
    """Whether a version's figures are stored, beside the floors and by the slices that the settings ask for."""
    settings = bench.settings.judge
    if not bench.tables.exists(EVALUATIONS) or smoothing_of(bench, holdout) != f"{settings.popularity_smoothing:g}":
        return False
    mine = (F.col("holdout") == holdout) & (F.col("version") == version) & (F.col("protocol") == MENU)
    record = bench.tables.read(EVALUATIONS).where(mine).select("slices").first()
    return record is not None and set(settings.slice_columns) <= {name.partition(": ")[0] for name in record["slices"]}
