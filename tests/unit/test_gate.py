"""The verdict: every limit alone can refuse, and each has its reason."""

import dataclasses
import datetime as dt
import math

import pytest

from pagerec_dbx.config import JudgeSettings
from pagerec_dbx.errors import ComparisonError
from pagerec_dbx.evaluation.baselines import FLOORS, PAGE_ORDER, POPULARITY, RANDOM
from pagerec_dbx.evaluation.comparison import ELSEWHERE, HERE, LEGACY_IMPORTED, CompareResult, ComparisonRow
from pagerec_dbx.evaluation.gate import Facts, Verdict, judge
from pagerec_dbx.evaluation.grounds import Grounds, limits_of
from pagerec_dbx.evaluation.protocols import METRICS

NOW = dt.datetime(2024, 1, 3, tzinfo=dt.UTC)
SETTINGS = JudgeSettings(minimum_gain=0.002, max_rank_latency_ms=50.0)
GROUNDS = Grounds("5", None, "h1", 3, 4, 5, 1_704_300_000_000_000, limits_of(SETTINGS))
FACTS = Facts(
    GROUNDS, rank_latency_ms=4.2, signature_unchanged=True, holdout_age_days=1.5, calibration_error=0.0021,
    calibrated_pairs=25_012,
)  # fmt: skip


def serving(champion, **other):
    """The facts where that version serves."""
    return dataclasses.replace(FACTS, grounds=dataclasses.replace(GROUNDS, champion=champion, **other))


def row(baseline, lower=0.01, **other):
    """Version 7 is better than the baseline, by .02 give or take .01 unless said otherwise."""
    values = {
        "comparison_id": "c1", "holdout": "h1", "challenger": "7", "baseline": baseline, "protocol": "menu",
        "metric": "ndcg", "slice": "all", "value_challenger": 0.7, "value_baseline": 0.7 - lower - 0.01,
        "difference": lower + 0.01, "lower": lower, "upper": lower + 0.02, "pages": 851_002, "viewers": 1_234,
        "effective_viewers": 321.0, "p_adjusted": None, "measured": HERE, "compared_at": NOW,
    }  # fmt: skip
    return ComparisonRow(**values | other)


def comparison(*rows, **changed):
    """A comparison that passes every limit, but for the rows whose baseline is changed."""
    good = {name: row(name) for name in ("5", *FLOORS)}
    good |= {name: row(name, lower) for name, lower in changed.items()}
    return CompareResult("c1", "7", "h1", (*good.values(), *rows))


def failed(verdict):
    return [reason for reason in verdict.reasons if reason.startswith("Failed")]


def test_verdict_promotes_when_every_limit_is_met():
    verdict = judge(comparison(), FACTS, SETTINGS)
    assert verdict == Verdict("7", True, verdict.reasons, "c1", "ndcg", GROUNDS)
    assert len(verdict.reasons) == 13 and failed(verdict) == []
    assert (
        "Passed: ndcg gains +.0200 over champion 5; the lower end of its 95 % interval, +.0100, lies above the "
        "minimum gain of .0020 (menu protocol, holdout: 851,002 page views of 1,234 viewers)."
    ) in verdict.reasons
    assert (
        "Passed: the expected calibration error is .0021 over 25,012 pairs of page view and offered row, within the "
        "limit of 0.03."
    ) in verdict.reasons


