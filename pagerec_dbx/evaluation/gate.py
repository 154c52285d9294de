"""A comparison and the limits make a verdict; only a verdict can promote."""

import dataclasses

from pagerec_dbx.config import JudgeSettings
from pagerec_dbx.errors import ComparisonError
from pagerec_dbx.evaluation.baselines import FLOORS, POPULARITY
from pagerec_dbx.evaluation.comparison import HERE, CompareResult, ComparisonRow
from pagerec_dbx.evaluation.grounds import Grounds
from pagerec_dbx.evaluation.guarded import no_slice_lost
from pagerec_dbx.evaluation.limit import Limit, counts_of, word
from pagerec_dbx.evaluation.protocols import ALL, MENU
from pagerec_dbx.figures import number, signed


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a verdict needs to know beside the comparison."""

    grounds: Grounds
    rank_latency_ms: float  # the 99th percentile of the times to rank one page with the exported model
    signature_unchanged: bool  # the exported model takes and gives what the champion's does
    holdout_age_days: float  # from the holdout's end to the newest page view in the home
    calibration_error: float  # expected calibration error on the holdout, menu protocol
    calibrated_pairs: int  # (page view, offered row) pairs behind it
    tied_top: float = 0.0  # share of its page views on which several rows share the best score
    unfair_legacy: str | None = None  # the retrained legacy, where it has seen page views of the holdout


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a version may become champion, and why: one reason per limit, passed or failed."""

    version: str
    promote: bool
    reasons: tuple[str, ...]
    comparison_id: str
    metric: str
    grounds: Grounds


def judge(comparison: CompareResult, facts: Facts, settings: JudgeSettings) -> Verdict:
    """Hold a comparison against every limit.

    Raises:
        ComparisonError: the comparison lacks the champion, the retrained legacy where nobody serves, or a floor,
            under the menu protocol.
    """
    metric, grounds = settings.verdict_metric, facts.grounds
    decisive = [_row(comparison, baseline, metric) for baseline in _decisive(comparison.challenger, grounds)]
    limits = [
        _same_holdout(comparison, grounds),
        _same_labels(grounds),
        *_gains(comparison, grounds, decisive, settings),
        *(_floor_beaten(_row(comparison, floor, metric)) for floor in FLOORS),
        *(no_slice_lost(comparison, row, settings) for row in decisive),
        _calibrated(facts, settings.max_calibration_error),
        _fast_enough(facts.rank_latency_ms, settings.max_rank_latency_ms),
        _signature_kept(facts, settings.signature_change_declared),
        _fresh(facts.holdout_age_days, settings.max_holdout_age_days),
        _enough_viewers(decisive[0], settings.alarm_below_effective_viewers),
        _few_ties(facts.tied_top, decisive[0], settings.alarm_above_tied_tops),
        *_legacy_left_out(facts.unfair_legacy),
    ]
    return Verdict(
        version=comparison.challenger,
        promote=all(limit.passed for limit in limits),
        reasons=tuple(limit.reason for limit in limits),
        comparison_id=comparison.comparison_id,
        metric=metric,
        grounds=grounds,
    )


def _row(comparison: CompareResult, baseline: str, metric: str) -> ComparisonRow:
    """The figure measured here, under the menu protocol, over all page views; imported figures never come back."""
    for row in comparison.rows:
        found = (row.baseline, row.protocol, row.metric, row.slice, row.measured)
        if found == (baseline, MENU, metric, ALL, HERE):
            return row
    raise ComparisonError(
        f"comparison {comparison.comparison_id} does not hold version {comparison.challenger} against {baseline}",
        wanted=f"{metric} under the {MENU} protocol",
        fix=f"Run `pagerec compare --challenger {comparison.challenger}` again",
    )


def _same_holdout(comparison: CompareResult, grounds: Grounds) -> Limit:
    others = sorted({row.holdout for row in comparison.rows} - {grounds.holdout})
    if others:
        return Limit(False, f"Failed: compared on {', '.join(others)}, but the current holdout is {grounds.holdout}.")
    return Limit(True, f"Passed: both sides were measured on the current holdout, {grounds.holdout}, ranking the menu.")


def _same_labels(grounds: Grounds) -> Limit:
    """Figures on labels that `join` has changed since say what was true then."""
    if grounds.relabelled == 0:
        return Limit(True, "Passed: the page views of the holdout are labelled as `prepare` found them.")
    return Limit(
        False,
        f"Failed: {grounds.relabelled:,} page views of the holdout {grounds.holdout} are labelled otherwise since "
        "`prepare`. Run `pagerec prepare` and `pagerec evaluate`, then judge again.",
    )


