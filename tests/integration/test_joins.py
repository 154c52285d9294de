"""Reductions and joins: cases worked out by hand, and many small worlds against a second implementation.

Every world has its own viewers and requests, so that one Spark run judges them all.
"""

import datetime as dt
import itertools
import zlib

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pagerec_dbx.pipelines import silver
from pagerec_dbx.pipelines.crosscheck import agreement
from pagerec_dbx.pipelines.joins import keyed_matches, labelled_page_views, windowed_matches
from pagerec_dbx.schemas import BRONZE_EVENTS, BRONZE_PAGE_VIEWS
from pagerec_dbx.tables import spark_schema
from tests import join_oracle as oracle

START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
SECOND = 1_000_000
# The moments at which something changes: repeats at 2 s, the window at 120 s, a bucket of the window at 240 s.
OFFSETS = (0, 1, SECOND, 2 * SECOND - 1, 2 * SECOND, 2 * SECOND + 1, 119 * SECOND, 120 * SECOND - 1, 120 * SECOND)
OFFSETS += (120 * SECOND + 1, 121 * SECOND, 122 * SECOND, 240 * SECOND, 240 * SECOND + 1)
MENUS = (("a", "b"), ("b", "a"), ("a",), ("c", "b"))


def _id(*parts) -> int:
    return zlib.crc32(repr(parts).encode())


def page(source="service_logs", user="v", request="q", time=0, menu=("a", "b"), device=None) -> dict:
    request = request if source == "service_logs" else None
    identity = _id(source, user, request, time, menu)
    return {"id": identity, "source": source, "user": user, "request": request, "time": time, "menu": menu} | {
        "device": device
    }


def click(user="v", row="a", request="q", time=0, source="click_logs") -> dict:
    request = request if source == "click_logs" else None
    identity = _id("click", source, user, request, time, row)
    return {"id": identity, "source": source, "user": user, "request": request, "time": time, "row": row}


def _moment(micros: int) -> dt.datetime:
    return START + dt.timedelta(microseconds=micros)


def _bronze(spark, pages, clicks):
    """The records as bronze would hold them."""

    def filled(table, records):
        names = table.column_names
        rows = [tuple(record.get(name) for name in names) for record in records]
        return spark.createDataFrame(rows, spark_schema(table))

    common = {"file": "f", "batch": 1, "refused": False}
    page_records = [
        common
        | {"source": one["source"], "user_hash": one["user"], "page_view_id": one["id"], "request_id": one["request"]}
        | {"served_at": _moment(one["time"]), "randomized": False, "device": one["device"], "history": []}
        | {"day": _moment(one["time"]).date(), "late_titles": 0}
        | {"menu": [(row, row.upper(), place, False) for place, row in enumerate(one["menu"])]}
        for one in pages
    ]
    click_records = [
        common
        | {"source": one["source"], "user_hash": one["user"], "event": "row_click", "click_id": one["id"]}
        | {"request_id": one["request"], "happened_at": _moment(one["time"]), "row_id": one["row"]}
        | {"day": _moment(one["time"]).date()}
        for one in clicks
    ]
    return filled(BRONZE_PAGE_VIEWS, page_records), filled(BRONZE_EVENTS, click_records)


def _joined(spark, page_lines, click_records):
    """What Spark makes of one or many worlds, as plain values."""
    bronze_pages, bronze_clicks = _bronze(spark, page_lines, click_records)
    pages = silver.page_views(bronze_pages).persist()
    clicks = silver.clicks(bronze_clicks, 2.0).persist()
    keyed = keyed_matches(pages.where("source = 'service_logs'"), clicks).persist()
    unkeyed = clicks.where("request_id is null")
    matches = keyed.unionByName(windowed_matches(pages.where("source != 'service_logs'"), unkeyed, 120.0)).persist()
    labelled, in_memory = (labelled_page_views(pages, matches, few_clicks) for few_clicks in (False, True))
    assert sorted(labelled.collect()) == sorted(in_memory.collect())
    compared = agreement(pages, clicks, keyed, 120.0)
    result = {
        "pages": sorted((row.page_view_id, row.device or "") for row in pages.collect()),
        "clicks": sorted(
            (row.click_id, row.user_hash, row.row_id, row.request_id or "", row.clicked_at, row.source, row.records)
            for row in clicks.collect()
        ),
        "matches": {row.click_id: (row.page_view_id, row.reason) for row in matches.collect()},
        "labels": {row.page_view_id: (row.clicked, row.clicked_row_id, row.clicked_at) for row in labelled.collect()},
        "agreement": compared.collect(),
    }
    for frame in (pages, clicks, keyed, matches):
        frame.unpersist()
    return result


def _naive(micros):
    return None if micros is None else _moment(micros).replace(tzinfo=None)