@pytest.mark.parametrize(
    ("changed", "facts", "reason"),
    [
        ({"5": 0.002}, {}, "+.0020, does not lie above the minimum gain of .0020"),
        ({RANDOM: 0.0}, {}, "floor:random is not beaten"),
        ({PAGE_ORDER: -0.001}, {}, "floor:page_order is not beaten"),
        ({POPULARITY: 0.0}, {}, "floor:popularity is not beaten"),
        ({}, {"rank_latency_ms": 50.1}, "99 % of pages are ranked in 50.1 ms or less, not within the limit of 50 ms"),
        ({}, {"rank_latency_ms": math.nan}, "not within the limit"),
        ({}, {"signature_unchanged": False}, "signature changed and the change was not declared"),
        ({}, {"holdout_age_days": 7.1}, "ends 7.1 days before the newest page view, not within the limit of 7 days"),
        ({}, {"holdout_age_days": math.nan}, "not within the limit"),
        ({}, {"calibration_error": 0.0301}, "calibration error is .0301 over 25,012 pairs of page view and"),
        (
            {},
            {"calibration_error": math.nan, "calibrated_pairs": 0},
            "over 0 pairs of page view and offered row, not",
        ),
        ({}, {"grounds": dataclasses.replace(GROUNDS, holdout="h2")}, "compared on h1, but the current holdout is h2"),
        (
            {},
            {"grounds": dataclasses.replace(GROUNDS, relabelled=3)},
            "3 page views of the holdout h1 are labelled other",
        ),
    ],
    ids=[
        "gain",
        "random",
        "page order",
        "popularity",
        "latency",
        "latency unknown",
        "signature",
        "age",
        "age unknown",
        "calibration",
        "calibration unknown",
        "holdout",
        "labels",
    ],
)
def test_each_limit_alone_refuses(changed, facts, reason):
    verdict = judge(comparison(**changed), dataclasses.replace(FACTS, **facts), SETTINGS)
    assert not verdict.promote
    (only,) = failed(verdict)
    assert reason in only


def test_where_nobody_serves_the_retrained_legacy_must_be_beaten_too():
    facts = serving(None, legacy="3")
    better = judge(comparison(row("3")), facts, SETTINGS)
    assert better.promote
    assert any("over the retrained legacy, version 3, as no champion serves" in reason for reason in better.reasons)
    verdict = judge(comparison(row("3", 0.002)), facts, SETTINGS)
    (only,) = failed(verdict)
    assert "over the retrained legacy, version 3" in only
    assert judge(comparison(row("3", 0.002)), serving("5", legacy="3"), SETTINGS).promote  # the champion decides
    assert judge(comparison(), serving(None, legacy="7"), SETTINGS).promote  # nobody is held against itself
    with pytest.raises(ComparisonError, match="against 3"):
        judge(comparison(), facts, SETTINGS)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"champion": None}, "champion was 5 and is None"),
        ({"legacy": "3"}, "legacy was None and is 3"),
        ({"holdout": "h2"}, "holdout was h1 and is h2"),
        ({"labelled_version": 9}, "labelled version was 3 and is 9"),
        ({"examples_version": 9}, "examples version was 4 and is 9"),
        ({"evaluations_version": 9}, "evaluations version was 5 and is 9"),
        ({"newest_page_view": None}, "newest page view was 1704300000000000 and is None"),
        ({"champion_since": 9}, "version 5 serves by decision 9, no longer by decision 0"),
        ({"relabelled": 12}, "`join` has labelled 12 page views of the holdout otherwise since `prepare`, not 0"),
        (
            {"limits": limits_of(dataclasses.replace(SETTINGS, minimum_gain=0.01))},
            "setting minimum_gain was 0.002 and is 0.01",
        ),
    ],
)
def test_each_change_of_the_grounds_is_told(changed, told):
    assert GROUNDS.changes(dataclasses.replace(GROUNDS, **changed)) == (told,)
    assert GROUNDS.changes(dataclasses.replace(GROUNDS)) == ()  # the control


def slice_row(name, difference, error, baseline="5"):
    """Of version 7 against 5, with a standard error."""
    width = 1.959964 * error
    ends = {"difference": difference, "upper": difference + width, "p_adjusted": 1.0}
    return row(baseline, difference - width, slice=name, **ends)


