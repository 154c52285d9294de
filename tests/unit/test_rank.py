"""One page in, its rows in order out; and every way a page can be wrong."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagerec_dbx.errors import PageError, UnknownVersionError
from pagerec_dbx.scoring.request import page_from_request, parse_page
from pagerec_dbx.stages.rank import rank_page, rank_text
from tests.stand_in_ranker import StandInRanker, stand_in_score

MONDAY = 1_704_067_200_000  # 2024-01-01T00:00:00Z, in milliseconds
A, B, C = {"row_id": "a"}, {"row_id": "b"}, {"row_id": "c"}


def page(**fields):
    """The page of a request as arrays, with two rows unless others are given."""
    return page_from_request({"candidates": [A, B], **fields}, history_length=3)


def test_rank_page_gives_the_order_and_the_scores_of_the_model():
    result = rank_page(StandInRanker(version="12"), {"candidates": [A, B, C], "device": "tv", "other": object()})
    context = ([], -1, -1, "tv", "")
    scores = {row: float(stand_in_score(row, context, 1_000_003)) for row in "abc"}
    best_first = sorted(scores, key=scores.get, reverse=True)
    assert result == {"version": "12", "ranked": [{"row_id": row, "score": scores[row]} for row in best_first]}
    assert json.loads(json.dumps(result)) == result


def test_rank_page_keeps_pinned_rows_at_their_position():
    candidates = [{"row_id": f"r{number}", "pinned": number in (0, 4)} for number in range(6)]
    ranked = rank_page(StandInRanker(), {"candidates": candidates})["ranked"]
    assert [ranked[place]["row_id"] for place in (0, 4)] == ["r0", "r4"]
    others = [row["score"] for place, row in enumerate(ranked) if place not in (0, 4)]
    assert others == sorted(others, reverse=True)


def test_page_is_read_in_order_of_position():
    read = page(candidates=[{"row_id": "b", "position": 1}, {"row_id": "a", "position": 0, "pinned": True}, C])
    assert read.menu.tolist() == [["a", "b", "c"]]  # c has no position: its index, 2
    assert read.pinned.tolist() == [[True, False, False]]


@pytest.mark.parametrize(
    ("timestamp", "offset", "hour", "weekday"),
    [
        (MONDAY, None, 0, 0),
        (MONDAY + 3_599_999, 0, 0, 0),
        (MONDAY, -1, 23, 6),  # a minute earlier it is Sunday
        (MONDAY, 330, 5, 0),
        (str(MONDAY), None, 0, 0),
        ("2024-01-01T23:30:00Z", 60, 0, 1),
        ("2024-01-01 23:30:00 +02:00", None, 21, 0),
        ("2024-01-01t10:00:00.123456789z", None, 10, 0),
        ("2024-01-01", None, 0, 0),
        ("1969-12-31T23:59:59", None, 23, 2),  # a Wednesday
        (None, 330, -1, -1),
    ],
)
def test_page_has_the_hour_and_weekday_of_the_viewer(timestamp, offset, hour, weekday):
    read = page(timestamp=timestamp, utc_offset_minutes=offset)
    assert (read.hour.tolist(), read.weekday.tolist()) == ([hour], [weekday])


def test_page_keeps_the_most_recent_titles_watched_before_it():
    history = [
        "old",
        {"title_id": "t0", "watched_at": MONDAY - 9_999},
        {"title_id": 17},
        {"title_id": "t2", "watched_at": None},
        {"title_id": "at", "watched_at": MONDAY},
        {"title_id": "after", "watched_at": "2024-01-01T00:00:01Z"},
    ]
    read = page(watch_history=history, timestamp=MONDAY)
    assert read.history.tolist() == [["t0", "17", "t2"]]
    assert read.history_age.tolist() == [[9, 0, 0]]  # 9.999 s before, in whole seconds; the others' times are unknown


def test_page_without_timestamp_drops_no_title_and_knows_no_age():
    read = page(watch_history=[{"title_id": "t0", "watched_at": MONDAY}])
    assert (read.history.tolist(), read.history_age.tolist()) == ([["t0", "", ""]], [[0, 0, 0]])


@pytest.mark.parametrize(("before_ms", "age"), [(0.001, 1), (999, 1), (1_000, 1), (2_500, 2), (10**13, 2**31 - 1)])
def test_page_counts_age_in_whole_seconds_and_at_least_one(before_ms, age):
    read = page(watch_history=[{"title_id": "t", "watched_at": MONDAY - before_ms}], timestamp=MONDAY)
    assert read.history_age.tolist() == [[age, 0, 0]]


WRONG = {
    "is no object": [1],
    "the page has no candidates": {},
    "the page has no candidates: ": {"candidates": []},
    "too many candidates: wanted 1 to 500 rows, got 501": {"candidates": [{"row_id": n} for n in range(501)]},
    "`candidates` has the wrong type or range: wanted a list, got": {"candidates": {"row_id": "a"}},
    r"`candidates\[1\]` has the wrong type": {"candidates": [A, "b"]},
    r"candidates\[0\] has no row_id": {"candidates": [{"pinned": True}]},
    r"candidates\[0\] has no row_id: ": {"candidates": [{"row_id": ""}]},
    r"`candidates\[0\].row_id` has the wrong type": {"candidates": [{"row_id": True}]},
    r"`candidates\[0\].row_id` is no valid text": {"candidates": [{"row_id": "\ud800"}]},
    r"`candidates\[0\].row_id` is no valid text: ": {"candidates": [{"row_id": "a\0"}]},
    "a row is twice among the candidates: wanted each once, got a": {"candidates": [A, B, A]},
    "a row is twice among the candidates: wanted each once, got 1": {"candidates": [{"row_id": 1}, {"row_id": "1"}]},
    "gaps or repeats: wanted 0 to 1, each once, got 2 where 1 should be": {"candidates": [A, B | {"position": 2}]},
    "gaps or repeats: wanted 0 to 1, each once, got 0 where 1": {"candidates": [A, B | {"position": 0}]},
    r"`candidates\[0\].position` has the wrong type": {"candidates": [A | {"position": "0"}]},
    r"`candidates\[0\].pinned` has the wrong type": {"candidates": [A | {"pinned": 1}]},
    "`watch_history` has the wrong type": {"candidates": [A], "watch_history": "t1"},
    r"watch_history\[1\] has no title": {"candidates": [A], "watch_history": ["t1", {"watched_at": 5}]},
    r"`watch_history\[0\]` has the wrong type": {"candidates": [A], "watch_history": [["t1"]]},
    r"`watch_history\[0\].watched_at` is no time": {
        "candidates": [A], "timestamp": 5, "watch_history": [{"title_id": "t", "watched_at": "soon"}],
    },
    "`timestamp` is no time": {"candidates": [A], "timestamp": "2024-13-01"},
    "`timestamp` is no time: ": {"candidates": [A], "timestamp": 1e300},
    "`timestamp` has the wrong type": {"candidates": [A], "timestamp": True},
    "`device` has the wrong type": {"candidates": [A], "device": {"kind": "tv"}},
    "`utc_offset_minutes` has the wrong type or range": {"candidates": [A], "utc_offset_minutes": 1_000},
    "`utc_offset_minutes` has the wrong type or range: ": {"candidates": [A], "utc_offset_minutes": 1.5},
}  # fmt: skip


@pytest.mark.parametrize(("message", "wrong"), WRONG.items(), ids=lambda value: str(value)[:40])
def test_rank_page_says_what_is_wrong_with_a_page(message, wrong):
    with pytest.raises(PageError, match=message) as raised:
        rank_page(StandInRanker(), wrong)
    assert raised.value.wanted and raised.value.fix and raised.value.exit_code == 1
    assert "\n" not in str(raised.value) and str(raised.value).isascii()


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"candidates": NaN}', "{} {}", "\ufeff{}", b"\xff\xfe{}"])
def test_parse_page_refuses_what_is_no_json(text):
    with pytest.raises(PageError, match="the page is not JSON: wanted one JSON object"):
        parse_page(text)


@pytest.mark.parametrize("text", ["null", "17", '"page"', "[]"])
def test_parse_page_refuses_json_that_is_no_object(text):
    with pytest.raises(PageError, match="the page is no object"):
        parse_page(text)


VALUES = [None, True, 0, 1, -1, 1.5, 1e300, 10**400, float("nan"), float("inf"), "", "a", "b", "2024-01-01", "\ud800"]
KEYS = st.sampled_from(["row_id", "pinned", "position", "title_id", "watched_at"])
LEAVES = st.sampled_from(VALUES)
LISTS = st.lists(LEAVES | st.dictionaries(KEYS, LEAVES, max_size=3) | st.just([]), max_size=4)
JSON = LEAVES | LISTS | st.dictionaries(KEYS, LEAVES, max_size=2)
FIELDS = ["candidates", "watch_history", "timestamp", "device", "location", "utc_offset_minutes", "request_id"]


@given(st.fixed_dictionaries({}, optional={name: JSON for name in FIELDS}))
def test_rank_page_ranks_or_says_why_not_whatever_comes(request):
    try:
        assert rank_page(StandInRanker(), request)["ranked"]
    except PageError as error:
        assert error.what


class Versions:
    """A registry that holds version 7 and no champion."""

    def load(self, version):
        if version != "7":
            raise UnknownVersionError(f"no version {version}")
        return StandInRanker()


def test_rank_text_ranks_json_by_the_version_named():
    assert rank_text(Versions(), "7", b'{"candidates": [{"row_id": "\xc3\xa4"}]}')["ranked"][0]["row_id"] == "ä"


def test_rank_text_says_when_there_is_no_such_version():
    with pytest.raises(UnknownVersionError, match="no version 8"):
        rank_text(Versions(), "8", b'{"candidates": [{"row_id": "a"}]}')


def test_rank_page_needs_no_spark_and_no_tensorflow():
    code = "import sys, pagerec_dbx.stages.rank; print(sorted({'pyspark', 'tensorflow', 'mlflow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
