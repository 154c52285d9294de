"""Judging registered versions: evaluate, compare and promote, with what the registry knows of each."""

import dataclasses
import datetime as dt
import json
import statistics
import time
from pathlib import Path

import numpy as np
from pyspark.sql import functions as F

from pagerec_dbx import promotions
from pagerec_dbx.config import parse_time
from pagerec_dbx.errors import SettingError, UsageError
from pagerec_dbx.evaluation.compare import CompareResult, legacy_named
from pagerec_dbx.evaluation.gate import Facts, Verdict, judge
from pagerec_dbx.features.preparation import latest_preparation
from pagerec_dbx.models.export import Ranker
from pagerec_dbx.pipelines.order import OrderKey
from pagerec_dbx.progress import say
from pagerec_dbx.schemas import EVALUATIONS
from pagerec_dbx.stages.compare import compare, stored_comparison
from pagerec_dbx.stages.evaluate import EvaluateResult, evaluate
from pagerec_dbx.stages.ranker_loader import broadcast_ranker
from pagerec_dbx.stages.score import ScoreResult, score
from pagerec_dbx.workbench import Workbench


@dataclasses.dataclass(frozen=True)
class PromoteResult:
    """Whether a version became champion, and every limit's word on it."""

    version: str
    promoted: bool
    reasons: tuple[str, ...]

    def to_text(self) -> str:
        head = f"Version {self.version} is champion." if self.promoted else f"Version {self.version} was not promoted."
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
    figures = {
        f"holdout.{part.protocol}.{name}": value
        for part in (result.menu, *result.others)
        for name, value in {**part.metrics, "pages": part.pages}.items()
    }
    bench.registry.log_metrics(known.version, figures)
    return result


def compare_versions(
    bench: Workbench,
    challenger: str,
    champion: str | None = None,
    legacy: Path | None = None,
    truth: Path | None = None,
) -> CompareResult:
    """Hold a version against a champion (the one that serves, unless named) and every floor, on the latest holdout.

    Whoever was not evaluated on that holdout yet is evaluated first.

    Args:
        truth: LOGS/truth of a simulated world, for those who are evaluated here.
    """
    challenger = bench.registry.resolve(challenger)
    serving = _serving(bench)
    against = bench.registry.resolve(champion) if champion else serving
    holdout = latest_preparation(bench.tables).holdout
    for version in (challenger, against):
        if version is not None and not _is_evaluated(bench, version, holdout):
            say(f"  version {version} is evaluated on the latest holdout first")
            evaluate_version(bench, version, truth)
    result = compare(bench.tables, challenger, against, holdout, legacy, bench.settings.judge, bench.now())
    bench.registry.log_metrics(challenger, legacy_named(result))
    return result


def promote_version(bench: Workbench, version: str) -> PromoteResult:
    """Judge a version against the champion that serves now, and promote it if every limit is kept."""
    verdict = judge_version(bench, version)
    decision = bench.registry.promote(bench.tables, verdict, bench.now())
    return PromoteResult(decision.version, decision.promoted, decision.reasons)


def judge_version(bench: Workbench, version: str) -> Verdict:
    """The verdict on a version as things stand now, by its stored comparison if there is one; nothing is promoted."""
    registry = bench.registry
    champion = _serving(bench)
    holdout = latest_preparation(bench.tables).holdout
    stored = stored_comparison(bench.tables, registry.resolve(version), champion, holdout)
    comparison = stored or compare_versions(bench, version)
    ranker = registry.load(comparison.challenger)
    facts = Facts(
        holdout=holdout,
        champion=champion,
        rank_latency_ms=rank_latency_ms(ranker),
        signature_unchanged=champion is None
        or registry.signature(champion) == registry.signature(comparison.challenger),
    )
    return judge(comparison, facts, bench.settings.judge)


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
    mine = (F.col("holdout") == holdout) & (F.col("version") == version)
    return not bench.tables.read(EVALUATIONS).where(mine).isEmpty()
