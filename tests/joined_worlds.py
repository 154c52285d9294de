"""Small worlds of page views and clicks: what Spark's reductions and joins make of them, and what the oracle does.

Every world has its own viewers and requests, so that one Spark run judges many. Times are microseconds after START.
"""

import collections
import datetime as dt
import os
import zlib

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
PAYLOADS = "hashed_payloads"
# What a line says beside its identity; a history's times are text, as in a log.
SILENT = {"device": None, "history": (), "location": None, "randomized": False, "utc_offset_minutes": None}
_TOLD_OF_CLICK = ("user_hash", "row_id", "request_id", "clicked_at", "source", "records")


def _id(*parts) -> int:
    return zlib.crc32(repr(parts).encode())


def page(source="service_logs", user="v", request="q", time=0, menu=("a", "b"), **said) -> dict:
    request = request if source == "service_logs" else None
    identity = _id(source, user, request, time, menu)
    record = {"id": identity, "source": source, "user": user, "request": request, "time": time, "menu": menu}
    return record | SILENT | said


def click(user="v", row="a", request="q", time=0, source="click_logs") -> dict:
    request = request if source == "click_logs" else None
    identity = _id("click", source, user, request, time, row)
    return {"id": identity, "source": source, "user": user, "request": request, "time": time, "row": row}


def apart(worlds) -> tuple[list[dict], list[dict]]:
    """Many worlds as one: every viewer and request gets its world's number."""
    pages, clicks = [], []
    for number, (of_pages, of_clicks) in enumerate(worlds):
        own = lambda text, number=number: None if text is None else f"{number}-{text}"  # noqa: E731
        for one in of_pages:
            said = {name: one[name] for name in SILENT}
            pages.append(page(one["source"], own(one["user"]), own(one["request"]), one["time"], one["menu"], **said))
        for one in of_clicks:
            clicks.append(click(own(one["user"]), one["row"], own(one["request"]), one["time"], one["source"]))
    return pages, clicks


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
        | {"served_at": _moment(one["time"]), "day": _moment(one["time"]).date(), "late_titles": 0}
        | {name: one[name] for name in SILENT}
        | {"history": [(seen["title_id"], _read(seen["watched_at"])) for seen in one["history"]]}
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


def _read(moment: str | None) -> dt.datetime | None:
    return None if moment is None else dt.datetime.fromisoformat(moment)


def by_spark(spark, page_lines, click_records) -> dict:
    """What Spark makes of one or many worlds, as plain values."""
    bronze_pages, bronze_clicks = _bronze(spark, page_lines, click_records)
    pages = silver.page_views(bronze_pages).persist()
    clicks = silver.clicks(bronze_clicks, 2.0).persist()
    keyed = keyed_matches(pages.where("source = 'service_logs'"), clicks).persist()
    unkeyed = clicks.where("request_id is null")
    matches = keyed.unionByName(windowed_matches(pages.where("source != 'service_logs'"), unkeyed, 120.0)).persist()
    labelled, in_memory = (labelled_page_views(pages, matches, few_clicks) for few_clicks in (False, True))
    assert sorted(labelled.collect()) == sorted(in_memory.collect())
    told = ("records", *SILENT)
    result = {
        "pages": {row.page_view_id: _plain([row[name] for name in told]) for row in pages.collect()},
        "clicks": {row.click_id: _plain([row[name] for name in _TOLD_OF_CLICK]) for row in clicks.collect()},
        "matches": {row.click_id: (row.page_view_id, row.reason) for row in matches.collect()},
        "labels": {
            row.page_view_id: _plain([row.clicked, row.clicked_row_id, row.clicked_at]) for row in labelled.collect()
        },
        "agreement": agreement(pages, clicks, keyed, 120.0).collect(),
    }
    for frame in (pages, clicks, keyed, matches):
        frame.unpersist()
    return result


def _plain(values: list) -> tuple:
    """Spark's times, which it gives without their zone, as times; records as tuples."""
    plain = {dt.datetime: lambda value: value.replace(tzinfo=dt.UTC), list: lambda value: [*map(_plain_in_list, value)]}
    return tuple(plain.get(type(value), lambda value: value)(value) for value in values)


def _plain_in_list(value):
    return _plain(list(value)) if isinstance(value, tuple) else value


def by_oracle(page_lines, click_records) -> dict:
    """The same by the second implementation."""
    pages, clicks = oracle.reduced_pages(page_lines), oracle.reduced_clicks(click_records)
    lines, labels = collections.Counter(one["id"] for one in page_lines), oracle.labels(pages, clicks)
    moment = lambda micros: None if micros is None else _moment(micros)  # noqa: E731
    history = lambda one: [(seen["title_id"], _read(seen["watched_at"])) for seen in one["history"]]  # noqa: E731
    return {
        "pages": {
            one["id"]: (lines[one["id"]], *(history(one) if name == "history" else one[name] for name in SILENT))
            for one in pages
        },
        "clicks": {
            one["id"]: (one["user"], one["row"], one["request"], moment(one["time"]), one["source"], one["records"])
            for one in clicks
        },
        "matches": oracle.matched(pages, clicks),
        "labels": {key: (clicked, row, moment(time)) for key, (clicked, row, time) in labels.items()},
        "agreement": oracle.agreement(pages, clicks),
    }


