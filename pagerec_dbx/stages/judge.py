"""Judging registered versions: evaluate, compare and promote, with what the registry knows of each."""

import dataclasses
import datetime as dt
import json
import math
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from pyspark.sql import functions as F

from pagerec_dbx import promotions
from pagerec_dbx.config import parse_time
from pagerec_dbx.errors import SettingError, UsageError
from pagerec_dbx.evaluation.baselines import FLOORS, POPULARITY
from pagerec_dbx.evaluation.compare import legacy_named
from pagerec_dbx.evaluation.comparison import CompareResult
from pagerec_dbx.evaluation.gate import Facts, Verdict, judge
from pagerec_dbx.evaluation.legacy import read_legacy
from pagerec_dbx.evaluation.protocols import BASELINE_PREFIX
from pagerec_dbx.features.preparation import Preparation, latest_preparation
from pagerec_dbx.features.snapshot import open_snapshot
from pagerec_dbx.models.export import Ranker
from pagerec_dbx.pipelines.order import OrderKey
from pagerec_dbx.progress import say
from pagerec_dbx.schemas import EVALUATIONS, PAGE_VIEWS
from pagerec_dbx.stages.compare import compare, renewed_comparison, stored_comparison
from pagerec_dbx.stages.evaluate import EvaluateResult, evaluate
from pagerec_dbx.stages.power import PowerResult, power
from pagerec_dbx.stages.ranker_loader import broadcast_ranker
from pagerec_dbx.stages.score import ScoreResult, score
from pagerec_dbx.tables import Tables
from pagerec_dbx.workbench import Workbench

SMOOTHING = "popularity_smoothing"  # a tag of the registered model, for each holdout: all versions share its floors


@dataclasses.dataclass(frozen=True)
class PromoteResult:
    """Whether a version became champion, and every limit's word on it."""

    version: str
    promoted: bool
    reasons: tuple[str, ...]

    already_champion: bool = dataclasses.field(default=False, kw_only=True)

    def to_json(self) -> dict:
        return {"version": self.version, "promoted": self.promoted, "reasons": list(self.reasons)}

    def to_text(self) -> str:
        head = f"Version {self.version} is champion." if self.promoted else f"Version {self.version} was not promoted."
        if self.already_champion:
            head = f"Version {self.version} is the champion already; nothing was changed."
        return "\n".join([head, *(f"  {reason}" for reason in self.reasons)])


def evaluate_version(bench: Workbench, version: str, truth: Path | None = None) -> EvaluateResult:
    """Measure a registered version on the holdout of the latest preparation; its figures go to its run too."""
    known = bench.registry.version(version)
    preparation = latest_preparation(bench.tables)
    result = evaluate(
        bench.tables,
        known.version,
        preparation,
        broadcast_ranker(bench.tables, bench.registry, known.version),
        OrderKey.from_json(json.loads(known.tags["trained_until"])),
        bench.settings.judge,
        truth,
    )
    bench.registry.log_metrics(known.version, _figures(result))
    bench.registry.tag_model(f"{SMOOTHING}.{preparation.holdout}", _wanted_beside(bench))
    return result


def smoothing_of(bench: Workbench, holdout: str) -> str | None:
    """Of the popularity floor that is stored for a holdout; None where there is none."""
    stored = _stored_beside(bench, holdout)
    return stored and stored.split()[0]


def _stored_beside(bench: Workbench, holdout: str) -> str | None:
    return bench.registry.model_tags().get(f"{SMOOTHING}.{holdout}")


def _wanted_beside(bench: Workbench) -> str:
    """What the evaluations of a holdout have in common beside it: the floor's smoothing and the columns sliced by."""
    settings = bench.settings.judge
    return " ".join([f"{settings.popularity_smoothing:g}", *settings.slice_columns])


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
    """Hold a version against a champion (the one that serves, unless named) and every floor, on the latest holdout.

    Whoever was not evaluated on that holdout yet, or with another popularity floor, is evaluated first. What was found
    goes to the challenger's run too, with the legacy's file as it is.

    Args:
        truth: LOGS/truth of a simulated world, for those who are evaluated here.

    Raises:
        LegacyFileError: the file is missing or malformed; nothing was evaluated then.
        UsageError: a version is to be held against itself.
    """
    if legacy is not None:
        read_legacy(legacy)
    challenger = bench.registry.resolve(challenger)
    serving = _serving(bench)
    against = bench.registry.resolve(champion) if champion else serving
    if champion and against == challenger:
        raise UsageError(
            f"version {challenger} cannot be held against itself", got=f"--champion {champion}", fix="Name another one"
        )
    holdout = latest_preparation(bench.tables).holdout
    for version in (challenger, against):
        if version is not None and not _is_evaluated(bench, version, holdout):
            say(f"  version {version} is evaluated on the latest holdout first")
            evaluate_version(bench, version, truth)
    result = compare(bench.tables, challenger, against, holdout, legacy, bench.settings.judge, bench.now())
    _log_comparison(bench, result, legacy)
    return result


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