def _gains(comparison: CompareResult, grounds: Grounds, decisive: list[ComparisonRow], settings: JudgeSettings):
    if grounds.champion == comparison.challenger:
        return [Limit(False, f"Failed: version {comparison.challenger} is the champion already.")]
    return [_enough_gain(row, grounds, settings.minimum_gain) for row in decisive]


def _decisive(challenger: str, grounds: Grounds) -> list[str]:
    """Who must be beaten by the minimum gain: the champion; where nobody else serves, the retrained legacy, if there
    is one, and popularity."""
    if grounds.champion not in (None, challenger):
        return [grounds.champion]
    legacy = [] if grounds.legacy in (None, challenger) else [grounds.legacy]
    return [*legacy, POPULARITY]


def _enough_viewers(row: ComparisonRow, alarm_below: float) -> Limit:
    """Says when the interval stands on few viewers, where it is too narrow; an alarm refuses nothing by itself."""
    few = not row.effective_viewers >= alarm_below
    told, compared = ("Alarm", "fewer than") if few else ("Passed", "at least")
    return Limit(
        True,
        f"{told}: the page views say as much as those of {row.effective_viewers:,.0f} viewers of equal activity, "
        f"{compared} {alarm_below:,.0f}{': intervals over so few are too narrow' if few else ''}.",
    )


def _few_ties(tied_top: float, row: ComparisonRow, alarm_above: float) -> Limit:
    """Says when many page views have no best row, as scores that have become equal give no order."""
    many = not tied_top <= alarm_above
    told, compared = ("Alarm", "more than") if many else ("Passed", "at most")
    return Limit(
        True,
        f"{told}: several rows share the best score on {tied_top:.1%} of page views, {compared} {alarm_above:.1%}"
        f"{': scores have collapsed or rows are unknown' if many else ''} ({counts_of(row)}).",
    )


def _legacy_left_out(unfair: str | None) -> list[Limit]:
    if unfair is None:
        return []
    return [
        Limit(
            True,
            f"Alarm: version {unfair}, the retrained legacy, has seen page views of the holdout and was left out; "
            "train it again to hold the version against it.",
        )
    ]


def _enough_gain(row: ComparisonRow, grounds: Grounds, minimum: float) -> Limit:
    name = f"champion {row.baseline}"
    if row.baseline != grounds.champion:
        who = "the popularity floor" if row.baseline == POPULARITY else f"the retrained legacy, version {row.baseline}"
        name = f"{who}, as no champion serves"
    passed = row.lower > minimum
    compared = "lies above" if passed else "does not lie above"
    return Limit(
        passed,
        f"{word(passed)}: {row.metric} gains {signed(row.difference)} over {name}; the lower end of its 95 % interval, "
        f"{signed(row.lower)}, {compared} the minimum gain of {number(minimum)} ({counts_of(row)}).",
    )


def _floor_beaten(row: ComparisonRow) -> Limit:
    passed = row.lower > 0
    outcome = "is beaten" if passed else "is not beaten"
    return Limit(
        passed,
        f"{word(passed)}: {row.baseline} {outcome}: {row.metric} {number(row.value_challenger)} against "
        f"{number(row.value_baseline)}, difference {signed(row.difference)}, 95 % interval {signed(row.lower)} to "
        f"{signed(row.upper)} ({counts_of(row)}).",
    )


def _calibrated(facts: Facts, limit: float) -> Limit:
    passed = facts.calibration_error <= limit  # False for NaN too
    compared = "within" if passed else "not within"
    return Limit(
        passed,
        f"{word(passed)}: the expected calibration error is {number(facts.calibration_error)} over "
        f"{facts.calibrated_pairs:,} pairs of page view and offered row, {compared} the limit of {limit:g}.",
    )


def _fast_enough(measured_ms: float, limit_ms: float) -> Limit:
    passed = measured_ms <= limit_ms  # False for NaN too
    compared = "within" if passed else "not within"
    return Limit(
        passed,
        f"{word(passed)}: 99 % of pages are ranked in {measured_ms:.1f} ms or less, {compared} the limit "
        f"of {limit_ms:g} ms.",
    )


def _signature_kept(facts: Facts, change_declared: bool) -> Limit:
    if facts.signature_unchanged:
        return Limit(True, "Passed: the exported model takes and gives what the champion's does, if anybody serves.")
    if change_declared:
        return Limit(True, "Passed: the exported model's signature changed, as declared.")
    return Limit(False, "Failed: the exported model's signature changed and the change was not declared.")


def _fresh(age_days: float, limit_days: float) -> Limit:
    passed = age_days <= limit_days  # False for NaN too
    compared = "within" if passed else "not within"
    return Limit(
        passed,
        f"{word(passed)}: the holdout ends {age_days:.1f} days before the newest page view, {compared} the limit of "
        f"{limit_days:g} days.",
    )
