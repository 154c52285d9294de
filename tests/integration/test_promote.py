"""Verdict and promotion through the real commands, on versions that rank as they are told to."""

import dataclasses
import json

import pytest

from pagerec_dbx.baselines.catalogue import require_baselines
from pagerec_dbx.errors import RegistryError, RoleError, UnknownVersionError
from pagerec_dbx.evaluation.baselines import POPULARITY, RANDOM
from pagerec_dbx.evaluation.verdicts import stored_verdict
from pagerec_dbx.features.preparation import latest_preparation, store_preparation
from pagerec_dbx.schemas import PROMOTIONS
from pagerec_dbx.stages import promote as stage
from pagerec_dbx.stages.baselines import baselines
from pagerec_dbx.stages.floor_records import stored_smoothing
from pagerec_dbx.stages.grounds import grounds_of, resolve, resolve_quickly, serving
from pagerec_dbx.stages.judge import evaluate_version, known_of
from pagerec_dbx.stages.promote import compare_and_judge, judge_version, promote_version
from pagerec_dbx.stages.report import collect_content
from pagerec_dbx.stages.report_comparison import last_compared
from tests import judging_world, promotion_world
from tests.commands import run


@pytest.fixture
def bench(promotion_home, tmp_path):
    """A home in which versions 1 to 4 are evaluated, none was compared, and nobody serves."""
    return promotion_world.copy_home(promotion_home, tmp_path / "home")


def decisions(bench):
    """Version, whether promoted, and by what, of each decision in turn."""
    records = bench.tables.read(PROMOTIONS).orderBy("sequence").collect()
    return [(record["version"], record["promoted"], record["action"]) for record in records]


@pytest.mark.slow
def test_promote_judges_by_the_popularity_of_these_settings_whoever_measured_last(bench, capsys):
    """Without smoothing d is the most popular row, and no version beats a floor that is always right."""
    holdout = latest_preparation(bench.tables).holdout
    unsmoothed = promotion_world.with_settings(bench, popularity_smoothing=0.0)
    assert stored_smoothing(bench.tables, holdout) == 20
    baselines(bench.tables, bench.registry, require_baselines(["recent_click"]), unsmoothed.settings.judge)
    assert stored_smoothing(bench.tables, holdout) == 0
    promoted = promote_version(bench, "2")
    assert "version 2 is evaluated on the latest holdout first" in capsys.readouterr().err
    assert promoted.promoted and stored_smoothing(bench.tables, holdout) == 20
    assert any(f"{POPULARITY} is beaten: ndcg 1.0000 against .6309" in reason for reason in promoted.reasons)
    # the control: by the other floor the same version is refused, and the floors of the other settings do not stay
    refused = promote_version(unsmoothed, "1")
    assert not refused.promoted
    assert any(f"{POPULARITY} is not beaten" in reason and "against 1.0000" in reason for reason in refused.reasons)


def test_a_verdict_does_not_outlive_the_champion_that_it_was_made_against(bench, capsys):
    """Nobody serves, then 1, then 2, and after the rollback 1 again: the same number is not the same ground."""
    compare_and_judge(bench, "2")
    assert promote_version(bench, "1").promoted
    capsys.readouterr()
    assert promote_version(bench, "2").promoted
    assert "the verdict on version 2 is void and is made anew: champion was None and is 1" in capsys.readouterr().err
    verdict, tags = stored_verdict(bench.tables, "2"), bench.registry.version("2").tags
    assert verdict.grounds.champion == "1"

    again = promote_version(bench, "champion")  # which keeps the verdict that it was promoted by
    assert (again.promoted, again.reasons) == (False, ("Failed: version 2 is the champion already.",))
    assert "is the champion already; nothing was changed." in again.to_text()
    assert (stored_verdict(bench.tables, "2"), bench.registry.version("2").tags) == (verdict, tags)
    with pytest.raises(RegistryError, match="version 2 is the champion already"):
        judge_version(bench, "2")

    bench.registry.rollback(bench.tables, bench.now())
    assert serving(bench) == "1"
    with pytest.raises(RegistryError, match="void: version 1 serves by decision 4, no longer by decision 1"):
        bench.registry.promote(bench.tables, "2", lambda: grounds_of(bench), bench.now())
    capsys.readouterr()
    assert promote_version(bench, "2").promoted
    assert "is void and is made anew: version 1 serves by decision 4" in capsys.readouterr().err
    told = [("1", True, "promote"), ("2", True, "promote"), ("2", False, "again"), ("1", True, "rollback")]
    assert decisions(bench) == [*told, ("2", False, "void"), ("2", True, "promote")]


