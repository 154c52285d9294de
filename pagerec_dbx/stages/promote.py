"""`promote`: the verdict on a version, made where there is none that still holds, and what it decides."""

import dataclasses
import math
import time
from pathlib import Path

import numpy as np
from pyspark.sql import functions as F

from pagerec_dbx.errors import RegistryError
from pagerec_dbx.evaluation.comparison import CompareResult
from pagerec_dbx.evaluation.gate import Facts, Verdict, judge
from pagerec_dbx.evaluation.grounds import Grounds
from pagerec_dbx.evaluation.legacy import read_legacy
from pagerec_dbx.evaluation.protocols import MENU
from pagerec_dbx.evaluation.verdicts import store_verdict, stored_verdict
from pagerec_dbx.features.preparation import Preparation, latest_preparation
from pagerec_dbx.features.snapshot import open_snapshot
from pagerec_dbx.models.export import Ranker
from pagerec_dbx.progress import say
from pagerec_dbx.promotions import AGAIN
from pagerec_dbx.schemas import EVALUATIONS
from pagerec_dbx.stages.calibrate import calibrate
from pagerec_dbx.stages.grounds import grounds_of, resolve, retrained_legacy, serving
from pagerec_dbx.stages.judge import compare_evaluated, comparison_of_now, evaluate_missing, sides_of
from pagerec_dbx.tables import Tables
from pagerec_dbx.workbench import Workbench


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


@dataclasses.dataclass(frozen=True)
class CompareOutcome:
    """A comparison and the verdict on it, None where it was made with somebody who does not serve."""

    comparison: CompareResult
    verdict: Verdict | None

    def to_json(self) -> dict:
        verdict = self.verdict and {"promote": self.verdict.promote, "reasons": list(self.verdict.reasons)}
        return {**self.comparison.to_json(), "verdict": verdict}

    def to_text(self) -> str:
        if self.verdict is None:
            return self.comparison.to_text()
        allowed = "may become champion" if self.verdict.promote else "may not become champion"
        reasons = [f"  {reason}" for reason in self.verdict.reasons]
        return "\n".join([self.comparison.to_text(), f"Verdict: version {self.verdict.version} {allowed}:", *reasons])


def compare_and_judge(
    bench: Workbench,
    challenger: str,
    champion: str | None = None,
    legacy: Path | None = None,
    truth: Path | None = None,
) -> CompareOutcome:
    """The challenger against champion and everybody else; and the verdict, if that champion serves. Both are stored.

    Whoever was not evaluated on the latest holdout yet, or with another popularity floor, is evaluated first. What was
    found goes to the challenger's run too, with the legacy's file as it is.

    Args:
        challenger: number or alias.
        champion: number or alias.
        legacy: JSON of a legacy run.
        truth: LOGS/truth of a simulated world, for whoever is evaluated.

    Raises:
        LegacyFileError: the file is missing or malformed; nothing was evaluated then.
        UsageError: a version is to be held against itself.
        RoleError: the challenger is the retrained legacy.
        UnknownVersionError: the registry holds no such version, or nobody serves.
    """
    if legacy is not None:
        read_legacy(legacy)
    sides = sides_of(bench, challenger, champion)
    evaluate_missing(bench, sides, truth)
    grounds = grounds_of(bench)  # before the figures are read: what changes meanwhile makes the verdict void
    comparison = compare_evaluated(bench, sides, legacy)
    if sides.champion != grounds.champion or sides.challenger == grounds.champion:
        return CompareOutcome(comparison, None)
    return CompareOutcome(comparison, _judge(bench, comparison, grounds))


def promote_version(bench: Workbench, version: str) -> PromoteResult:
    """Promote a version if the verdict on it allows it; the verdict is made first where none still holds.

    Raises:
        RoleError: the version is the retrained legacy.
        RegistryError: another decision came first.
        UnknownVersionError: the registry holds no such version, or nobody serves.
    """
    champion = serving(bench)
    number = bench.registry.candidate(resolve(bench, version))
    if number != champion:  # whose verdict stays the one that it was promoted by
        _renew_verdict(bench, number)
    decision = bench.registry.promote(bench.tables, number, lambda: grounds_of(bench), bench.now())
    already = decision.action == AGAIN
    return PromoteResult(decision.version, decision.promoted, decision.reasons, already_champion=already)


