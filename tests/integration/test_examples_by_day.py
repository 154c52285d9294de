"""`examples` follows `labelled_page_views` day by day, and a killed run leaves nothing wrong behind."""

import datetime as dt
import shutil

import pytest

from pagerec_dbx.errors import LeakageError, UnfinishedTableError
from pagerec_dbx.features import examples
from pagerec_dbx.features.examples import renew_examples
from pagerec_dbx.ledger import Ledger
from pagerec_dbx.pipelines import shown as pipeline
from pagerec_dbx.pipelines.gold import examples_from_labelled
from pagerec_dbx.pipelines.shown import Shown
from pagerec_dbx.schemas import CLICK_MATCHES, EXAMPLES, LABELLED_PAGE_VIEWS
from pagerec_dbx.tables import Tables
from tests.looking_ahead import LookingAhead
from tests.page_views import labelled_page_views, page_view

DAYS = [dt.date(2024, 1, number) for number in (1, 2, 3, 4)]
DAY = 86_400  # seconds


def views(day: int, titles=("t",), count: int = 2) -> list[dict]:
    """Page views of one day, counted from 0; the numbers say the day."""
    return [
        page_view(100 * day + number, DAY * day + number, titles=[(title, 9) for title in titles], user_hash="v")
        for number in range(count)
    ]


def label(tables, *given) -> None:
    """Write whole days as `join` does: begun, written in one commit, finished."""
    ledger, days = Ledger(tables.home), {view["day"] for view in sum(given, [])}
    ledger.begin(LABELLED_PAGE_VIEWS, days)
    dates = ", ".join(f"DATE'{day}'" for day in days)
    tables.replace_where(LABELLED_PAGE_VIEWS, labelled_page_views(tables.spark, sum(given, [])), f"day IN ({dates})")
    ledger.finish(LABELLED_PAGE_VIEWS, dict.fromkeys(days, "silver"))


def renew(tables, history_length=3, shown_length=0):
    version = tables.version(LABELLED_PAGE_VIEWS)
    labelled = tables.read(LABELLED_PAGE_VIEWS, version)
    return renew_examples(tables, labelled, version, history_length, shown_length)


def stored(tables) -> list:
    return sorted(tables.read(EXAMPLES).collect())


def from_scratch(tables, shown_length=0) -> list:
    shown = Shown(shown_length, tables.read(CLICK_MATCHES)) if shown_length else None
    return sorted(examples_from_labelled(tables.read(LABELLED_PAGE_VIEWS), 3, shown).collect())


def files_of(tables, day: dt.date) -> set[str]:
    """The Parquet files of one day, of every version."""
    return {path.name for path in (tables.home.folder / "tables" / "examples" / f"day={day}").glob("*.parquet")}


def test_only_days_that_changed_are_written_again(tables):
    label(tables, views(0), views(1))
    first = renew(tables)
    assert first.days == (DAYS[0], DAYS[1])
    untouched = files_of(tables, DAYS[0])
    assert renew(tables).days == () and renew(tables).version == first.version
    label(tables, views(1, titles=("late",)), views(2))
    second = renew(tables)
    assert second.days == (DAYS[1], DAYS[2]) and second.version > first.version
    assert files_of(tables, DAYS[0]) == untouched
    assert stored(tables) == from_scratch(tables)
    assert len(files_of(tables, DAYS[1])) == 2  # control: the day that was written has a new file


@pytest.mark.slow
def test_other_settings_make_every_day_again(tables):
    label(tables, views(0), views(1, titles=("a", "b")))
    renew(tables)
    assert renew(tables, history_length=1).days == (DAYS[0], DAYS[1])
    assert {tuple(record["history"]) for record in stored(tables)} == {("t",), ("b",)}


@pytest.mark.slow
def test_days_without_page_views_are_emptied(tables):
    tables.replace(LABELLED_PAGE_VIEWS, labelled_page_views(tables.spark, views(0) + views(1)))
    renew(tables)
    tables.replace(LABELLED_PAGE_VIEWS, labelled_page_views(tables.spark, views(0)))
    assert renew(tables).days == (DAYS[0], DAYS[1])  # without a ledger another version is another state of all days
    assert stored(tables) == from_scratch(tables) and len(stored(tables)) == 2
    assert renew(tables).days == ()


@pytest.mark.slow
def test_with_what_was_shown_before_later_days_follow_and_earlier_ones_stay(tables):
    label(tables, views(0), views(1), views(2))
    tables.create(CLICK_MATCHES)  # nobody knows when the clicks came
    renew(tables, shown_length=4)
    untouched = files_of(tables, DAYS[0])
    changed = [view | {"menu": [("z", None, 0, False), ("y", None, 1, False)], "clicked": [1, 0]} for view in views(1)]
    label(tables, changed)
    assert renew(tables, shown_length=4).days == (DAYS[1], DAYS[2])
    assert files_of(tables, DAYS[0]) == untouched
    assert stored(tables) == from_scratch(tables, 4)
    assert any("y" in record["shown_row"] for record in stored(tables) if record["day"] == DAYS[2])


