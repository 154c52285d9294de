"""One page view as the notebooks show it, and edits of it; orders by a ranker whose scores can be worked out."""

import dataclasses
import datetime as dt

import numpy as np
import pytest

from pagerec_dbx.errors import UsageError
from pagerec_dbx.notebooks import page_views, what_if
from pagerec_dbx.notebooks.desk import NONE
from pagerec_dbx.notebooks.page_views import PageView

PAGE = PageView(
    page_view_id=7,
    served_at=dt.datetime(2024, 1, 4, 18, 30, tzinfo=dt.UTC),
    viewer="0123456789abcdef" * 4,
    randomized=False,
    titles=("t1", "t2", "t1"),
    ages=(200_000, 0, 90),
    rows=("a", "b", "c", "d"),
    pinned=(True, False, False, False),
    clicked=frozenset("c"),
    hour=19,
    weekday=3,
    device="tv",
    location="",
    shown={"shown_row": ("b", "a"), "shown_position": (1, 2), "shown_clicked": (0, 1), "shown_age": (60, 70)},
)


@dataclasses.dataclass(frozen=True)
class Config:
    history_length: int = 2
    shown_length: int = 0


class ByLetter:
    """Scores a row by its letter, later ones higher: of two parts, and with a constant that moves no row."""

    version, config = "7", Config()

    def parts(self, pages):
        letters = np.vectorize(lambda row: float(ord(row[0])) if row else 0.0)(pages["menu"])
        return {"own": letters + 5, "row_rates": 2 * letters - 100}

    def rank(self, pages):
        scores = sum(self.parts(pages).values()).astype(np.float32)
        order = np.argsort(-scores, axis=1, kind="stable")
        return {"row_id": np.take_along_axis(pages["menu"], order, 1), "score": np.take_along_axis(scores, order, 1)}


RANKERS = {"7": ByLetter()}


def test_a_page_view_becomes_a_page_with_its_most_recent_titles():
    pages = PAGE.as_pages(ByLetter())
    assert pages.history.tolist() == [["t2", "t1"]] and pages.history_age.tolist() == [[0, 90]]
    assert pages.shown == {}
    reader = ByLetter()
    reader.config = Config(history_length=5, shown_length=3)
    pages = PAGE.as_pages(reader)
    assert pages.history.tolist() == [["t1", "t2", "t1", "", ""]]
    assert pages.shown["shown_row"].tolist() == [["b", "a", ""]] and pages.shown["shown_age"].tolist() == [[60, 70, 0]]


def test_orders_keep_pins_and_give_each_row_its_place():
    placed = page_views.orders(PAGE, RANKERS)
    # a is pinned to the top; of the others the later letter comes first: d, c, b
    assert placed["version 7"].tolist() == [1, 4, 3, 2]
    assert placed["clicked"].tolist() == [False, False, True, False]
    assert len(page_views.orders_plot(placed).axes[0].lines) == 4


def test_parts_are_what_moves_rows_and_add_up():
    scored = page_views.parts(PAGE, RANKERS, "7")
    assert scored.row.tolist() == ["a", "d", "c", "b"]
    # letters 97 to 100, their mean 98.5: own of d is 100 - 98.5, its rate twice that, whatever the constants
    assert scored.own.tolist() == [-1.5, 1.5, 0.5, -0.5]
    assert scored.row_rates.tolist() == [-3.0, 3.0, 1.0, -1.0]
    assert scored.score.tolist() == [-4.5, 4.5, 1.5, -1.5]
    page_views.parts_plot(scored).savefig("/dev/null", format="png")
    with pytest.raises(UsageError, match="version 8 is not among those to be looked at: wanted one of 7"):
        page_views.parts(PAGE, RANKERS, "8")


def test_a_page_is_told_in_a_sentence_and_its_history_newest_first():
    told = page_views.described(PAGE)
    assert told.startswith(
        "On 2024-01-04 at 18:30:00 UTC (Thursday, 19 o'clock for the viewer) viewer 0123456789ab saw"
    )
    assert told.endswith("on tv, after watching 3 titles, and clicked c.")
    shown = page_views.history(PAGE)
    assert shown.title.tolist() == ["t1", "t2", "t1"]
    assert shown["watched before the page"].tolist() == ["1.5 minutes", "at an unknown time", "2.3 days"]


def edited(**edits) -> PageView:
    return what_if.edited(PAGE, what_if.Edits(**edits))


def test_edits_change_what_they_say_and_nothing_else():
    other = edited(add_titles=["t9"], drop_titles=["t1"], add_rows=["z"], drop_rows=["c"], hour="3", device="web")
    changed = dict(
        titles=("t2", "t9"), ages=(0, 60), rows=("a", "b", "d", "z"), pinned=(True, False, False, False),
        clicked=frozenset(), hour=3, device="web",
    )  # fmt: skip
    assert other == dataclasses.replace(PAGE, **changed)
    assert edited() == PAGE


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        ({"drop_rows": ["a", "b", "c", "d"]}, "no row is left on the page"),
        ({"add_rows": ["b"]}, "a row would be twice on the page: got b"),
        ({"add_rows": ["x", "x"]}, "a row would be twice on the page: got x"),
        (
            {"add_rows": [f"x{number}" for number in range(500)]},
            "too many rows: wanted at most 500, got 504. Add fewer",
        ),
        ({"hour": "24"}, "no hour of the day: wanted 0 to 23, or as it was, got 24. Set the widget"),
    ],
)
def test_edits_that_make_no_page_are_refused(edits, words):
    with pytest.raises(UsageError, match=words):
        edited(**edits)


def test_moves_are_counted_from_the_order_before():
    other = edited(add_rows=["z"], drop_rows=["c"])
    moved = what_if.moves(PAGE, other, RANKERS)
    # before: a d c b; after: a z d b, c is gone
    assert moved.row.tolist() == ["a", "z", "d", "b", "c"]
    assert moved.moved.fillna(99).tolist() == [0, 99, -1, 0, 99]
    assert what_if.summary(moved) == "Version 7: 1 rows change places, d most (1 down); 1 new, 1 gone."
    what_if.moves_plot(moved).savefig("/dev/null", format="png")
    assert what_if.summary(what_if.moves(PAGE, PAGE, RANKERS)) == "Version 7: 0 rows change places; 0 new, 0 gone."


def test_lists_are_read_from_text():
    assert what_if.listed(" a, b ,,c ") == ["a", "b", "c"]
    assert what_if.listed("a%2Cb,c") == ["a,b", "c"]
    assert what_if.titles(PAGE) == [NONE, "t1", "t2"]
    assert what_if.rows(PAGE) == [NONE, "a", "b", "c", "d"]
