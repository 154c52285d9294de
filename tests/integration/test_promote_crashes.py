"""A decision that was written and a process that died: every command sees the new champion, and the next one mends."""

import pytest

from pagerec_dbx.stages.grounds import resolve
from pagerec_dbx.stages.judge import evaluate_version, power_of
from pagerec_dbx.stages.promote import compare_and_judge, promote_version
from pagerec_dbx.stages.score import score_version
from tests import promotion_world
from tests.commands import run
from tests.dying_decision import die_once_decided

PAGE = b'{"candidates": [{"row_id": "a"}, {"row_id": "c"}, {"row_id": "d"}]}'


@pytest.fixture
def bench(promotion_home, tmp_path):
    """A home in which version 1 serves."""
    bench = promotion_world.copy_home(promotion_home, tmp_path / "home")
    assert promote_version(bench, "1").promoted
    return bench


@pytest.mark.slow  # each asks every command, which starts anew for it
def test_after_a_crash_every_command_sees_the_new_champion(bench):
    die_once_decided(lambda: promote_version(bench, "2"))
    assert bench.registry.resolve("champion") == "1"  # the control: the alias was left behind

    ranked = run("rank", "--home", bench.home.name, stdin=PAGE)
    assert ranked.json["version"] == "2", ranked.err
    assert resolve(bench, "previous") == "1"
    assert power_of(bench, 0.01, "challenger").baseline == "2"
    assert evaluate_version(bench, "champion").menu.version == "2"
    assert bench.registry.resolve("champion") == "1"  # none of these has mended it
    assert "verdict" not in bench.registry.version("2").tags

    rows = compare_and_judge(bench, "4", "champion").comparison.rows
    assert {row.baseline for row in rows if ":" not in row.baseline} == {"2", "3"}
    assert (bench.registry.resolve("champion"), bench.registry.resolve("previous")) == ("2", "1")
    tags = bench.registry.version("2").tags
    assert tags["verdict"] == "promote" and tags["verdict_reasons"].startswith("Passed: both sides")
    assert not bench.registry.is_deciding()
    assert run("rank", "--home", bench.home.name, stdin=PAGE).json["version"] == "2"


@pytest.mark.slow  # each asks every command, which starts anew for it
def test_promote_and_score_mend_before_they_ask_who_is_meant(bench):
    die_once_decided(lambda: promote_version(bench, "2"))
    assert promote_version(bench, "previous").version == "1"
    assert score_version(bench, "champion").version == "2"
    assert bench.registry.resolve("champion") == "2"