class Killed(BaseException):
    pass


POINTS = [(Ledger, "begin"), (Tables, "_save"), (Ledger, "finish")]


@pytest.mark.slow
def test_a_killed_run_is_made_good_by_the_next(tables, monkeypatch):
    """Killed before it begins, before it writes, before it finishes, and after it finished."""
    label(tables, views(0), views(1))
    renew(tables)
    for point in range(4):
        label(tables, views(1, titles=(f"late {point}",)))
        _run_killed_at(tables, monkeypatch, point)
        renew(tables)
        assert stored(tables) == from_scratch(tables)
        assert renew(tables).days == ()


def _run_killed_at(tables, monkeypatch, point) -> None:
    """The ledger is saved too: only what writes the examples is hit."""
    if point == 3:
        renew(tables)
        return
    owner, name = POINTS[point]
    real = getattr(owner, name)

    def strike(self, *given):
        if any(one is EXAMPLES for one in given):
            raise Killed
        return real(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, strike)
        with pytest.raises(Killed):
            renew(tables)


@pytest.mark.slow
def test_without_begin_a_killed_run_is_not_noticed(tables, monkeypatch):
    """Control: were the days said to be finished before they are written, the old examples would stay."""
    label(tables, views(0))
    renew(tables)
    label(tables, views(0, titles=("late",)))
    monkeypatch.setattr(Ledger, "begin", lambda ledger, table, days: ledger.finish(table, _wanted(tables)))
    _run_killed_at(tables, monkeypatch, 1)
    assert renew(tables).days == ()
    assert stored(tables) != from_scratch(tables)


def _wanted(tables) -> dict[dt.date, str]:
    held = Ledger(tables.home).revisions(EXAMPLES)
    revision = Ledger(tables.home).revisions(LABELLED_PAGE_VIEWS)[DAYS[0]].revision
    return {DAYS[0]: f"{revision}/{held[DAYS[0]].made_from.partition('/')[2]}"}


def test_a_killed_join_is_named(tables):
    label(tables, views(0))
    Ledger(tables.home).begin(LABELLED_PAGE_VIEWS, [DAYS[0]])
    with pytest.raises(UnfinishedTableError, match="1 days of `labelled_page_views`.*2024-01-01.*Run `pagerec join`"):
        renew(tables)


@pytest.mark.slow
def test_a_table_made_anew_is_another_source(tables):
    """Whoever deletes `examples` finds them made again, although the ledger says that they were."""
    label(tables, views(0))
    renew(tables)
    shutil.rmtree(tables.home.folder / "tables" / "examples")
    assert renew(tables).days == (DAYS[0],)
    assert stored(tables) == from_scratch(tables)


@pytest.mark.slow
def test_a_new_formula_makes_the_examples_again(tables, monkeypatch):
    label(tables, views(0))
    renew(tables)
    monkeypatch.setattr(examples, "FORMAT", examples.FORMAT + 1)
    assert renew(tables).days == (DAYS[0],)


# --- what no example may know -----------------------------------------------------------------------------------------


def leaking(day: int) -> list[dict]:
    """A page view whose only title is watched at the moment it is served: its age would be shown as 1."""
    return [page_view(100 * day, DAY * day, titles=[("t", 0.0)], user_hash="v")]


def test_examples_that_know_their_future_are_refused_before_they_are_written(tables, monkeypatch):
    label(tables, views(0))
    version = renew(tables).version
    label(tables, leaking(1))
    with pytest.raises(LeakageError, match="^1 examples have a history entry watched at or after the page was served"):
        renew(tables)
    assert tables.version(EXAMPLES) == version
    # The negative control: without the look nothing is noticed, and the example says one second.
    monkeypatch.setattr(examples, "_require_no_leaks", lambda leaks: None)
    renew(tables)
    (wrong,) = (record for record in stored(tables) if record["day"] == DAYS[1])
    assert wrong["history_age"] == [1]


@pytest.mark.slow
def test_rows_of_a_later_page_view_are_refused(tables, monkeypatch):
    label(tables, views(0), views(1))
    tables.create(CLICK_MATCHES)
    monkeypatch.setattr(pipeline, "Window", LookingAhead)
    with pytest.raises(LeakageError, match="^the rows shown before of 4 examples come from page views that are not"):
        renew(tables, shown_length=4)
    monkeypatch.undo()  # control: with the window as it is they are fine
    assert renew(tables, shown_length=4).days == (DAYS[0], DAYS[1])