@pytest.mark.parametrize(
    ("name", "difference", "error", "promoted"),
    [
        ("device: tv", -0.05, 0.01, False),  # .04 beyond the .01 allowed: 4 standard errors
        ("device: tv", -0.05, 0.04, True),  # 1 standard error
        ("device: tv", -0.009, 0.0001, True),  # worse for certain, but not by more than is allowed
        ("location: be", -0.05, 0.01, True),  # not guarded
    ],
)
def test_a_guarded_slice_that_loses_too_much_refuses(name, difference, error, promoted):
    verdict = judge(comparison(slice_row(name, difference, error)), FACTS, SETTINGS)
    assert verdict.promote == promoted
    if not promoted:
        assert failed(verdict) == [
            "Failed: loses more than 0.01 ndcg against 5 in device: tv -.0500 (851,002 page views of 1,234 viewers); "
            "menu protocol, holdout."
        ]


def test_guarded_slices_are_judged_together_and_only_against_who_decides():
    close = slice_row("device: tv", -0.03, 0.01)  # 2 standard errors beyond what is allowed: p .023
    assert not judge(comparison(close), FACTS, SETTINGS).promote
    others = [slice_row(f"hour: {hour}", 0.0, 0.01) for hour in range(3)]  # times 4 it is .09
    assert judge(comparison(close, *others), FACTS, SETTINGS).promote
    assert judge(comparison(slice_row("device: tv", -0.5, 0.01, RANDOM)), FACTS, SETTINGS).promote
    unguarded = dataclasses.replace(SETTINGS, guarded_slices=())
    assert judge(comparison(slice_row("device: tv", -0.5, 0.01)), FACTS, unguarded).promote


def test_a_guarded_slice_that_was_not_compared_is_an_alarm():
    guarded = dataclasses.replace(SETTINGS, guarded_slices=("device", "hour"))
    verdict = judge(comparison(slice_row("device: tv", 0.01, 0.001)), FACTS, guarded)
    (alarm,) = [reason for reason in verdict.reasons if reason.startswith("Alarm")]
    assert "of hour no slice of at least 100 page views was compared with 5" in alarm
    both = comparison(slice_row("device: tv", 0.01, 0.001), slice_row("hour: 0 to 5", 0.01, 0.001))
    assert not [reason for reason in judge(both, FACTS, guarded).reasons if reason.startswith("Alarm")]


def too_small(name):
    unknown = dict.fromkeys(("difference", "lower", "upper"))
    return dataclasses.replace(row("5", slice=name, pages=41, viewers=12), **unknown)


def test_guarded_slices_too_small_to_compare_refuse_nothing_and_are_counted():
    guarded = dataclasses.replace(SETTINGS, guarded_slices=("device",))
    verdict = judge(comparison(slice_row("device: tv", 0.01, 0.001), too_small("device: phone")), FACTS, guarded)
    (told,) = [reason for reason in verdict.reasons if "guarded slices" in reason]
    assert verdict.promote and told.startswith("Passed: in none of 1 guarded slices")
    assert "; 1 smaller one was not compared" in told
    alone = judge(comparison(too_small("device: phone")), FACTS, guarded)
    assert any("of device no slice of at least 100 page views was compared" in reason for reason in alone.reasons)


def test_few_effective_viewers_are_an_alarm_that_refuses_nothing():
    few = comparison(row("4", effective_viewers=99.6))
    verdict = judge(few, serving("4"), SETTINGS)
    assert verdict.promote
    assert (
        "Alarm: the page views say as much as those of 100 viewers of equal activity, fewer than 100: intervals over "
        "so few are too narrow."
    ) in verdict.reasons
    assert not any("equal activity, fewer" in reason for reason in judge(comparison(), FACTS, SETTINGS).reasons)


def test_a_change_of_the_champion_is_told_once():
    now = dataclasses.replace(GROUNDS, champion="6", champion_since=9)
    assert GROUNDS.changes(now) == ("champion was 5 and is 6",)


def test_every_figure_of_a_reason_says_what_it_was_measured_on():
    sliced = comparison(slice_row("device: tv", 0.01, 0.001), slice_row("hour: 0 to 5", 0.0, 0.001))
    reasons = judge(sliced, FACTS, SETTINGS).reasons
    told = "(menu protocol, holdout: 851,002 page views of 1,234 viewers)."
    assert sum(reason.endswith(told) for reason in reasons) == 5  # the gain, three floors, tied tops
    guarded = dataclasses.replace(SETTINGS, guarded_slices=("device", "hour"))
    (slices,) = (reason for reason in judge(sliced, FACTS, guarded).reasons if "guarded slices" in reason)
    assert slices.endswith("(menu protocol, holdout, the smallest of 851,002 page views of 1,234 viewers).")


