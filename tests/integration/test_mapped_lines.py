"""Lines of another form arrive in bronze as the same lines in the default form do."""

import dataclasses
import datetime as dt
import json
import random

import pytest

from pagerec_dbx.hashing import HashingKey, user_hash
from pagerec_dbx.pipelines.attribute_lines import attribute_lines
from pagerec_dbx.pipelines.event_lines import click_log_lines, page_event_lines
from pagerec_dbx.pipelines.lines import Reading
from pagerec_dbx.pipelines.mapping import Mapping
from pagerec_dbx.pipelines.mapping_file import mapping_from
from pagerec_dbx.pipelines.page_view_lines import payload_lines, service_log_lines
from pagerec_dbx.pipelines.parsing import Plausible
from tests import strange_company
from tests.integration.test_bronze import GOOD_PAGES, REFUSED_PAGES
from tests.log_lines import NOW, START, at, click, event, payload, service

SECRET = "5e" * 32
ANN = user_hash(SECRET.encode(), "ann")


@pytest.fixture(scope="module")
def default(tmp_path_factory) -> Reading:
    file = tmp_path_factory.mktemp("key") / "hash.key"
    file.write_text(SECRET)
    plausible = Plausible(dt.datetime(2000, 1, 1, tzinfo=dt.UTC), NOW + dt.timedelta(days=1))
    return Reading(batch=1, key=HashingKey(str(file)), plausible=plausible, max_line_bytes=2_000)


@pytest.fixture(scope="module")
def mapped(default) -> Reading:
    return dataclasses.replace(default, mapping=strange_company.mapping())


def _read(spark, read, lines, reading):
    """What becomes of each line, in order."""
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    frame = spark.createDataFrame(
        [(str(number), text) for number, text in enumerate(texts)], "file string, value string"
    )
    return sorted(
        (row.asDict(recursive=True) for row in read(frame, reading).collect()), key=lambda row: int(row["file"])
    )


def _titles(lines, reading):
    return attribute_lines(lines, "titles", reading)


def _comparable(records):
    """Without the kept text; and whom a line is about is not asked where the id itself may be an object."""
    unasked = {"raw", "user_hash"}
    return [
        {name: value for name, value in record.items() if name not in (unasked if record["reason"] else {"raw"})}
        for record in records
    ]


PAGES = [line for line in (*GOOD_PAGES.values(), *(line for line, _ in REFUSED_PAGES)) if isinstance(line, dict)]
PAYLOADS = [
    payload(), payload(device="tv", watch_history=[{"title_id": "t", "watched_at": 1704067199999}, "s"]),
    payload(user_hash=None), payload(candidates=[]), payload(user_hash=["h"]), payload(user_hash=7),
]  # fmt: skip
CLICKS = [
    click(), click(user_id=None, user_hash="upstream"), click(user_id=None), click(row=None), click(row_position=-1),
    click(request_id={"a": 1}), click(timestamp=1704067200123), click(row_click_title="[A]", row_position=3),
    click(request_id=None),
]  # fmt: skip
EVENTS = [event(), event(row=None), event(position=2**33), event(user_hash=5), event(transaction="play")]
TITLES = [{"title_id": "t", "attributes": {"n": 5, "w": ["a"]}}, {"title_id": 7}, {"title_id": "t", "attributes": [1]}]


@pytest.mark.parametrize(
    ("read", "lines", "strange"),
    [
        (service_log_lines, PAGES, strange_company.strange_service),
        (payload_lines, PAYLOADS, strange_company.strange_payload),
        (click_log_lines, CLICKS, strange_company.strange_click),
        (page_event_lines, EVENTS, strange_company.strange_event),
        (_titles, TITLES, strange_company.strange_title),
    ],
    ids=["service_logs", "hashed_payloads", "click_logs", "page_events", "titles"],
)
def test_the_same_lines_in_another_form_are_the_same_records(spark, default, mapped, read, lines, strange):
    wanted = _read(spark, read, lines, default)
    got = _read(spark, read, map(strange, lines), mapped)
    assert _comparable(got) == _comparable(wanted)
    assert {record["reason"] is None for record in got} == {True, False}
    # without the mapping none of them is good, so the records above owe it everything
    assert all(record["reason"] for record in _read(spark, read, map(strange, lines), default))


# --- what a path can meet ---------------------------------------------------------------------------------------------


def _strange(**changes) -> dict:
    return strange_company.strange_service(service()) | changes


