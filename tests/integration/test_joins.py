"""Reductions and joins: cases worked out by hand, many small worlds against a second implementation, and one viewer who
never rests.
"""

import collections
import re

import numpy as np
import pytest
from pyspark.sql import functions as F

from pagerec_dbx.pipelines.joins import windowed_matches
from tests import join_oracle as oracle
from tests.joined_worlds import (
    PAYLOADS,
    SECOND,
    SILENT,
    apart,
    by_oracle,
    by_spark,
    click,
    page,
    require_equal,
    worlds_made_by_chance,
)

# --- by hand ----------------------------------------------------------------------------------------------------------

CASES = {
    # R1, R2, R1 within a second are three clicks; the fourth repeats the third.
    "three requests": ([], [click(request=r, time=t) for r, t in (("R1", 0), ("R2", 1), ("R1", 2), ("R1", 3))], 3),
    # A record without a request repeats either; one with a request is taken over by a click that has none.
    "taken over": ([], [click(request=None, time=0), click(request="R1", time=1), click(request=None, time=2)], 1),
    # 1.999999 s is a repeat and 2.000000 s is not; a chain of repeats may be longer than 2 s.
    "chain": ([], [click(time=t) for t in (0, 1_999_999, 3_999_998, 5_999_998)], 2),
    "other row": ([], [click(row="a"), click(row="b")], 2),
    "two sources": ([], [click(request=None), click(source="page_events", time=1)], 1),
}


@pytest.mark.parametrize("name", CASES)
def test_reduced_clicks_of_the_oracle_are_those_worked_out_by_hand(name):
    _, records, number = CASES[name]
    assert len(oracle.reduced_clicks(records)) == number


WINDOW_EDGES = [(0, True), (120 * SECOND, True), (120 * SECOND + 1, False), (-1, False)]


@pytest.mark.parametrize("waited, inside", WINDOW_EDGES)
def test_windowed_of_the_oracle_includes_both_ends(waited, inside):
    found, reason = oracle.windowed([page(PAYLOADS, time=5 * SECOND)], click(request=None, time=5 * SECOND + waited))
    assert (found is not None, reason) == (inside, None if inside else "no_page")


HAND_MADE = [
    ([page(), page(device="tv"), page(device="phone")], []),  # a null is written out, and `"` comes before `n`
    ([page(time=0), page(time=1)], [click(time=1)]),  # the latest
    ([page(menu=("b", "a")), page(menu=("a", "b"))], [click()]),  # a tie: "a,b" before "b,a"
    ([page(user="w")], [click()]),
    ([page(time=1)], [click(time=0)]),
    ([page(menu=("c", "b"))], [click()]),
    ([page(time=1), page(user="w", time=0)], [click(time=0)]),  # before_page has passed only w's page: other_viewer
    ([page(PAYLOADS), page(PAYLOADS, time=60 * SECOND, menu=("c", "b"))], [click(request=None, time=61 * SECOND)]),
    ([page(time=0)], [click(time=121 * SECOND)]),  # past the window
    ([page(time=0), page(request="p", time=9 * SECOND)], [click(time=10 * SECOND)]),  # two pages open
    ([page()], [click(request="unknown", time=1)]),  # other
    ([page()], [click(row="b", time=5), click(row="a", time=5)]),  # equal times: the smaller position is first
    *((pages, clicks) for pages, clicks, _ in CASES.values()),
    *(
        ([page(PAYLOADS, time=5 * SECOND)], [click(request=None, time=5 * SECOND + waited)])
        for waited, _ in WINDOW_EDGES
    ),
]


def test_joins_equal_the_second_implementation_in_cases_made_by_hand(spark):
    lines, records = apart(HAND_MADE)
    got, wanted = by_spark(spark, lines, records), by_oracle(lines, records)
    require_equal(lines, records, got, wanted)
    reasons = {reason for _, reason in wanted["matches"].values()}
    assert reasons == {None, "no_page", "before_page", "other_viewer", "row_not_offered"}
    assert set(wanted["agreement"][1]) >= {"past_window", "two_pages_open", "other"}


# --- by chance --------------------------------------------------------------------------------------------------------


def test_joins_equal_the_second_implementation_in_worlds_made_by_chance(spark):
    lines, records = apart(worlds_made_by_chance())
    got, wanted = by_spark(spark, lines, records), by_oracle(lines, records)
    _require_something_of_everything(lines, wanted)
    require_equal(lines, records, got, wanted)
    for name, value in _almost_right():
        with pytest.MonkeyPatch.context() as patch, pytest.raises(AssertionError):
            patch.setattr(oracle, name, value)
            require_equal(lines, records, got, by_oracle(lines, records))


def _almost_right():
    """Rules that are a microsecond or a field away from the right ones: the worlds must tell them apart."""
    for step in (-1, 1):
        yield from (("WINDOW", oracle.WINDOW + step), ("GAP", oracle.GAP + step))
    for left_out in oracle.OTHER_FIELDS:
        yield "OTHER_FIELDS", tuple(name for name in oracle.OTHER_FIELDS if name != left_out)


def _require_something_of_everything(lines: list[dict], wanted: dict) -> None:
    """What the draws seldom hold would be compared in name alone."""
    reasons = collections.Counter(reason for _, reason in wanted["matches"].values())
    assert min(reasons[one] for one in (None, "no_page", "before_page", "other_viewer", "row_not_offered")) >= 3
    causes = collections.Counter(wanted["agreement"][1])
    assert min(causes[one] for one in ("past_window", "two_pages_open", "other")) >= 1
    assert sum(click[-1] > 1 for click in wanted["clicks"].values()) >= 20
    decided = collections.Counter(_deciding_fields(lines))
    assert min(decided[name] for name in SILENT) >= 1


