"""A comparison and the limits make a verdict; only a verdict can promote."""

import dataclasses
import json

from pagerec_dbx.config import JudgeSettings
from pagerec_dbx.errors import ComparisonError
from pagerec_dbx.evaluation.baselines import FLOORS, POPULARITY
from pagerec_dbx.evaluation.comparison import HERE, CompareResult, ComparisonRow
from pagerec_dbx.evaluation.multiplicity import below, holm
from pagerec_dbx.evaluation.power import normal_width
from pagerec_dbx.evaluation.protocols import ALL, MENU

_FALSE = 0.05  # the chance of refusing for a slice that does not lose too much


@dataclasses.dataclass(frozen=True)
class Grounds:
    """What a verdict stands on; when any of it changes, the verdict is void."""

    champion: str | None  # the version that serves, None for nobody
    legacy: str | None  # the legacy's architecture as it was last trained here, None if it never was
    holdout: str  # name of the newest preparation's holdout snapshot
    labelled_version: int  # Delta versions of the tables that the holdout was made from
    examples_version: int
    evaluations_version: int  # and of the table that holds everybody's figures
    newest_page_view: int | None  # microseconds since 1970, of all page views in the home
    limits: str  # the settings of judging, as JSON

    def changes(self, now: "Grounds") -> tuple[str, ...]:
        """What is different now, in words; nothing where a verdict on these grounds still holds."""
        told = []
        for field in dataclasses.fields(self):
            before, after = getattr(self, field.name), getattr(now, field.name)
            if before != after and field.name == "limits":
                told += _changed_limits(json.loads(before), json.loads(after))
            elif before != after:
                told.append(f"{field.name.replace('_', ' ')} was {before} and is {after}")
        return tuple(told)


def _changed_limits(before: dict, after: dict) -> list[str]:
    names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return [f"setting {name} was {before.get(name)} and is {after.get(name)}" for name in names]


def limits_of(settings: JudgeSettings) -> str:
    """The settings of judging as JSON, the same text for the same settings."""
    return json.dumps(dataclasses.asdict(settings), sort_keys=True)


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a verdict needs to know beside the comparison."""

    grounds: Grounds
    rank_latency_ms: float  # the 99th percentile of the times to rank one page with the exported model
    signature_unchanged: bool  # the exported model takes and gives what the champion's does
    holdout_age_days: float  # from the holdout's end to the newest page view in the home
    calibration_error: float  # expected calibration error on the holdout, menu protocol
    calibrated_pairs: int  # (page view, offered row) pairs behind it


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a version may become champion, and why: one reason per limit, passed or failed."""

    version: str
    promote: bool
    reasons: tuple[str, ...]
    comparison_id: str
    metric: str
    grounds: Grounds


@dataclasses.dataclass(frozen=True)
class _Limit:
    passed: bool
    reason: str


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
        *_gains(comparison, grounds, decisive, settings),
        *(_floor_beaten(_row(comparison, floor, metric)) for floor in FLOORS),
        *(_no_slice_lost(comparison, row, settings) for row in decisive),
        _calibrated(facts, settings.max_calibration_error),
        _fast_enough(facts.rank_latency_ms, settings.max_rank_latency_ms),
        _signature_kept(facts, settings.signature_change_declared),
        _fresh(facts.holdout_age_days, settings.max_holdout_age_days),
        _enough_viewers(decisive[0], settings.alarm_below_effective_viewers),
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


def _same_holdout(comparison: CompareResult, grounds: Grounds) -> _Limit:
    others = sorted({row.holdout for row in comparison.rows} - {grounds.holdout})
    if others:
        return _Limit(False, f"Failed: compared on {', '.join(others)}, but the current holdout is {grounds.holdout}.")
    return _Limit(
        True, f"Passed: both sides were measured on the current holdout, {grounds.holdout}, ranking the menu."
    )


def _gains(comparison: CompareResult, grounds: Grounds, decisive: list[ComparisonRow], settings: JudgeSettings):
    if grounds.champion == comparison.challenger:
        return [_Limit(False, f"Failed: version {comparison.challenger} is the champion already.")]
    return [_enough_gain(row, grounds, settings.minimum_gain) for row in decisive]


def _decisive(challenger: str, grounds: Grounds) -> list[str]:
    """Who must be beaten by the minimum gain: the champion; where nobody else serves, the retrained legacy, if there
    is one, and popularity."""
    if grounds.champion not in (None, challenger):
        return [grounds.champion]
    legacy = [] if grounds.legacy in (None, challenger) else [grounds.legacy]
    return [*legacy, POPULARITY]


