"""What a viewer was shown before and passed over, by hand, against plain Python, and never from the future."""

import datetime as dt
import random

import pytest
from pyspark.sql import Window
from pyspark.sql import functions as F

from pagerec_dbx.pipelines import impressions
from pagerec_dbx.pipelines.gold import examples_from_labelled
from pagerec_dbx.pipelines.impressions import PAGES, with_impressions
from pagerec_dbx.pipelines.order import OrderKey, micros_of
from tests.page_views import MONDAY, labelled_page_views, page_view


def shown(number, seconds, rows, click=None, **given) -> dict:
    """A page view of viewer v; `click` is (row, seconds after Monday midnight)."""
    labels = [int(click is not None and row == click[0]) for row in rows]
    named = {} if click is None else {
        "clicked_row_id": click[0], "clicked_at": MONDAY + dt.timedelta(seconds=click[1])
    }  # fmt: skip
    return page_view(number, seconds, rows=list(rows), labels=labels, **({"user_hash": "v"} | named | given))


def impressions_of(spark, views, length=4) -> dict[int, list[str]]:
    records = with_impressions(labelled_page_views(spark, views), length).select("page_view_id", "impressions")
    return dict(map(tuple, records.collect()))


def passed_over(views, length) -> dict[int, list[str]]:
    """The same in plain Python: for each page view the ten before it, the latest first."""

    def rank(view):
        return OrderKey(micros_of(view["served_at"]), view["request_id"], view["page_view_id"]).rank

    def left(page, view):
        clicked = page["clicked_at"] is not None and page["clicked_at"] < view["served_at"]
        return [row[0] for row in page["menu"] if not (clicked and row[0] == page["clicked_row_id"])]

    found = {}
    for view in views:
        own = [page for page in views if page["user_hash"] == view["user_hash"] and rank(page) < rank(view)]
        latest = sorted(own, key=rank, reverse=True)[:PAGES]
        found[view["page_view_id"]] = [row for page in latest for row in left(page, view)][:length]
    return found


def test_impressions_are_the_rows_passed_over_before(spark):
    views = [
        shown(1, 0, "abc", click=("b", 20)),  # b is clicked before 2 is served
        shown(2, 60, "de", click=("d", 130)),  # d is clicked at 130 s: after 3, before 4 is served
        shown(3, 100, "fg"),
        shown(4, 200, "h", click=("h", 200)),
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


def random_world(seed: int, count: int = 60) -> list[dict]:
    """Two viewers, many page views of one instant, clicks that come before, at and after the next page view."""
    chance = random.Random(seed)
    views = []
    for number in range(count):
        seconds = chance.choice([0, 1, 1, 2, 3, 5, 8])
        rows = chance.sample("abcdefgh", chance.randint(1, 5))
        click = (chance.choice(rows), seconds + chance.choice([0, 0.5, 1, 2, 9])) if chance.random() < 0.7 else None
        viewer, request_id = chance.choice("vw"), chance.choice([None, "", "a", "B", "é"])
        views.append(shown(number, seconds, rows, click, user_hash=viewer, request_id=request_id))
    return views


@pytest.mark.parametrize(("seed", "length"), [(1, 1), (2, 4), (3, 30)])
def test_impressions_agree_with_plain_python(spark, seed, length):
    views = random_world(seed)
    assert impressions_of(spark, views, length) == passed_over(views, length)


def known_until(views, moment) -> list[dict]:
    """The world as it stood at a moment: later page views are not there, later clicks have not happened."""
    nothing = {"clicked_row_id": None, "clicked_at": None}
    return [
        view if view["clicked_at"] is None or view["clicked_at"] < moment else view | nothing
        for view in views
        if view["served_at"] <= moment
    ]


def features(spark, views) -> dict[int, tuple]:
    examples = examples_from_labelled(labelled_page_views(spark, views), 5, 5)
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
        whenever = lambda page: F.filter(page["rows"], lambda row: ~row.eqNullSafe(page["clicked_row_id"]))  # noqa: E731
        monkeypatch.setattr(impressions, "_passed_over", whenever)
    else:
        monkeypatch.setattr(impressions, "Window", _LookingAhead)
    assert leaks(spark, random_world(4), MONDAY + dt.timedelta(seconds=2))


class _LookingAhead:
    """A window that ends one page view after this one."""

    currentRow = 2
    partitionBy = Window.partitionBy


def test_impressions_of_a_viewer_with_very_many_page_views_stay_bounded(spark):
    """20,000 page views of one viewer: each looks back on ten, whatever came before."""
    menu = "transform(sequence(0, 29), i -> named_struct('row_id', concat('row ', (id + i) % 100)))"
    views = spark.range(20_000).selectExpr(
        "id AS page_view_id", "'v' AS user_hash", "CAST(NULL AS STRING) AS request_id",
        "timestamp_seconds(1704067200 + id) AS served_at", f"{menu} AS menu",
        "CAST(NULL AS STRING) AS clicked_row_id", "CAST(NULL AS TIMESTAMP) AS clicked_at",
    )  # fmt: skip
    found = with_impressions(views, 40)
    sizes = found.groupBy(F.size("impressions").alias("size")).count().collect()
    assert dict(map(tuple, sizes)) == {0: 1, 30: 1, 40: 19_998}


def test_settings_of_examples_without_impressions_leave_the_field_empty(spark):
    record = examples_from_labelled(labelled_page_views(spark, [shown(1, 0, "ab", ("a", 1))]), 5).first()
    assert record["impressions"] is None