CASES = {
    "no object on the way to the request": (_strange(meta="x"), "wrong_type"),
    "nothing on the way to the user": (_strange(who=None), "missing_user_id"),
    "a list on the way to the user": (_strange(who=[{"account": {"id": "ann"}}]), "wrong_type"),
    "an object as the user's id": (_strange(who={"account": {"id": {"a": 1}}}), "wrong_type"),
    "a list as the user's id": (_strange(who={"account": {"id": ["ann"]}}), "wrong_type"),
    "an object as a row's id": (_strange(page={"shelves": [{"id": "r"}, {"id": {"a": 1}}]}), "wrong_type"),
    "a list as a row's title": (_strange(page={"shelves": [{"id": "r", "name": ["R"]}]}), "wrong_type"),
    "a row without id": (_strange(page={"shelves": [{"name": "R"}]}), "missing_row_id"),
    "no row": (_strange(page={"shelves": [None]}), "wrong_type"),
    "a row that is no object": (_strange(page={"shelves": ["r"]}), "wrong_type"),
    "a row's place that is no object": (_strange(page={"shelves": [{"id": "r", "slot": 3}]}), "wrong_type"),
    "a menu that is no list": (_strange(page={"shelves": {"id": "r"}}), "wrong_type"),
    "a gap": (_strange(page={"shelves": [{"id": "r", "slot": {"no": 1}}]}), "position_gap"),
    "a title that is no object": (_strange(seen={"titles": [{"content": "t"}]}), "missing_title_id"),
    "one of two titles": (_strange(seen={"titles": [{"content": {"id": "s"}}, {"content": "t"}]}), "missing_title_id"),
    "mixed titles": (_strange(seen={"titles": ["s", {"content": "t"}]}), "missing_title_id"),
    "an object as a title's id": (_strange(seen={"titles": [{"content": {"id": {"a": 1}}}]}), "wrong_type"),
    "a list as a title's time": (_strange(seen={"titles": [{"content": {"id": "t"}, "at": [5]}]}), "wrong_type"),
    "milliseconds for seconds": (
        _strange(seen={"titles": [{"content": {"id": "t"}, "at": 1704067199999}]}),
        "implausible_time",
    ),
    "the default names": (service(), "missing_request_id"),
    # Texts that look like objects or lists are texts, whatever stands behind the same key elsewhere in the line.
    "text like a list": (_strange(client={"kind": "[REC]"}, more={"kind": [1]}), None),
    "text like an object": (_strange(client={"kind": "{tv}", "geo": {"name": "{1}"}}, more={"kind": {}}), None),
    "a title like a list": (_strange(page={"shelves": [{"id": "[r]", "name": "[R]"}]}, more={"name": [1]}), None),
}


def test_a_path_that_leads_to_something_else_refuses_the_line(spark, mapped):
    records = _read(spark, service_log_lines, [line for line, _ in CASES.values()], mapped)
    assert {name: record["reason"] for name, record in zip(CASES, records, strict=True)} == {
        name: reason for name, (_, reason) in CASES.items()
    }


def test_ids_are_read_to_the_letter_where_their_key_stands_several_times(spark, mapped):
    line = (
        '{"id":1.1,"meta":{"request":{"id":1.10},"at":"2024-01-01T00:00:00Z"},"who":{"account":{"id":3.70,"old":1}},'
        '"page":{"shelves":[{"id":2.50},{"id":12345678901234567890}]}}'
    )
    (record,) = _read(spark, service_log_lines, [line.replace('"id":1.1,', "")], mapped)
    assert (record["reason"], record["request_id"]) == (None, "1.10")
    assert record["user_hash"] == user_hash(SECRET.encode(), "3.70")
    assert [row["row_id"] for row in record["menu"]] == ["2.5", "12345678901234567890"]


def test_a_default_id_is_not_taken_from_another_place(spark, default):
    line = f'{{"more":{{"request_id":2.50}},"request_id":1.10,"user_id":"ann","timestamp":"{at(1)}","row_click":"r"}}'
    (record,) = _read(spark, click_log_lines, [line], default)
    assert (record["reason"], record["request_id"]) == (None, "1.10")


def test_what_is_mapped_to_nothing_is_absent(spark, default):
    nothing = mapping_from(
        {
            "service_logs": {
                "watch_history": None,
                "device": None,
                "candidates": {"position": None, "row_title": None, "pinned": None},
            }
        }
    )
    line = service(device="tv", watch_history=["t"], candidates=[{"row_id": "b", "position": 7}, {"row_id": "a"}])
    (record,) = _read(spark, service_log_lines, [line], dataclasses.replace(default, mapping=nothing))
    assert (record["reason"], record["device"], record["history"]) == (None, None, [])
    assert [tuple(row.values()) for row in record["menu"]] == [("b", None, 0, False), ("a", None, 1, False)]


def test_constants_stand_in_every_good_line(spark, default):
    constants = {"device": "tv", "randomized": True, "utc_offset_minutes": -60}
    content = {"service_logs": {name: {"constant": value} for name, value in constants.items()}}
    reading = dataclasses.replace(default, mapping=mapping_from(content))
    (record,) = _read(spark, service_log_lines, [service(device={"kind": 1})], reading)
    assert record["reason"] is None and {name: record[name] for name in constants} == constants


