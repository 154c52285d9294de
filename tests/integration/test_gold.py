"""Cuts and examples, worked out by hand, and against a plain sort."""

import datetime as dt
import random

import pytest
from pyspark.sql import functions as F

from pagerec_dbx.config import PrepareSettings
from pagerec_dbx.errors import LeakageError, NoExamplesError
from pagerec_dbx.pipelines.cuts import find_cuts, with_split
from pagerec_dbx.pipelines.gold import count_splits, examples_from_labelled
from pagerec_dbx.pipelines.order import Cuts, OrderKey, micros_of
from tests.page_views import MONDAY, labelled_page_views, page_view

HOUR = 3_600


def key_of(view: dict) -> OrderKey:
    return OrderKey(micros_of(view["served_at"]), view["request_id"], view["page_view_id"])


def splits_of(frame, cuts) -> dict[int, str]:
    return {record["page_view_id"]: record["split"] for record in with_split(frame, cuts).collect()}


def test_find_cuts_divides_an_instant_by_fraction_and_not_by_timestamp(spark):
    # Ten page views; numbers 5 to 9 share one instant. In order: 1 2 3 4 | 5 (no request id), 8, 7, 6, 9 | 10.
    instant = 5 * HOUR + 0.25
    views = [page_view(number, HOUR * number) for number in (1, 2, 3, 4)]
    views += [page_view(number, instant, request_id=name) for number, name in ((5, None), (6, "c"), (7, "b"))]
    views += [page_view(8, instant, request_id="a"), page_view(9, instant, request_id="c"), page_view(10, 7 * HOUR)]
    frame = labelled_page_views(spark, views)
    # Holdout round(10 x .4) = 4: 7, 6, 9, 10. Validation round(6 x .34) = 2: 5 and 8.
    by_fraction = find_cuts(frame, PrepareSettings(holdout_fraction=0.4, validation_fraction=0.34))
    assert by_fraction == Cuts(key_of(views[4]), key_of(views[6]))
    splits = splits_of(frame, by_fraction)
    assert [splits[number] for number in (1, 2, 3, 4)] == ["train"] * 4
    assert [splits[number] for number in (5, 8)] == ["validation"] * 2
    assert [splits[number] for number in (7, 6, 9, 10)] == ["holdout"] * 4
    # A timestamp at that instant takes all five of it; one microsecond later none of them.
    at = (MONDAY + dt.timedelta(seconds=instant)).isoformat()
    after = (MONDAY + dt.timedelta(seconds=instant, microseconds=1)).isoformat()
    on_time = find_cuts(frame, PrepareSettings(holdout_from=at, validation_from="2024-01-01T02:00:00Z"))
    assert on_time == Cuts(key_of(views[1]), key_of(views[4]))
    assert find_cuts(frame, PrepareSettings(holdout_from=after)).holdout == key_of(views[9])


def test_cuts_agree_with_a_sort_of_all_page_views(spark):
    chance = random.Random(3)
    views = [
        page_view(
            number,
            chance.choice([0, 1.5, 1.500001, 3_599.999999, 3_600, 86_400.5, 90_000]),
            request_id=chance.choice([None, "", "a", "B", "é"]),
        )
        for number in range(120)
    ]
    frame = labelled_page_views(spark, views).cache()
    ordered = sorted(views, key=lambda view: key_of(view).rank)
    for holdout, validation in ((0.5, 0.5), (0.01, 0.99), (0.33, 0.2)):
        cuts = find_cuts(frame, PrepareSettings(holdout_fraction=holdout, validation_fraction=validation))
        last = 120 - round(120 * holdout)
        middle = last - round(last * validation)
        assert cuts == Cuts(key_of(ordered[middle]), key_of(ordered[last]))
        wanted = ["train"] * middle + ["validation"] * (last - middle) + ["holdout"] * (120 - last)
        splits = splits_of(frame, cuts)
        assert [splits[view["page_view_id"]] for view in ordered] == wanted
    frame.unpersist()


