"""What a viewer was shown before: by hand, against plain Python, and never from the future."""

import datetime as dt
import random

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, example, given, settings
from pyspark.sql import functions as F

from pagerec_dbx.pipelines import shown as pipeline
from pagerec_dbx.pipelines.gold import examples_from_labelled
from pagerec_dbx.pipelines.shown import PAGES, Shown, with_shown, with_shown_before
from pagerec_dbx.schemas import SHOWN
from tests.looking_ahead import LookingAhead
from tests.page_views import MONDAY, labelled_page_views
from tests.shown_world import Places, clicks_of, shown, shown_before


def places_of(frame) -> dict[int, Places]:
    """page_view_id -> (row, position, clicked, age) of each place."""
    records = frame.select("page_view_id", *SHOWN).collect()
    return {number: list(zip(*fields, strict=True)) for number, *fields in records}


def found_in(spark, views, length=5) -> dict[int, Places]:
    return places_of(with_shown(labelled_page_views(spark, views), Shown(length, clicks_of(spark, views))))


def test_what_was_shown_before_worked_out(spark):
    views = [
        shown(1, 0, "abc", ("b", 20), ("b", 5), ("c", 90)),
        shown(2, 20, "de", ("d", 100)),
        shown(3, 90.5, "a"),
        shown(4, 90.5, "f", user_hash="another viewer"),
        shown(5, 100.25, "g"),
    ]
    found = found_in(spark, views)
    assert found[1] == found[4] == []
    # 20 s after page 1; b was clicked at 5 s, c is clicked at 90 s
    assert found[2] == [("a", 1, 0, 20), ("b", 2, 1, 20), ("c", 3, 0, 20)]
    # 70 s after page 2, whose d is clicked at 100 s, and 90 s after page 1, whose c was clicked half a second ago
    assert found[3] == [("d", 1, 0, 70), ("e", 2, 0, 70), ("a", 1, 0, 90), ("b", 2, 1, 90), ("c", 3, 1, 90)]
    # 9.75 s after page 3; now d was clicked, a quarter of a second ago; c of page 1 is the sixth place of five
    assert found[5] == [("a", 1, 0, 9), ("d", 1, 1, 80), ("e", 2, 0, 80), ("a", 1, 0, 100), ("b", 2, 1, 100)]


def test_a_click_at_the_very_moment_of_a_page_view_is_not_before_it(spark):
    views = [shown(1, 0, "ab", ("a", 90)), shown(2, 90, "x"), shown(3, 90.000001, "y")]
    found = found_in(spark, views)
    assert found[2] == [("a", 1, 0, 90), ("b", 2, 0, 90)]
    assert found[3] == [("x", 1, 0, 1), ("a", 1, 1, 90), ("b", 2, 0, 90)]  # x: the same second, at least 1


def test_an_age_is_no_more_than_an_int_holds(spark):
    views = [shown(1, -2_147_483_648, "a"), shown(2, 0, "b")]  # 68 years
    assert found_in(spark, views)[2] == [("a", 1, 0, 2_147_483_647)]


# --- against plain Python ---------------------------------------------------------------------------------------------

ROWS = "abcdefgh"
CLICK = st.tuples(st.integers(0, 4), st.sampled_from([0, 0.5, 1, 2, 9]))  # which row; seconds after service
VIEW = st.tuples(
    st.sampled_from([0, 1, 1, 2, 3, 5, 8]),  # when served: many at one instant
    st.lists(st.sampled_from(ROWS), min_size=1, max_size=5, unique=True),
    st.lists(CLICK, max_size=3),
    st.sampled_from("vvvw"),
    st.sampled_from([None, "", "a", "B", "é"]),  # request ids, some alike
)


def world_of(drawn) -> list[dict]:
    views = []
    for number, (seconds, rows, clicks, viewer, request_id) in enumerate(drawn):
        times = [(rows[place % len(rows)], seconds + waited) for place, waited in clicks]
        views.append(shown(number, seconds, rows, *times, user_hash=viewer, request_id=request_id))
    return views


MORE_THAN_TEN = [(number, ["a", "b"], [(number, 3)], "v", None) for number in range(PAGES + 3)]


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(VIEW, min_size=20, max_size=40), st.integers(1, 30))
@example(MORE_THAN_TEN, 500)
def test_what_was_shown_before_agrees_with_plain_python(spark, drawn, length):
    views = world_of(drawn)
    wanted = shown_before(views, length)
    assert found_in(spark, views, length) == wanted
    if drawn is MORE_THAN_TEN:
        assert [len(wanted[number]) for number in (0, 1, 10, 12)] == [0, 2, 20, 20]


def random_world(seed: int, count: int = 60) -> list[dict]:
    """Two viewers, many page views of one instant, clicks that come before, at and after the next page view."""
    chance = random.Random(seed)
    views = []
    for number in range(count):
        seconds = chance.choice([0, 1, 1, 2, 3, 5, 8])
        rows = chance.sample(ROWS, chance.randint(1, 5))
        some = chance.choices(rows, k=chance.choice([0, 0, 1, 1, 2, 3]))
        clicks = [(row, seconds + chance.choice([0, 0.5, 1, 2, 9])) for row in some]
        viewer, request_id = chance.choice("vw"), chance.choice([None, "", "a", "B", "é"])
        views.append(shown(number, seconds, rows, *clicks, user_hash=viewer, request_id=request_id))
    return views