@pytest.mark.slow
def test_figures_and_limits_that_change_void_a_verdict(bench, capsys, monkeypatch):
    really = stage.compare_evaluated

    def compare(*arguments):  # somebody without the home's lock evaluates while the figures are read
        result = really(*arguments)
        evaluate_version(bench, "1")
        return result

    with monkeypatch.context() as patched:
        patched.setattr(stage, "compare_evaluated", compare)
        compare_and_judge(bench, "2")
    with pytest.raises(RegistryError, match="void: evaluations version was"):
        bench.registry.promote(bench.tables, "2", lambda: grounds_of(bench), bench.now())
    refusing = promotion_world.with_settings(bench, minimum_gain=0.9)
    assert not promote_version(refusing, "2").promoted
    told = capsys.readouterr().err
    assert "evaluations version was" in told and "setting minimum_gain was 0.0 and is 0.9" in told
    assert not promote_version(refusing, "2").promoted
    assert "void" not in capsys.readouterr().err  # the control: nothing has changed since
    assert promote_version(bench, "2").promoted
    assert "setting minimum_gain was 0.9 and is 0.0" in capsys.readouterr().err
    assert decisions(bench) == [("2", False, "void"), *[("2", False, "promote")] * 2, ("2", True, "promote")]


@pytest.mark.slow
def test_a_verdict_on_another_holdout_is_void(bench, capsys):
    compare_and_judge(bench, "2")
    old = latest_preparation(bench.tables)
    judging_world.write_snapshot(bench.home.snapshots / "holdout-two", promotion_world.PAGES)
    store_preparation(bench.tables, dataclasses.replace(old, prepared_at=bench.now(), holdout_snapshot="holdout-two"))
    assert promote_version(bench, "2").promoted
    told = capsys.readouterr().err
    assert "is void and is made anew: holdout was holdout-by-hand and is holdout-two" in told
    assert "version 2 is evaluated on the latest holdout first" in told


@pytest.mark.slow
def test_labels_that_changed_since_prepare_refuse_until_it_runs_again(bench):
    compare_and_judge(bench, "2")
    promotion_world.relabel(bench, 1, "a b D", more={24: "a b D"})  # the control: only a page view more
    assert grounds_of(bench).relabelled == 0
    promotion_world.relabel(bench, 1, "A b D")
    refused = promote_version(bench, "2")
    assert not refused.promoted
    failed = [reason for reason in refused.reasons if reason.startswith("Failed")]
    assert failed == [
        "Failed: 1 page views of the holdout holdout-by-hand are labelled otherwise since `prepare`. Run `pagerec "
        "prepare` and `pagerec evaluate`, then judge again."
    ]


# --- the retrained legacy ---------------------------------------------------------------------------------------------


def test_a_retrained_legacy_is_compared_with_and_must_be_beaten_where_nobody_serves(bench, capsys):
    outcome = compare_and_judge(bench, "2")
    rows = {row.baseline: row for row in outcome.comparison.rows if (row.protocol, row.metric, row.slice) ==
            ("menu", "ndcg", "all")}  # fmt: skip
    assert rows["3"].value_baseline == pytest.approx(0.6309, abs=1e-4) and rows["3"].lower > 0
    assert "3 (legacy here)" in outcome.to_text()
    assert any("over the retrained legacy, version 3, as no champion serves" in one for one in outcome.verdict.reasons)
    assert outcome.verdict.promote
    content = collect_content(bench.tables, bench.now(), "2", known_of(bench, "2", last_compared(bench.tables).others))
    assert (content.against, content.legacy) == ("3", "3")
    assert {one.gain.baseline for one in content.slices} == {"3"}

    # Once it has seen a page view of the holdout, it is left out, and the verdict says so.
    assert not any("has seen page views" in reason for reason in outcome.verdict.reasons)
    bench.registry.tag("3", {"trained_until": json.dumps(judging_world.key_of(1).as_json())})
    capsys.readouterr()
    left_out = compare_and_judge(bench, "2")
    assert "3" not in {row.baseline for row in left_out.comparison.rows}
    assert any("Alarm: version 3, the retrained legacy, has seen page" in one for one in left_out.verdict.reasons)
    assert capsys.readouterr().err.count("is left out; train it again") == 1