# --- times ------------------------------------------------------------------------------------------------------------

_START_US = int(START.timestamp()) * 1_000_000


def _spellings(micros: int) -> dict[str, list]:
    """The ways to write an instant in each unit: number, text, ISO 8601 in any, and digits finer than a microsecond."""
    iso = (dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=micros)).isoformat(timespec="microseconds") + "Z"
    whole = {"s": micros // 1_000_000, "ms": micros // 1_000, "us": micros}
    seconds, millis = f"{micros // 1_000_000}.{micros % 1_000_000:06}", f"{micros // 1_000}.{micros % 1_000:03}"
    exact = {"s": [seconds, float(seconds)], "ms": [millis, float(millis)], "us": [str(micros), micros]}
    finer = {"s": f"{seconds}9", "ms": f"{millis}9", "us": f"{micros}.9"}  # they are cut and not rounded
    return {unit: [whole[unit], *exact[unit], iso, finer[unit]] for unit in exact}


@pytest.mark.parametrize("unit", ["ms", "s", "us"])
def test_times_are_read_in_their_unit_to_the_microsecond(spark, default, unit):
    chance = random.Random(17)
    instants = [_START_US + chance.randrange(8 * 86_400_000_000) for _ in range(200)] + [_START_US]
    size = {"s": 1_000_000, "ms": 1_000, "us": 1}[unit]
    cases = [(time, micros) for micros in instants for time in _spellings(micros)[unit]]
    cases = [(time, micros if place % 5 else micros // size * size) for place, (time, micros) in enumerate(cases)]
    history = [{"title_id": "t", "watched_at": time} for time, _ in cases[:8]]
    content = {"timestamp": {"unit": unit}, "watch_history": {"watched_at": {"unit": unit}}}
    reading = dataclasses.replace(default, mapping=mapping_from({"service_logs": content}))
    later = service(timestamp="2024-01-09T12:00:00Z", watch_history=["s", *history])
    lines = [*(service(timestamp=time) for time, _ in cases), later]
    records = _read(spark, _with_micros, lines, reading)
    assert [(record["reason"], record["micros"]) for record in records[:-1]] == [(None, micros) for _, micros in cases]
    assert records[-1]["watched"] == [None, *(micros for _, micros in cases[:8])]


def _with_micros(lines, reading):
    return service_log_lines(lines, reading).selectExpr(
        "file", "reason", "unix_micros(served_at) micros", "transform(history, h -> unix_micros(h.watched_at)) watched"
    )


@pytest.mark.parametrize("unit", ["ms", "s", "us"])
def test_times_beyond_all_numbers_are_implausible(spark, default, unit):
    # 2^64 microseconds after a good time: what bigint would make of it is that time.
    wrapped = (_START_US + 2**64) / {"s": 1_000_000, "ms": 1_000, "us": 1}[unit]
    times = [wrapped, 10**15, 10**18, 10**25, 10**40, "9" * 31, -1, 1e300, "-5"]
    reading = dataclasses.replace(default, mapping=mapping_from({"click_logs": {"timestamp": {"unit": unit}}}))
    wanted = ["implausible_time"] * len(times)
    if unit == "us":
        wanted[1] = None  # 10^15 us lie in the year 2001
    records = _read(spark, click_log_lines, [click(timestamp=time) for time in times], reading)
    assert [record["reason"] for record in records] == wanted


# --- quarantine -------------------------------------------------------------------------------------------------------


def test_a_refused_line_of_another_form_holds_no_raw_id(spark, mapped, default):
    good = json.dumps(strange_company.strange_service(service(user_id="anna-smith")) | {"user_hash": "h"})
    lines = [
        good[:-1],
        good.replace("shelves", "shelf"),
        good.replace('"anna-smith"', '{"x": "anna-smith"}'),
        good[:-40],
    ]
    records = _read(spark, service_log_lines, lines, mapped)
    anna = user_hash(SECRET.encode(), "anna-smith")
    assert [record["reason"] for record in records] == ["not_json", "missing_candidates", "wrong_type", "not_json"]
    assert not [record for record in records if "anna" in record["raw"] or "smith" in record["raw"]]
    assert records[1]["user_hash"] == anna and anna in records[1]["raw"]
    # the guard off: without the mapping the id would stay
    by_default = _read(spark, service_log_lines, lines, default)
    assert any("anna-smith" in record["raw"] for record in by_default)


def test_a_refused_click_says_whom_it_is_about(spark, mapped):
    line = strange_company.strange_click(click(row=None, request_id="q", row_click_title="R"))
    (record,) = _read(spark, click_log_lines, [line | {"id": "other"}], mapped)
    assert (record["reason"], record["user_hash"]) == ("missing_row_click", ANN)


def test_the_default_mapping_asks_for_the_default_form(default):
    assert default.mapping == Mapping() and default.mapping.of("service_logs").keeps()