# --- never from the future --------------------------------------------------------------------------------------------


def known_until(views, moment) -> list[dict]:
    """The world as it stood at a moment: later page views are not there, later clicks have not happened."""
    return [
        view | {"clicks": [click for click in view["clicks"] if click[0] < moment]}
        for view in views
        if view["served_at"] <= moment
    ]


def features(spark, views) -> dict[int, tuple]:
    examples = examples_from_labelled(labelled_page_views(spark, views), 5, Shown(9, clicks_of(spark, views)))
    names = [name for name in examples.columns if name not in ("clicked", "page_view_id")]
    return {record["page_view_id"]: tuple(record[name] for name in names) for record in examples.collect()}


def leaks(spark, views, moment) -> bool:
    """Whether any feature of an example served until a moment changes once what came later is known."""
    then, now = features(spark, known_until(views, moment)), features(spark, views)
    return any(then[number] != now[number] for number in then)


def test_later_page_views_and_clicks_never_reach_an_earlier_example(spark):
    for seed, seconds in ((4, 2), (5, 5)):
        assert not leaks(spark, random_world(seed), MONDAY + dt.timedelta(seconds=seconds))


@pytest.mark.parametrize("fault", ["later clicks", "later page views"])
def test_the_look_for_leaks_finds_one(spark, monkeypatch, fault):
    """Control: both kinds of knowledge of the future are noticed."""
    if fault == "later clicks":
        monkeypatch.setattr(pipeline, "_clicked_before", _whenever_clicked)
    else:
        monkeypatch.setattr(pipeline, "Window", LookingAhead)
    assert leaks(spark, random_world(4), MONDAY + dt.timedelta(seconds=2))


def _whenever_clicked(page, row):
    return F.coalesce(F.array_contains(page["clicks"]["row_id"], row), F.lit(False)).cast("tinyint")


# --- page views to be ranked ------------------------------------------------------------------------------------------


def test_page_views_to_be_ranked_have_the_fields_of_their_examples(spark):
    """Labelled ones whatever part of them is asked for; those not labelled yet count among the ten, without rows."""
    views = random_world(6)
    labelled, clicks = views[:45], clicks_of(spark, views[:45])
    asked = [view for view in views if view["page_view_id"] % 3 == 0]
    found = places_of(
        with_shown_before(labelled_page_views(spark, asked), labelled_page_views(spark, labelled), Shown(9, clicks))
    )
    known = {view["page_view_id"] for view in labelled}
    emptied = [view if view["page_view_id"] in known else view | {"menu": [], "clicks": []} for view in views]
    there = [view for view in emptied if view["page_view_id"] in known or view in emptied[::3]]
    wanted = shown_before(there, 9)
    assert found == {view["page_view_id"]: wanted[view["page_view_id"]] for view in asked}
    of_labelled = found_in(spark, labelled, 9)
    before_new = [number for number in found if number in known and found[number] == of_labelled[number]]
    assert len(before_new) >= 5  # where no page view without labels came between, they are the examples' own


def test_a_viewer_of_whom_nothing_is_known_was_shown_nothing(spark):
    known, new = [shown(1, 0, "ab", ("a", 1))], [shown(2, 60, "cd", user_hash="new"), shown(3, 60, "cd")]
    found = places_of(
        with_shown_before(
            labelled_page_views(spark, new), labelled_page_views(spark, known), Shown(4, clicks_of(spark, known))
        )
    )
    assert found == {2: [], 3: [("a", 1, 1, 60), ("b", 2, 0, 60)]}


def test_a_viewer_with_very_many_page_views_stays_bounded(spark):
    """20,000 page views of one viewer: each looks back on ten, whatever came before."""
    menu = "transform(sequence(0, 29), i -> named_struct('row_id', concat('row ', (id + i) % 100)))"
    views = spark.range(20_000).selectExpr(
        "id AS page_view_id", "'v' AS user_hash", "CAST(NULL AS STRING) AS request_id",
        "timestamp_seconds(1704067200 + id) AS served_at", f"{menu} AS menu",
    )  # fmt: skip
    clicks = views.selectExpr("page_view_id", "menu[1].row_id AS row_id", "served_at AS clicked_at")
    found = with_shown(views, Shown(40, clicks))
    sizes = found.groupBy(F.size("shown_row").alias("size"), F.array_max("shown_age").alias("age")).count().collect()
    assert {tuple(record) for record in sizes} == {(0, None, 1), (30, 1, 1), (40, 2, 19_998)}


def test_examples_without_what_was_shown_leave_the_fields_empty(spark):
    record = examples_from_labelled(labelled_page_views(spark, [shown(1, 0, "ab", ("a", 1))]), 5).first()
    assert [record[name] for name in SHOWN] == [None] * 4