def promote_version(bench: Workbench, version: str) -> PromoteResult:
    """Judge a version against the champion that serves now, and promote it if every limit is kept."""
    verdict = judge_version(bench, version)
    decision = bench.registry.promote(bench.tables, verdict, bench.now())
    already = decision.version == decision.previous_version
    return PromoteResult(decision.version, decision.promoted, decision.reasons, already_champion=already)


def judge_version(bench: Workbench, version: str) -> Verdict:
    """The verdict on a version as things stand now; nothing is promoted.

    A stored comparison is held against the evaluations and settings of now, and made anew where they have changed.
    """
    registry = bench.registry
    champion = _serving(bench)
    preparation = latest_preparation(bench.tables)
    comparison = _comparison_of_now(bench, registry.resolve(version), champion, preparation.holdout)
    ranker = registry.load(comparison.challenger)
    facts = Facts(
        holdout=preparation.holdout,
        champion=champion,
        rank_latency_ms=rank_latency_ms(ranker),
        signature_unchanged=champion is None
        or registry.signature(champion) == registry.signature(comparison.challenger),
        holdout_age_days=holdout_age_days(bench.tables, preparation),
    )
    return judge(comparison, facts, bench.settings.judge)


def _comparison_of_now(bench: Workbench, version: str, champion: str | None, holdout: str) -> CompareResult:
    stored = stored_comparison(bench.tables, version, champion, holdout)
    sides = [one for one in (version, champion) if one is not None]
    if stored is None or not all(_is_evaluated(bench, one, holdout) for one in sides):
        return compare_versions(bench, version)
    renewed = renewed_comparison(bench.tables, stored, champion, bench.settings.judge, bench.now())
    if renewed is not stored:
        say(f"  the comparison of version {version} was out of date and is made anew")
        _log_comparison(bench, renewed, legacy=None)
    return renewed


def holdout_age_days(tables: Tables, preparation: Preparation) -> float:
    """Days from the last page view of the holdout to the newest page view in the home."""
    last = open_snapshot(preparation.folder(tables.home, "holdout")).manifest.last
    newest = tables.read(PAGE_VIEWS).agg(F.max(F.unix_micros("served_at"))).first()[0]
    return math.nan if newest is None else (newest - last.served_micros) / 86_400e6


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


def _serving(bench: Workbench) -> str | None:
    """The champion by the table of decisions; the aliases are made to agree, should a crash have kept them behind."""
    seen = promotions.serving(bench.tables)
    bench.registry.follow(seen)
    return seen.champion


def score_version(bench: Workbench, version: str, from_: str | None = None, to: str | None = None) -> ScoreResult:
    """Rank stored page views with a registered version.

    Args:
        from_: ISO 8601 time of the first page view; None for no limit.
        to: ISO 8601 time before which page views are ranked; None for no limit.

    Raises:
        UsageError: no such time, or an empty range.
        UnknownVersionError: no such version, or nobody serves.
    """
    times = [None if text is None else _moment(name, text) for name, text in (("--from", from_), ("--to", to))]
    _serving(bench)
    load = broadcast_ranker(bench.tables, bench.registry, version)
    return score(bench.tables, load.version, load, *times)


def _moment(name: str, text: str) -> dt.datetime:
    try:
        return parse_time(name, text)
    except SettingError as error:
        raise UsageError(f"{name} is no time", wanted=error.wanted, got=error.got) from error


def rank_latency_ms(ranker: Ranker, menu: int = 40, repeats: int = 50) -> float:
    """Median time to rank one page of 40 rows and 20 titles with the exported model, in this process, once warm."""
    page = {
        "history": np.array([[f"title {number}" for number in range(20)]], object),
        "history_age": np.full((1, 20), 60, np.int32),
        "menu": np.array([[f"row {number}" for number in range(menu)]], object),
        "hour": np.array([20], np.int32),
        "weekday": np.array([4], np.int32),
        "device": np.array([""], object),
        "location": np.array([""], object),
    }
    ranker.rank(page)
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        ranker.rank(page)
        times.append(1e3 * (time.perf_counter() - started))
    return statistics.median(times)


def _is_evaluated(bench: Workbench, version: str, holdout: str) -> bool:
    if not bench.tables.exists(EVALUATIONS):
        return False
    if _stored_beside(bench, holdout) != _wanted_beside(bench):  # other floors beside it, or other slices
        return False
    mine = (F.col("holdout") == holdout) & (F.col("version") == version)
    return not bench.tables.read(EVALUATIONS).where(mine).isEmpty()