def test_collapsed_scores_are_an_alarm_that_refuses_nothing():
    verdict = judge(comparison(), dataclasses.replace(FACTS, tied_top=0.051), SETTINGS)
    assert verdict.promote
    assert (
        "Alarm: several rows share the best score on 5.1% of page views, more than 5.0%: scores have collapsed or rows "
        "are unknown (menu protocol, holdout: 851,002 page views of 1,234 viewers)."
    ) in verdict.reasons
    kept = judge(comparison(), dataclasses.replace(FACTS, tied_top=0.05), SETTINGS).reasons
    assert any(reason.startswith("Passed: several rows share the best score on 5.0%") for reason in kept)


def test_a_legacy_that_has_seen_the_holdout_is_named_among_the_reasons():
    left_out = judge(comparison(), dataclasses.replace(FACTS, unfair_legacy="3"), SETTINGS)
    assert left_out.promote
    assert any("version 3, the retrained legacy, has seen page views of the holdout" in one for one in left_out.reasons)
    assert not any("legacy" in reason for reason in judge(comparison(), FACTS, SETTINGS).reasons)


def test_a_declared_change_of_the_signature_is_allowed():
    facts = dataclasses.replace(FACTS, signature_unchanged=False)
    declared = dataclasses.replace(SETTINGS, signature_change_declared=True)
    assert judge(comparison(), facts, declared).promote
    assert not judge(comparison(), facts, SETTINGS).promote


def test_the_champion_is_not_promoted_again():
    verdict = judge(comparison(), serving("7"), SETTINGS)
    assert failed(verdict) == ["Failed: version 7 is the champion already."]


def test_without_a_champion_popularity_must_be_beaten_by_the_minimum_gain():
    nobody = serving(None)
    assert judge(comparison(), nobody, SETTINGS).promote
    verdict = judge(comparison(**{POPULARITY: 0.002}), nobody, SETTINGS)  # beaten, but not by enough
    assert not verdict.promote
    assert "over the popularity floor, as no champion serves" in failed(verdict)[0]


def test_only_the_verdicts_metric_under_the_menu_protocol_counts():
    worse = [row("5", -0.5, metric=metric) for metric in METRICS if metric != "ndcg"]
    worse += [row(name, -0.5, protocol="vocabulary") for name in ("5", *FLOORS)]
    assert judge(comparison(*worse), FACTS, SETTINGS).promote
    other = dataclasses.replace(SETTINGS, verdict_metric="hit_at_1")
    with pytest.raises(ComparisonError, match="does not hold version 7 against 5: wanted hit_at_1"):
        judge(comparison(), FACTS, other)


def test_imported_figures_are_never_judged_by():
    imported = row(LEGACY_IMPORTED, -0.5, measured=ELSEWHERE, difference=None, upper=None)
    assert judge(comparison(imported), FACTS, SETTINGS).promote
    posing = comparison(row("4", 0.5, measured=ELSEWHERE))  # measured elsewhere, whatever it calls itself
    with pytest.raises(ComparisonError, match="does not hold version 7 against 4"):
        judge(posing, serving("4"), SETTINGS)


def test_a_comparison_without_the_champion_or_a_floor_is_no_ground_for_a_verdict():
    with pytest.raises(ComparisonError, match="against 6.*Run `pagerec compare --challenger 7` again"):
        judge(comparison(), serving("6"), SETTINGS)
    rows = tuple(row for row in comparison().rows if row.baseline != RANDOM)
    with pytest.raises(ComparisonError, match="against floor:random"):
        judge(CompareResult("c1", "7", "h1", rows), FACTS, SETTINGS)
