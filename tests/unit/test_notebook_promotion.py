"""What the promotion notebook does with its widgets, and what it shows of decisions."""

import re

import pytest

from pagerec_dbx.config import settings_from
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
