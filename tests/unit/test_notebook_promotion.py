"""What the promotion notebook does with its widgets, and what it shows of decisions."""

import re
from types import SimpleNamespace

import pytest

from pagerec_dbx import promotions
from pagerec_dbx.config import settings_from
from pagerec_dbx.errors import SnapshotError
from pagerec_dbx.features.snapshot import open_snapshot
from pagerec_dbx.notebooks import promotion
from pagerec_dbx.stages.promote import PromoteResult
from pagerec_dbx.workbench import Workbench


@pytest.fixture
def promoted(monkeypatch) -> list[str]:
    """The versions that were asked to be promoted."""
    asked: list[str] = []

    def promote(_, version: str) -> PromoteResult:
        asked.append(version)
        return PromoteResult(version, True, ())

    monkeypatch.setattr(promotion, "promote_version", promote)
    return asked


@pytest.mark.parametrize(
    ("action", "confirmed", "words"),
    [
        ("dry run", "", "Dry run: nothing was changed."),
        ("dry run", "7", "Dry run: nothing was changed."),
        ("promote", "", "Not confirmed: nothing was changed. To promote version 7 .* type 7 .*; it is empty."),
        ("promote", " ", "Not confirmed: .*; it is empty."),
        ("promote", "6", "Not confirmed: .*; it says `6`."),  # the version was changed after one was promoted
        ("promote", "77", "Not confirmed: "),
    ],
)
def test_nothing_is_promoted_until_the_version_is_typed(home, promoted, action, confirmed, words):
    bench = Workbench(home, settings_from({}))
    assert re.match(words, promotion.act(bench, "7", action, confirmed))
    assert promoted == []


def test_a_version_is_promoted_once_it_is_typed(home, promoted):
    """The control of the test before: the same call, confirmed."""
    bench = Workbench(home, settings_from({}))
    assert promotion.act(bench, "7", "promote", " 7 ") == "Version 7 is champion."
    assert promoted == ["7"]


def standing(home, monkeypatch, grounds) -> str:
    """What is said of a verdict for version 7 on these grounds, where nobody serves."""
    monkeypatch.setattr(promotion.promotions, "serving", lambda _: promotions.Serving(None, None, 0))
    monkeypatch.setattr(promotion, "grounds_of", grounds)
    monkeypatch.setattr(Workbench, "tables", None)
    held = SimpleNamespace(changes=lambda _: ())
    return promotion.standing(
        Workbench(home, settings_from({})), SimpleNamespace(version="7", promote=True, grounds=held)
    )


def test_who_may_not_read_the_volume_is_told_the_verdict_and_what_is_missing(home, monkeypatch):
    def without_volume(*_):
        return open_snapshot(home.snapshots / "gone")

    told = standing(home, monkeypatch, without_volume)
    assert told.startswith("Nobody serves yet. By its verdict version 7 may become champion. Whether it still holds")
    assert "has no manifest (FileNotFoundError)" in told and "READ VOLUME" in told
    assert standing(home, monkeypatch, lambda *_: None).endswith("It still holds.")  # the control
    with pytest.raises(SnapshotError):
        without_volume()