def _no_slice_lost(comparison: CompareResult, decisive: ComparisonRow, settings: JudgeSettings) -> _Limit:
    """No guarded slice is worse than allowed, beyond what chance explains over all of them (Holm, one-sided)."""
    guarded = [
        row
        for row in comparison.rows
        if row.slice.partition(": ")[0] in settings.guarded_slices
        and (row.baseline, row.protocol, row.metric, row.measured) == (decisive.baseline, MENU, decisive.metric, HERE)
    ]
    errors = [(row.upper - row.lower) / normal_width(2.0) for row in guarded]
    beyond = [row.difference + settings.max_slice_loss for row in guarded]
    chances = holm([below(loss, error) for loss, error in zip(beyond, errors, strict=True)])
    found = [row for row, chance in zip(guarded, chances, strict=True) if chance < _FALSE]
    lost = [f"{row.slice} {row.difference:+.4f}" for row in found]
    names, allowed = ", ".join(settings.guarded_slices) or "none", f"{settings.max_slice_loss:g} {decisive.metric}"
    unseen = [name for name in settings.guarded_slices if name not in {row.slice.partition(": ")[0] for row in guarded}]
    if lost:
        return _Limit(False, f"Failed: loses more than {allowed} against {decisive.baseline} in {'; '.join(lost)}.")
    if unseen:
        return _Limit(
            True,
            f"Alarm: of {' and '.join(unseen)} no slice of at least {settings.least_slice_page_views:,} page views was "
            f"compared with {decisive.baseline}, so that no loss in them can be shown.",
        )
    return _Limit(
        True,
        f"Passed: in none of {len(guarded)} guarded slices ({names}) is a loss of more than {allowed} against "
        f"{decisive.baseline} shown.",
    )


def _enough_viewers(row: ComparisonRow, alarm_below: float) -> _Limit:
    """Says when the interval stands on few viewers, where it is too narrow; an alarm refuses nothing by itself."""
    few = not row.effective_viewers >= alarm_below
    word, compared = ("Alarm", "fewer than") if few else ("Passed", "at least")
    return _Limit(
        True,
        f"{word}: the page views say as much as those of {row.effective_viewers:,.0f} viewers of equal activity, "
        f"{compared} {alarm_below:,.0f}{': intervals over so few are too narrow' if few else ''}.",
    )


def _enough_gain(row: ComparisonRow, grounds: Grounds, minimum: float) -> _Limit:
    name = f"champion {row.baseline}"
    if row.baseline != grounds.champion:
        who = "the popularity floor" if row.baseline == POPULARITY else f"the retrained legacy, version {row.baseline}"
        name = f"{who}, as no champion serves"
    passed = row.lower > minimum
    compared = "lies above" if passed else "does not lie above"
    return _Limit(
        passed,
        f"{_word(passed)}: {row.metric} gains {row.difference:+.4f} over {name}; the lower end of its 95 % interval, "
        f"{row.lower:+.4f}, {compared} the minimum gain of {minimum:.4f} ({row.pages:,} page views of {row.viewers:,} "
        "viewers).",
    )


def _floor_beaten(row: ComparisonRow) -> _Limit:
    passed = row.lower > 0
    outcome = "is beaten" if passed else "is not beaten"
    return _Limit(
        passed,
        f"{_word(passed)}: {row.baseline} {outcome}: {row.metric} {row.value_challenger:.4f} against "
        f"{row.value_baseline:.4f}, difference {row.difference:+.4f}, 95 % interval {row.lower:+.4f} to "
        f"{row.upper:+.4f}.",
    )


def _calibrated(facts: Facts, limit: float) -> _Limit:
    passed = facts.calibration_error <= limit  # False for NaN too
    compared = "within" if passed else "not within"
    return _Limit(
        passed,
        f"{_word(passed)}: the expected calibration error is {facts.calibration_error:.4f} over "
        f"{facts.calibrated_pairs:,} pairs of page view and offered row, {compared} the limit of {limit:g}.",
    )


def _fast_enough(measured_ms: float, limit_ms: float) -> _Limit:
    passed = measured_ms <= limit_ms  # False for NaN too
    compared = "within" if passed else "not within"
    return _Limit(
        passed,
        f"{_word(passed)}: 99 % of pages are ranked in {measured_ms:.1f} ms or less, {compared} the limit "
        f"of {limit_ms:g} ms.",
    )


def _signature_kept(facts: Facts, change_declared: bool) -> _Limit:
    if facts.signature_unchanged:
        return _Limit(True, "Passed: the exported model's signature is unchanged.")
    if change_declared:
        return _Limit(True, "Passed: the exported model's signature changed, as declared.")
    return _Limit(False, "Failed: the exported model's signature changed and the change was not declared.")


def _fresh(age_days: float, limit_days: float) -> _Limit:
    passed = age_days <= limit_days  # False for NaN too
    compared = "within" if passed else "not within"
    return _Limit(
        passed,
        f"{_word(passed)}: the holdout ends {age_days:.1f} days before the newest page view, {compared} the limit of "
        f"{limit_days:g} days.",
    )


def _word(passed: bool) -> str:
    return "Passed" if passed else "Failed"