def require_equal(lines: list[dict], records: list[dict], got: dict, wanted: dict) -> None:
    """Fail with the first world of which the two say something else."""
    everything = [*lines, *records]
    for name in ("pages", "clicks", "matches", "labels"):
        ids = got[name].keys() | wanted[name].keys()
        different = {one for one in ids if got[name].get(one) != wanted[name].get(one)}
        for one in (one for one in everything if one["id"] in different):
            world = [other for other in everything if _world(other) == _world(one)]
            assert got[name].get(one["id"]) == wanted[name].get(one["id"]), f"{name} of {one} in {world}"
        assert not different, name
    agreeing, causes = wanted["agreement"]
    assert sum(row.agrees for row in got["agreement"]) == agreeing
    assert sorted(row.cause for row in got["agreement"] if not row.agrees) == causes


def _world(record: dict) -> str:
    return record["user"].split("-")[0]


# --- by chance --------------------------------------------------------------------------------------------------------

# The moments at which something changes: repeats at 2 s, the window at 120 s, a bucket of the window at 240 s.
OFFSETS = (0, 1, SECOND, 2 * SECOND - 1, 2 * SECOND, 2 * SECOND + 1, 119 * SECOND, 120 * SECOND - 1, 120 * SECOND)
OFFSETS += (120 * SECOND + 1, 121 * SECOND, 122 * SECOND, 240 * SECOND, 240 * SECOND + 1)
MENUS = (("a", "b"), ("b", "a"), ("a",), ("c", "b"))
WORLDS = int(os.environ.get("PAGEREC_WORLDS", "240"))
TITLES = [
    {"title_id": title, "watched_at": at}
    for title in ("s", "t") for at in (None, "2023-12-30T00:00:00.000000Z", "2023-12-30T00:00:00.000001Z")
]  # fmt: skip
SAID = {
    "device": st.sampled_from((None, "tv", "pc", 'a "b"')),
    "history": st.lists(st.sampled_from(TITLES), max_size=2).map(tuple),
    "location": st.sampled_from((None, "DE", "\u00e9", "\U0001f600")),
    "randomized": st.booleans(),
    "utc_offset_minutes": st.sampled_from((None, 0, 6, 60, -60)),
}
times = st.sampled_from(sorted({late + early for late in OFFSETS for early in (0, SECOND, 120 * SECOND)}))
users, rows = st.sampled_from("vvw"), st.sampled_from("abc")
requests = st.sampled_from(("R1", "R2", "R3"))
sources = st.sampled_from(("service_logs", PAYLOADS))
pages = st.builds(page, sources, users, requests, times, st.sampled_from(MENUS), **SAID)
changes = st.one_of(*(st.fixed_dictionaries({name: values}) for name, values in SAID.items()))
clicks = st.builds(click, users, rows, requests | st.none(), times, st.sampled_from(("click_logs", "page_events")))


@st.composite
def worlds(draw):
    """Page views, some open together, some in several lines that differ in a field or two; clicks on them and not."""
    served = draw(st.lists(pages, min_size=1, max_size=3))
    for one in draw(st.lists(st.sampled_from(served), max_size=2)):
        moment = one["time"] + draw(st.sampled_from(OFFSETS))
        served.append(page(one["source"], one["user"], draw(requests), moment, draw(st.sampled_from(MENUS))))
    repeats = st.lists(changes, max_size=2).map(lambda some: dict(collections.ChainMap({}, *some)))
    lines = [one | said for one in served for said in [{}, *draw(st.lists(repeats, max_size=2))]]
    found = draw(st.lists(clicks, max_size=3))
    for _ in range(draw(st.integers(2, 6))):
        of, after = draw(st.sampled_from(served)), draw(st.sampled_from((-1, *OFFSETS)))
        user, row = draw(st.sampled_from((of["user"], of["user"], "w"))), draw(st.sampled_from((*of["menu"], "c")))
        request = draw(st.sampled_from((of["request"], of["request"], "R1", None)))
        source = draw(st.sampled_from(("click_logs", "click_logs", "page_events")))
        found.append(click(user, row, request, of["time"] + after, source))
    return draw(st.permutations(lines)), found


def worlds_made_by_chance() -> list:
    """Drawn first and judged together: a Spark run for each would take hours, and one for a few would see little."""
    found: list = []

    @settings(
        max_examples=WORLDS, database=None, derandomize=True, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(worlds())
    def draw(world):
        found.append(world)

    draw()
    return found
