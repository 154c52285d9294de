"""What the promotion notebook does with its widgets, and what it shows of decisions."""

import datetime as dt
import re
from types import SimpleNamespace

import pandas as pd
import pytest
from matplotlib import dates

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


def decisions(*told: tuple[int, str, bool]) -> pd.DataFrame:
    """Of (day of January 2024, version, promoted), newest first, as Spark hands them over: UTC without saying so."""
    records = [
        (place, pd.Timestamp(2024, 1, day), version, promoted) for place, (day, version, promoted) in enumerate(told)
    ]
    return pd.DataFrame(records, columns=["sequence", "decided_at", "version", "promoted"])[::-1].astype(
        {"promoted": bool}
    )


@pytest.fixture
def clock() -> SimpleNamespace:
    """A bench whose clock stands at noon of 2024-01-09, told in another time zone."""
    noon = dt.datetime(2024, 1, 9, 17, tzinfo=dt.timezone(dt.timedelta(hours=5)))
    return SimpleNamespace(now=lambda: noon)


def test_the_last_one_serves_until_now_by_the_bench_s_clock(clock):
    drawn = promotion.service_plot(decisions((1, "1", True), (4, "2", False), (5, "3", True)), clock)
    axes = drawn.axes[0]
    ends = [dates.num2date(bar.get_x() + bar.get_width()).replace(tzinfo=None) for bar in axes.patches]
    assert ends == [dt.datetime(2024, 1, 5), dt.datetime(2024, 1, 9, 12)]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["version 1", "version 3", "version 2"]


def test_the_plot_has_room_for_versions_that_were_only_refused(clock):
    told = [(day, str(day), day == 1) for day in range(1, 9)]
    tall = promotion.service_plot(decisions(*told), clock).get_figheight()
    assert tall > promotion.service_plot(decisions(*told[:2]), clock).get_figheight()


def test_the_plot_says_so_where_nothing_was_decided(clock):
    assert [text.get_text() for text in promotion.service_plot(decisions(), clock).axes[0].texts] == [
        "nobody has served yet"
    ]
