"""Another `repeat_seconds` reduces the clicks of every day anew: no table follows two rules."""

import pytest

from pagerec_dbx.config import IngestSettings
from pagerec_dbx.hashing import ensure_key
from pagerec_dbx.home import open_home
from pagerec_dbx.ledger import Ledger
from pagerec_dbx.schemas import CLICKS
from pagerec_dbx.stages import silver_days
from pagerec_dbx.stages.ingest import ingest
from pagerec_dbx.tables import Tables
from tests.crashes import Point, stopped_at
from tests.log_lines import NOW, click, write

DAY = 86_400


@pytest.fixture
def two_days(spark, tmp_path):
    """Of each day two clicks 3 s apart, and another day's to come; `ingest` with a rule, and what clicks it gives."""
    tables, logs = Tables(spark, open_home(str(tmp_path / "home"))), tmp_path / "logs"
    key, _ = ensure_key(tables.home, derived_from_seed=1)
    deliver = lambda day: write(logs, "click_logs", _pair(day), f"{day}.jsonl")  # noqa: E731

    def clicks(seconds: float) -> dict[int, int]:
        ingest(tables, logs, key, IngestSettings(repeat_seconds=seconds), NOW)
        return {row["day"].day: row["count"] for row in tables.read(CLICKS).groupBy("day").count().collect()}

    deliver(0)
    deliver(1)
    return tables, deliver, clicks


def _pair(day: int) -> list[dict]:
    return [click("r1", f"q{day}", "ann", day * DAY + 10 + late) for late in (0, 3)]


@pytest.mark.slow
def test_another_rule_reduces_every_day_anew_with_new_files_and_without(two_days):
    tables, deliver, clicks = two_days
    assert clicks(2.0) == {1: 2, 2: 2}
    deliver(2)
    assert clicks(5.0) == {1: 1, 2: 1, 3: 1}
    # Nothing new to read, and stopped after the days were written: whatever rule comes next, all days follow it.
    assert stopped_at(Point("replace_where", "clicks", 1), True, lambda: clicks(2.0))
    assert clicks(5.0) == {1: 1, 2: 1, 3: 1}
    version = tables.version(CLICKS)
    assert clicks(5.0) == {1: 1, 2: 1, 3: 1} and tables.version(CLICKS) == version
    assert {record.made_from for record in Ledger(tables.home).revisions(CLICKS).values()} == {"repeats within 5 s"}


@pytest.mark.slow
def test_a_ledger_that_does_not_know_the_rule_mixes_two(two_days, monkeypatch):
    """The negative control: only the new day follows the new rule."""
    _, deliver, clicks = two_days
    assert clicks(2.0) == {1: 2, 2: 2}
    monkeypatch.setattr(silver_days, "_rule", lambda _: "some rule")
    clicks(2.0)
    deliver(2)
    assert clicks(5.0) == {1: 2, 2: 2, 3: 1}
