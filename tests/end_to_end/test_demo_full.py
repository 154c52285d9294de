"""The demo at its default size: better than popularity for certain, and below the ceiling."""

import pytest

from tests.commands import run


@pytest.mark.slow
def test_the_model_beats_popularity_and_stays_below_the_ceiling(spark, tmp_path):
    home = tmp_path / "home"
    ran = run("demo", "--home", str(home), "--json")
    assert ran.code == 0, ran.err
    assert ran.json["promoted"], ran.json["reasons"]
    rows = run("compare", "--home", str(home), "--challenger", "1", "--json").json["rows"]
    gain = next(
        row for row in rows if (row["baseline"], row["protocol"], row["metric"]) == ("floor:popularity", "menu", "ndcg")
    )
    assert gain["lower"] > 0
    truth = next((home / "logs-raw").glob("*/truth"))
    result = run("evaluate", "--home", str(home), "--version", "1", "--truth", str(truth), "--json").json
    assert result["metrics"]["expected_ndcg"] < result["ceilings"]["with_position"]["expected_ndcg"]
