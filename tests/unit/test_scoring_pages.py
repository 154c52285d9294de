"""Where pinned and scored rows come to stand, and what a model may return."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagerec_dbx.errors import ScoresError
from pagerec_dbx.scoring.pages import Pages, filled, padded, rank_pages, shown_order
from tests.stand_in_ranker import StandInConfig, StandInRanker


def reference(scores, pinned):
    """The same rule for one page in plain Python."""
    shown = [None] * len(scores)
    for place, is_pinned in enumerate(pinned):
        if is_pinned:
            shown[place] = place
    movable = sorted((place for place in range(len(scores)) if not pinned[place]), key=lambda place: -scores[place])
    free = [place for place in range(len(scores)) if shown[place] is None]
    for place, row in zip(free, movable, strict=True):
        shown[place] = row
    return shown


SCORES = st.sampled_from([float("-inf"), -2.5, -1.0, 0.0, 0.5, 0.5, 3.0])  # few values, so that ties are common
PAGE = st.lists(st.tuples(SCORES, st.booleans()), min_size=1, max_size=9)


@given(st.lists(PAGE, min_size=1, max_size=6))
def test_shown_order_is_the_plain_rule_for_any_pins_ties_and_lengths(pages):
    width = max(len(page) for page in pages)
    lengths = np.array([len(page) for page in pages])
    scores = padded(np.array([score for page in pages for score, _ in page]), lengths, width, 9.0)
    pinned = padded(np.array([pin for page in pages for _, pin in page]), lengths, width, True)

    order = shown_order(scores, pinned, filled(lengths, width))

    for row, page in zip(order.tolist(), pages, strict=True):
        assert row[: len(page)] == reference(*zip(*page, strict=True))
        assert row[len(page) :] == list(range(len(page), width))


def test_shown_order_of_one_page_worked_out():
    # places 0 and 2 are pinned; the free places 1, 3, 4 get the movable rows 3 (2.0), 1 (.5), 4 (.5, later on the page)
    scores = np.array([[-9.0, 0.5, 9.0, 2.0, 0.5]])
    pinned = np.array([[True, False, True, False, False]])
    assert shown_order(scores, pinned, np.ones((1, 5), bool)).tolist() == [[0, 3, 2, 1, 4]]


def a_page(rows, pinned=()):
    """One page with this menu and an empty history."""
    return Pages(
        names=np.array([77]),
        history=np.array([[""]], object),
        history_age=np.zeros((1, 1), np.int32),
        menu=np.array([rows], object),
        pinned=np.array([[row in pinned for row in rows]]),
        mask=np.ones((1, len(rows)), bool),
        hour=np.array([0], np.int32),
        weekday=np.array([0], np.int32),
        device=np.array([""], object),
        location=np.array([""], object),
    )


class Returns:
    """A ranker that answers the same whatever the page."""

    version, config = "1", StandInConfig()

    def __init__(self, row_ids, scores):
        self.answer = {"row_id": np.array([row_ids], object), "score": np.array([scores], np.float32)}

    def rank(self, pages):
        return self.answer


def test_rank_pages_puts_scores_back_on_the_rows_they_belong_to():
    ranking = rank_pages(Returns(["c", "a", "b"], [3.0, 2.0, 1.0]), a_page(["a", "b", "c"], pinned=("a",)))
    assert ranking.scores.tolist() == [[2.0, 1.0, 3.0]]
    assert ranking.order.tolist() == [[0, 2, 1]]  # a is pinned; c scores above b


def test_rank_pages_accepts_fixed_width_strings_of_another_engine():
    ranker = Returns(["b", "a"], [1.0, 0.0])
    ranker.answer["row_id"] = ranker.answer["row_id"].astype("U1")
    assert rank_pages(ranker, a_page(["a", "b"])).order.tolist() == [[1, 0]]


@pytest.mark.parametrize("returned", [["a", "x"], ["a", "a"], ["a", ""]])
def test_rank_pages_refuses_a_model_that_returns_other_rows(returned):
    with pytest.raises(ScoresError, match=r"other rows than it was given on page view 77.*wanted each row.*Train and"):
        rank_pages(Returns(returned, [1.0, 0.0]), a_page(["a", "b"]))


def test_rank_pages_names_the_page_view_of_a_score_that_is_no_number():
    with pytest.raises(ScoresError, match="page view 77 is not a number: wanted a number for each row, got NaN"):
        rank_pages(Returns(["a", "b"], [1.0, float("nan")]), a_page(["a", "b"]))


def test_rank_pages_with_the_stand_in_follows_its_scores():
    page = a_page(["a", "b", "c", "d"])
    ranking = rank_pages(StandInRanker(), page)
    assert np.take_along_axis(ranking.scores, ranking.order, axis=1).tolist() == [sorted(ranking.scores[0])[::-1]]