def _renew_verdict(bench: Workbench, number: str) -> None:
    verdict = stored_verdict(bench.tables, number)
    changes = verdict.grounds.changes(grounds_of(bench)) if verdict else ()
    if verdict is None or changes:
        if changes:
            say(f"  the verdict on version {number} is void and is made anew: {'; '.join(changes)}")
        judge_version(bench, number)


def judge_version(bench: Workbench, version: str) -> Verdict:
    """The verdict on a version as things stand now; it is stored, and nobody is promoted.

    A stored comparison is held against the evaluations and settings of now, and made anew where they have changed.

    Raises:
        RegistryError: the version is the champion, whose verdict stays the one that it was promoted by.
        RoleError: the version is the retrained legacy.
        UnknownVersionError: the registry holds no such version, or nobody serves.
    """
    sides = sides_of(bench, version)
    if sides.challenger == sides.champion:
        raise RegistryError(f"version {sides.challenger} is the champion already", fix="Judge another version")
    evaluate_missing(bench, sides)
    grounds = grounds_of(bench)
    return _judge(bench, comparison_of_now(bench, sides), grounds)


def _judge(bench: Workbench, comparison: CompareResult, grounds: Grounds) -> Verdict:
    """The verdict by a comparison that was made on these grounds; it is stored, and nobody is promoted."""
    registry, challenger = bench.registry, comparison.challenger
    # Counted anew: a viewer may have been forgotten since the bins were stored.
    calibration = calibrate(bench.tables, grounds.holdout, challenger)
    facts = Facts(
        grounds=grounds,
        rank_latency_ms=rank_latency_ms(registry.load(challenger)),
        signature_unchanged=grounds.champion is None
        or registry.signature(grounds.champion) == registry.signature(challenger),
        holdout_age_days=holdout_age_days(bench.tables, latest_preparation(bench.tables), grounds.newest_page_view),
        calibration_error=calibration.error,
        calibrated_pairs=calibration.count,
        tied_top=tied_top(bench.tables, grounds.holdout, challenger),
        unfair_legacy=retrained_legacy(bench).unfair,
    )
    verdict = judge(comparison, facts, bench.settings.judge)
    store_verdict(bench.tables, verdict, bench.now())
    return verdict


def tied_top(tables: Tables, holdout: str, version: str) -> float:
    """The share of a version's page views on which several rows share the best score, under the menu protocol."""
    mine = (F.col("holdout") == holdout) & (F.col("version") == version) & (F.col("protocol") == MENU)
    return tables.read(EVALUATIONS).where(mine).agg(F.avg("tied_top")).first()[0]


def holdout_age_days(tables: Tables, preparation: Preparation, newest: int | None) -> float:
    """Days from the last page view of the holdout to `newest_page_view`; NaN where there is none."""
    last = open_snapshot(preparation.folder(tables.home, "holdout")).manifest.last
    return math.nan if newest is None else (newest - last.served_micros) / 86_400e6


def rank_latency_ms(ranker: Ranker, menu: int = 40, repeats: int = 200) -> float:
    """The 99th percentile of the times to rank one page of 40 rows and 20 titles with the exported model, once warm.

    If the model reads what was shown before, all its places are filled.
    Measured in this process, one page after the other; of 200 times it is the second longest.
    """
    page = {
        "history": np.array([[f"title {number}" for number in range(20)]], object),
        "history_age": np.full((1, 20), 60, np.int32),
        "menu": np.array([[f"row {number}" for number in range(menu)]], object),
        "pinned": np.zeros((1, menu), np.int32),
        "hour": np.array([20], np.int32),
        "weekday": np.array([4], np.int32),
        "device": np.array([""], object),
        "location": np.array([""], object),
        **_shown(ranker.config.shown_length),
    }
    ranker.rank(page)
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        ranker.rank(page)
        times.append(1e3 * (time.perf_counter() - started))
    return float(np.percentile(times, 99, method="higher"))


def _shown(length: int) -> dict[str, np.ndarray]:
    """So many rows shown before a page, [1, length] each; nothing for length 0."""
    if not length:
        return {}
    places = np.arange(length, dtype=np.int32)[None]
    return {
        "shown_row": np.array([[f"row {number}" for number in range(length)]], object),
        "shown_position": places + 1,
        "shown_clicked": places % 2,
        "shown_age": places + 60,
    }