def test_the_legacy_is_neither_challenger_nor_champion(bench):
    for call in (compare_and_judge, promote_version, judge_version):
        with pytest.raises(RoleError, match="version 3 is the retrained legacy and can be no challenger or champion"):
            call(bench, "legacy")
    with pytest.raises(RoleError):
        bench.registry.promote(bench.tables, "3", lambda: grounds_of(bench), bench.now())
    assert not bench.tables.exists(PROMOTIONS)
    assert evaluate_version(bench, "legacy").menu.version == "3"  # the control: it may be measured


def test_an_alias_that_no_decision_gave_is_removed(bench):
    client = bench.registry._client()
    client.set_registered_model_alias(bench.registry.model_name, "champion", "4")
    assert resolve_quickly(bench, "champion") == "4"  # who knows the aliases only believes it
    with pytest.raises(UnknownVersionError, match="no model version `champion`"):
        resolve(bench, "champion")
    assert serving(bench) is None
    with pytest.raises(UnknownVersionError):
        bench.registry.resolve("champion")


# --- what the verdict and the report tell -----------------------------------------------------------------------------


@pytest.mark.slow
def test_the_report_tells_the_latest_comparison_and_its_verdict(bench):
    """Version 4 is refused against 1; then 2 serves, and 4 is compared again."""
    first = promote_version(bench, "1")
    equal = promote_version(bench, "4")
    assert first.promoted and not equal.promoted
    alarm = "several rows share the best score on"
    assert any(reason.startswith(f"Alarm: {alarm} 100.0% of page views") for reason in equal.reasons)
    assert any(reason.startswith(f"Passed: {alarm} 0.0% of page views") for reason in first.reasons)

    def content():
        return collect_content(
            bench.tables, bench.now(), None, known_of(bench, "4", last_compared(bench.tables).others)
        )

    before = content()
    assert (before.version, before.against, before.decision.acted_on) == ("4", "1", True)
    promote_version(bench, "2")
    compare_and_judge(bench, "4")
    told = content()
    assert (told.version, told.against) == ("4", "2")
    assert {one.name for one in told.results if one.role == "champion"} == {"2"}
    assert "1" not in {one.baseline for one in told.differences}
    assert told.slices and {one.gain.baseline for one in told.slices} == {"2"}
    assert (told.decision.acted_on, told.decision.promoted, told.decision.previous_version) == (False, False, "2")
    assert any("over champion 2" in reason for reason in told.decision.reasons)
    # Whoever does not serve gets no verdict; what was decided here is called earlier.
    compare_and_judge(bench, "4", "1")
    against_1 = content()
    assert (against_1.against, against_1.decision.earlier) == ("1", True)
    assert any("over champion 1" in reason for reason in against_1.decision.reasons)


@pytest.mark.slow
def test_the_report_follows_the_metric_that_decides(bench):
    by_hits = promotion_world.with_settings(bench, verdict_metric="hit_at_1")
    compare_and_judge(by_hits, "2")
    content = collect_content(bench.tables, bench.now(), "2")
    assert content.metric == "hit_at_1" and {one.gain.metric for one in content.slices} == {"hit_at_1"}
    smoothing = {one.note for one in content.results if one.name == POPULARITY}
    assert smoothing == {"smoothing 20"} and {one.note for one in content.results if one.name == RANDOM} == {""}


def test_approval_is_a_tag_that_somebody_set_on_the_version(bench):
    def asked(*arguments):
        return run("approval", "--home", str(bench.home.folder), *arguments)

    bench.registry.tag("2", {"approval": "Approved"})
    assert asked("--version", "2").out.startswith("Version 2 is approved")
    refused = asked("--version", "1")
    assert refused.code == 1 and "wanted the tag `approval` with the value Approved, got no such tag" in refused.out
    other = asked("--version", "2", "--model-name", "main.shop.other")
    assert other.code == 2 and "has another registered model: wanted pagerec" in other.err