def _wanted(page_lines, click_records):
    pages, clicks = oracle.reduced_pages(page_lines), oracle.reduced_clicks(click_records)
    labels = oracle.labels(pages, clicks)
    return {
        "pages": sorted((one["id"], one["device"] or "") for one in pages),
        "clicks": sorted(
            (
                one["id"],
                one["user"],
                one["row"],
                one["request"] or "",
                _naive(one["time"]),
                one["source"],
                one["records"],
            )
            for one in clicks
        ),
        "matches": oracle.matched(pages, clicks),
        "labels": {key: (clicked, row, _naive(time)) for key, (clicked, row, time) in labels.items()},
        "agreement": oracle.agreement(pages, clicks),
    }


def _require_equal(got, wanted):
    for name in ("pages", "clicks", "matches", "labels"):
        assert got[name] == wanted[name], name
    agreeing, causes = wanted["agreement"]
    assert sum(row.agrees for row in got["agreement"]) == agreeing
    assert sorted(row.cause for row in got["agreement"] if not row.agrees) == causes


# --- by hand ----------------------------------------------------------------------------------------------------------

P = "hashed_payloads"
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
    found, reason = oracle.windowed([page(P, time=5 * SECOND)], click(request=None, time=5 * SECOND + waited))
    assert (found is not None, reason) == (inside, None if inside else "no_page")


HAND_MADE = [
    ([page(), page(device="tv"), page(device="phone")], []),  # a null is written out, and `"` comes before `n`
    ([page(time=0), page(time=1)], [click(time=1)]),  # the latest
    ([page(menu=("b", "a")), page(menu=("a", "b"))], [click()]),  # a tie: "a,b" before "b,a"
    ([page(user="w")], [click()]),
    ([page(time=1)], [click(time=0)]),
    ([page(menu=("c", "b"))], [click()]),
    ([page(time=1), page(user="w", time=0)], [click(time=0)]),  # before_page has passed only w's page: other_viewer
    ([page(P), page(P, time=60 * SECOND, menu=("c", "b"))], [click(request=None, time=61 * SECOND)]),
    ([page(time=0)], [click(time=121 * SECOND)]),  # past the window
    ([page(time=0), page(request="p", time=9 * SECOND)], [click(time=10 * SECOND)]),  # two pages open
    ([page()], [click(request="unknown", time=1)]),  # other
    ([page()], [click(row="b", time=5), click(row="a", time=5)]),  # equal times: the smaller position is first
    *((pages, clicks) for pages, clicks, _ in CASES.values()),
    *(([page(P, time=5 * SECOND)], [click(request=None, time=5 * SECOND + waited)]) for waited, _ in WINDOW_EDGES),
]


def _apart(worlds):
    """Many worlds as one: every viewer and request gets its world's number."""
    pages, clicks = [], []
    for number, (of_pages, of_clicks) in enumerate(worlds):
        own = lambda text, number=number: None if text is None else f"{number}-{text}"  # noqa: E731
        for one in of_pages:
            pages.append(
                page(one["source"], own(one["user"]), own(one["request"]), *_rest(one, "time", "menu", "device"))
            )
        for one in of_clicks:
            clicks.append(click(own(one["user"]), one["row"], own(one["request"]), *_rest(one, "time", "source")))
    return pages, clicks


def _rest(record, *names):
    return [record[name] for name in names]


def test_joins_equal_the_second_implementation_in_cases_made_by_hand(spark):
    lines, records = _apart(HAND_MADE)
    got, wanted = _joined(spark, lines, records), _wanted(lines, records)
    _require_equal(got, wanted)
    reasons = {reason for _, reason in wanted["matches"].values()}
    assert reasons == {None, "no_page", "before_page", "other_viewer", "row_not_offered"}
    assert set(wanted["agreement"][1]) >= {"past_window", "two_pages_open", "other"}


# --- by chance --------------------------------------------------------------------------------------------------------

times = st.sampled_from(sorted({late + early for late, early in itertools.product(OFFSETS, (0, SECOND, 120 * SECOND))}))
users, rows = st.sampled_from("vw"), st.sampled_from("abc")
requests = st.sampled_from(("R1", "R2", "R3"))
pages_of_a_world = st.lists(
    st.builds(
        page, st.sampled_from(("service_logs", P)), users, requests, times,
        st.sampled_from(MENUS), st.sampled_from((None, "tv", "pc")),
    ),
    max_size=6,
)  # fmt: skip
clicks_of_a_world = st.lists(
    st.builds(click, users, rows, requests | st.none(), times, st.sampled_from(("click_logs", "page_events"))),
    max_size=8,
)
worlds = st.lists(st.tuples(pages_of_a_world, clicks_of_a_world), min_size=60, max_size=60)


@settings(
    max_examples=2, deadline=None, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(worlds)
def test_joins_equal_the_second_implementation_in_worlds_made_by_chance(spark, of_chance):
    lines, records = _apart(of_chance)
    _require_equal(_joined(spark, lines, records), _wanted(lines, records))