def _deciding_fields(lines: list[dict]):
    """Of each two lines of one page view the first field in which they differ."""
    first: dict = {}
    for line in lines:
        other = first.setdefault(line["id"], line)
        yield next((name for name in SILENT if line[name] != other[name]), None)


# --- one viewer who never rests ---------------------------------------------------------------------------------------

RESTLESS_PAGES, RESTLESS_CLICKS, WINDOW = 100_000, 6_000, 120 * SECOND
BEGIN = 1_704_067_200 * SECOND  # 2024-01-01T00:00:00Z
# A page every 0.8 s, but for ten minutes in the middle. Every hundredth is served together with the one before it, half
# of these with the same menu. `top` is on every page, `common_n` on every seventh, `rare_n` once in 320 s.
_SERVED = f"{BEGIN} + (n - int(n % 100 = 1)) * 800000 + int(n >= {RESTLESS_PAGES // 2}) * {600 * SECOND}"
_OFFERED = "array('top', concat('common_', {n} % 7), concat('rare_', {n} % 400))"
_MENU = f"IF(n % 3 = 0, reverse({_OFFERED}), {_OFFERED})".format(n="(n - int(n % 200 = 1))")
_WAITED = f"array(0, 1, 400000, {60 * SECOND}, {WINDOW - 1}, {WINDOW}, {WINDOW + 1}, -1, {400 * SECOND})"


def _restless(spark):
    """Page views and clicks of the one viewer."""
    pages = (
        spark.range(RESTLESS_PAGES)
        .withColumnRenamed("id", "n")
        .selectExpr(
            "n * 7919 % 100003 AS page_view_id", "'viewer' AS user_hash", f"timestamp_micros({_SERVED}) AS served_at",
            f"transform({_MENU}, row -> named_struct('row_id', row)) AS menu",
        )
    )  # fmt: skip
    before_pause = RESTLESS_PAGES // 2 - 1_000
    of_page = f"IF(id % 10 = 0, {before_pause} + id % 1000, id * 37 % {RESTLESS_PAGES})"
    moment = f"{_SERVED} + {_WAITED}[id % 9]"
    row = f"IF(id % 4 = 3, concat('rare_', id % 400), {_OFFERED}[id % 4])".format(n="n")
    clicks = spark.range(RESTLESS_CLICKS).withColumn("n", F.expr(of_page))
    told = (f"timestamp_micros({moment}) AS clicked_at", f"{row} AS row_id")
    return pages, clicks.selectExpr("id AS click_id", "'viewer' AS user_hash", *told)


def _found_by_searching(pages, clicks, window: int, ties=(False, False)) -> list[tuple]:
    """The same answer from sorted arrays: the last offer of the row that is not after the click.

    Args:
        ties: whether menu and id rise among page views of one moment, of which the last is taken.
    """
    pages = pages.sort_values(["micros", "menu", "page_view_id"], ascending=[True, *ties])
    offers = pages.assign(row_id=pages["menu"].str.split(",")).explode("row_id")
    codes = {row: code for code, row in enumerate(sorted(set(offers["row_id"]) | set(clicks["row_id"])))}

    def keys(frame):
        return frame["row_id"].map(codes).to_numpy() * 10**12 + frame["micros"].to_numpy() - BEGIN

    offers = offers.assign(key=keys(offers)).sort_values("key", kind="stable")
    last = np.searchsorted(offers["key"], keys(clicks), side="right") - 1
    with_row = (last >= 0) & (keys(clicks) - offers["key"].to_numpy()[last] <= window)
    any_last = np.searchsorted(pages["micros"], clicks["micros"], side="right") - 1
    with_page = (any_last >= 0) & (clicks["micros"] - pages["micros"].to_numpy()[any_last] <= window)
    reasons = np.where(with_page, "row_not_offered", "no_page")
    found = zip(clicks["click_id"], with_row, offers["page_view_id"].to_numpy()[last], reasons, strict=True)
    return [(int(one), int(page_id), None) if here else (int(one), None, str(why)) for one, here, page_id, why in found]


def test_windowed_join_holds_for_one_viewer_with_a_hundred_thousand_page_views_in_a_day(spark):
    pages, clicks = (frame.persist() for frame in _restless(spark))
    assert pages.agg(F.count_distinct(F.to_date("served_at")), F.count_distinct("page_view_id")).first() == (1, 100_000)
    matches = windowed_matches(pages, clicks, 120.0)
    assert re.search(r"Join Inner.*bucket#\d+L? = bucket#", matches._jdf.queryExecution().optimizedPlan().toString())
    found = sorted(map(tuple, matches.select("click_id", "page_view_id", "reason").collect()))
    menu = F.array_join(F.col("menu")["row_id"], ",").alias("menu")
    pages_here = pages.select("page_view_id", F.unix_micros("served_at").alias("micros"), menu).toPandas()
    clicks_here = clicks.select("click_id", F.unix_micros("clicked_at").alias("micros"), "row_id").toPandas()
    assert found == _found_by_searching(pages_here, clicks_here, WINDOW)
    counts = collections.Counter(reason for _, _, reason in found)
    assert min(counts[one] for one in (None, "no_page", "row_not_offered")) >= 5
    for almost in ((WINDOW - 1,), (WINDOW + 1,), (WINDOW, (True, False)), (WINDOW, (False, True))):
        assert found != _found_by_searching(pages_here, clicks_here, *almost)
    pages.unpersist(), clicks.unpersist()
