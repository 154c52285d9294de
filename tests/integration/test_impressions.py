"""What a viewer was shown before and passed over, by hand, against plain Python, and never from the future."""

import datetime as dt
import random

import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.pipelines import impressions
from pagerec_dbx.pipelines.gold import examples_from_labelled
from pagerec_dbx.pipelines.impressions import PAGES, Impressions, with_impressions
from pagerec_dbx.pipelines.order import OrderKey, micros_of
from tests.looking_ahead import LookingAhead
from tests.page_views import MONDAY, labelled_page_views, page_view


def shown(number, seconds, rows, *clicks, **given) -> dict:
    """A page view of viewer v; `clicks` are (row, seconds after Monday midnight), in no order."""
    times = [(MONDAY + dt.timedelta(seconds=moment), rows.index(row), row) for row, moment in clicks]
    first = min(times, default=(None, None, None))
    labels = [int(row in {row for row, _ in clicks}) for row in rows]
    named = {"user_hash": "v", "clicked_row_id": first[2], "clicked_at": first[0], "clicks": times}
    return page_view(number, seconds, rows=list(rows), labels=labels, **(named | given))


def clicks_of(spark, views) -> DataFrame:
    """The records of `click_matches`, and one of a click that has no page view."""
    found = [(view["page_view_id"], row, moment) for view in views for moment, _, row in view["clicks"]]
    found.append((None, "a", MONDAY))
    return spark.createDataFrame(found, "page_view_id bigint, row_id string, clicked_at timestamp")


def impressions_of(spark, views, length=4) -> dict[int, list[str]]:
    of_views = Impressions(length, clicks_of(spark, views))
    records = with_impressions(labelled_page_views(spark, views), of_views).select("page_view_id", "impressions")
    return dict(map(tuple, records.collect()))


def passed_over(views, length) -> dict[int, list[str]]:
    """The same in plain Python: for each page view the ten before it, the latest first."""

    def rank(view):
        return OrderKey(micros_of(view["served_at"]), view["request_id"], view["page_view_id"]).rank

    def left(page, view):
        clicked = {row for moment, _, row in page["clicks"] if moment < view["served_at"]}
        return [row[0] for row in page["menu"] if row[0] not in clicked]

    found = {}
    for view in views:
        own = [page for page in views if page["user_hash"] == view["user_hash"] and rank(page) < rank(view)]
        latest = sorted(own, key=rank, reverse=True)[:PAGES]
        found[view["page_view_id"]] = [row for page in latest for row in left(page, view)][:length]
    return found


def test_impressions_are_the_rows_passed_over_before(spark):
    views = [
        shown(1, 0, "abc", ("b", 20)),  # b is clicked before 2 is served
        shown(2, 60, "de", ("d", 130)),  # d is clicked at 130 s: after 3, before 4 is served
        shown(3, 100, "fg"),
        shown(4, 200, "h", ("h", 200)),
        shown(5, 200, "i", user_hash="another viewer"),
        shown(6, 300, "jk"),
    ]
    found = impressions_of(spark, views)
    assert found[1] == []
    assert found[2] == ["a", "c"]
    assert found[3] == ["d", "e", "a", "c"]  # when 3 was served d had not been clicked
    assert found[4] == ["f", "g", "e", "a"]  # c is the fifth
    assert found[5] == []
    assert found[6] == ["f", "g", "e", "a"]  # 4 had one row, which was clicked


def test_every_click_counts_from_its_own_time_on(spark):
    views = [
        shown(1, 0, "abcdef", ("e", 10), ("b", 20), ("b", 5), ("c", 90)),
        shown(2, 20, "g"),  # b was clicked at 5 s and e at 10 s; c is clicked later
        shown(3, 90, "h"),  # c is clicked at the very moment
        shown(4, 90.000001, "i"),
    ]
    found = impressions_of(spark, views)
    assert found[2] == ["a", "c", "d", "f"]
    assert found[3] == ["g", "a", "c", "d"]
    assert found[4] == ["h", "g", "a", "d"]


def random_world(seed: int, count: int = 60) -> list[dict]:
    """Two viewers, many page views of one instant, clicks that come before, at and after the next page view."""
    chance = random.Random(seed)
    views = []
    for number in range(count):
        seconds = chance.choice([0, 1, 1, 2, 3, 5, 8])
        rows = chance.sample("abcdefgh", chance.randint(1, 5))
        some = chance.choices(rows, k=chance.choice([0, 0, 1, 1, 2, 3]))
        clicks = [(row, seconds + chance.choice([0, 0.5, 1, 2, 9])) for row in some]
        viewer, request_id = chance.choice("vw"), chance.choice([None, "", "a", "B", "é"])
        views.append(shown(number, seconds, rows, *clicks, user_hash=viewer, request_id=request_id))
    return views


@pytest.mark.parametrize(("seed", "length"), [(1, 1), (2, 4), (3, 30)])
def test_impressions_agree_with_plain_python(spark, seed, length):
    views = random_world(seed)
    assert impressions_of(spark, views, length) == passed_over(views, length)


def known_until(views, moment) -> list[dict]:
    """The world as it stood at a moment: later page views are not there, later clicks have not happened."""
    return [
        view | {"clicks": [click for click in view["clicks"] if click[0] < moment]}
        for view in views
        if view["served_at"] <= moment
    ]


def features(spark, views) -> dict[int, tuple]:
    examples = examples_from_labelled(labelled_page_views(spark, views), 5, Impressions(5, clicks_of(spark, views)))
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
        monkeypatch.setattr(impressions, "_passed_over", _whenever_clicked)
    else:
        monkeypatch.setattr(impressions, "Window", LookingAhead)
    assert leaks(spark, random_world(4), MONDAY + dt.timedelta(seconds=2))


def _whenever_clicked(page):
    clicked = F.coalesce(page["clicks"]["row_id"], F.array())
    return F.filter(page["rows"], lambda row: ~F.array_contains(clicked, row))


def test_impressions_of_a_viewer_with_very_many_page_views_stay_bounded(spark):
    """20,000 page views of one viewer: each looks back on ten, whatever came before."""
    menu = "transform(sequence(0, 29), i -> named_struct('row_id', concat('row ', (id + i) % 100)))"
    views = spark.range(20_000).selectExpr(
        "id AS page_view_id", "'v' AS user_hash", "CAST(NULL AS STRING) AS request_id",
        "timestamp_seconds(1704067200 + id) AS served_at", f"{menu} AS menu",
    )  # fmt: skip
    clicks = views.selectExpr("page_view_id", "menu[1].row_id AS row_id", "served_at AS clicked_at")
    found = with_impressions(views, Impressions(40, clicks))
    sizes = found.groupBy(F.size("impressions").alias("size")).count().collect()
    assert dict(map(tuple, sizes)) == {0: 1, 29: 1, 40: 19_998}


def test_settings_of_examples_without_impressions_leave_the_field_empty(spark):
    record = examples_from_labelled(labelled_page_views(spark, [shown(1, 0, "ab", ("a", 1))]), 5).first()
    assert record["impressions"] is None