def test_examples_hold_what_was_known_and_clicked(spark):
    views = [
        # 23:30 on Monday UTC, 60 minutes ahead: 0:30 on Tuesday. The last 3 of 4 titles; 0.4 s and 90.9 s of age.
        page_view(
            1, 23.5 * HOUR, utc_offset_minutes=60, titles=[("t1", 400), ("t2", None), ("t3", 90.9), ("t4", 0.4)],
            rows=["b", "a"], labels=[1, 1], pinned=[1], device=None,
        ),
        page_view(2, HOUR, labels=[0, 0, 0]),
        # 0:10 on Monday, 30 minutes behind: 23:40 on Sunday.
        page_view(3, 600, utc_offset_minutes=-30, randomized=True),
    ]  # fmt: skip
    frame = examples_from_labelled(labelled_page_views(spark, views), history_length=3)
    first, third = frame.orderBy("page_view_id").collect()  # the second has no click
    assert (first["hour"], first["weekday"], third["hour"], third["weekday"]) == (0, 1, 23, 6)
    assert first["history"] == ["t2", "t3", "t4"]
    assert first["history_age"] == [0, 90, 1]
    assert (first["menu"], first["pinned"], first["clicked"]) == (["b", "a"], [0, 1], [1, 1])
    assert (first["device"], first["location"], first["randomized"]) == (None, "NO", False)
    assert (third["history"], third["history_age"], third["randomized"]) == ([], [], True)
    assert str(first["day"]) == "2024-01-01"  # always UTC


def test_examples_do_not_heed_the_sessions_time_zone(spark):
    frame = labelled_page_views(spark, [page_view(1, 5 * HOUR)]).cache()
    frame.count()
    spark.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
    try:
        record = examples_from_labelled(frame, 3).first()
    finally:
        spark.conf.set("spark.sql.session.timeZone", "UTC")
    assert (record["hour"], record["weekday"]) == (5, 0)


def cuts_between(views) -> Cuts:
    return Cuts(key_of(views[1]), key_of(views[2]))


def test_count_splits_counts_page_views_with_and_without_a_click(spark):
    views = [page_view(number, number) for number in range(3)] + [page_view(3, 3, labels=[0, 0, 0])]
    counts = count_splits(labelled_page_views(spark, views), cuts_between(views))
    assert {split: (count.page_views, count.clicked) for split, count in counts.items()} == {
        "train": (1, 1), "validation": (1, 1), "holdout": (2, 1)
    }  # fmt: skip


def test_count_splits_refuses_a_part_without_a_click(spark):
    views = [page_view(0, 0), page_view(1, 1, labels=[0, 0, 0]), page_view(2, 2)]
    with pytest.raises(NoExamplesError, match="the validation part has no page view with a click.*got 1 page views"):
        count_splits(labelled_page_views(spark, views), cuts_between(views))


@pytest.mark.parametrize("age", [0.0, -5.0])
def test_count_splits_refuses_a_history_that_knows_the_future(spark, age):
    views = [page_view(0, 0), page_view(1, 1, titles=[("t", age)]), page_view(2, 2)]
    with pytest.raises(LeakageError, match="1 labelled page views have a history entry watched at or after"):
        count_splits(labelled_page_views(spark, views), cuts_between(views))
    views[1] = page_view(1, 1, titles=[("t", 0.000001), ("u", None)])  # just before, and trusted
    count_splits(labelled_page_views(spark, views), cuts_between(views))


def test_count_splits_refuses_a_click_from_before_its_page_view(spark):
    views = [page_view(0, 0), page_view(1, 1), page_view(2, 2)]
    labelled = labelled_page_views(spark, views)
    count_splits(labelled, cuts_between(views))  # at the same moment is fine
    before = F.expr("IF(page_view_id = 1, served_at - INTERVAL 1 MICROSECOND, served_at)")
    with pytest.raises(LeakageError, match="^1 labelled page views are labelled with a click from before"):
        count_splits(labelled.withColumn("clicked_at", before), cuts_between(views))
