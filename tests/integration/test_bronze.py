"""What Spark makes of each kind of line: typed columns, or the reason why not."""

import datetime as dt
import json

import numpy as np
import pytest
from pyspark.sql import functions as F

from pagerec_dbx.hashing import HashingKey, user_hash
from pagerec_dbx.pipelines import history_lines, menu_lines
from pagerec_dbx.pipelines.attribute_lines import attribute_lines
from pagerec_dbx.pipelines.event_lines import click_log_lines, page_event_lines
from pagerec_dbx.pipelines.lines import Reading
from pagerec_dbx.pipelines.page_view_lines import payload_lines, service_log_lines
from pagerec_dbx.pipelines.parsing import Plausible
from tests.hostile_lines import spliced
from tests.log_lines import NOW, START, at, click, event, payload, service

SECRET = "5e" * 32
UTC = dt.UTC


@pytest.fixture(scope="module")
def reading(tmp_path_factory) -> Reading:
    file = tmp_path_factory.mktemp("key") / "hash.key"
    file.write_text(SECRET)
    plausible = Plausible(dt.datetime(2000, 1, 1, tzinfo=UTC), NOW + dt.timedelta(days=1))
    return Reading(batch=1, key=HashingKey(str(file)), plausible=plausible, max_line_bytes=2_000)


def _read(spark, read, lines):
    """What becomes of each line, in order."""
    texts = [line if isinstance(line, str | bytes) else json.dumps(line) for line in lines]
    octets = [text if isinstance(text, bytes) else text.encode() for text in texts]
    numbered = [(str(number), bytearray(line)) for number, line in enumerate(octets)]
    frame = spark.createDataFrame(numbered, "file string, value binary")
    return sorted(
        read(frame.selectExpr("file", "cast(value as string) value")).collect(), key=lambda row: int(row.file)
    )


def _dropped(line: dict, name: str) -> dict:
    return {key: value for key, value in line.items() if key != name}


def _candidates(*rows) -> dict:
    return service(candidates=list(rows))


def _with_history(*entries) -> dict:
    return service(watch_history=list(entries))


REFUSED_PAGES = [
    (b"\xff" + json.dumps(service()).encode(), "invalid_utf8"),
    (b'{"user_id": "\xed\xa0\x80"}', "invalid_utf8"),  # half a surrogate pair
    (b'{"user_id": "a\x00b"}', "nul_byte"),
    (json.dumps(service(device="x" * 2_000)), "line_too_long"),
    ("{", "not_json"),
    ("no json", "not_json"),
    (json.dumps(service()) + " rest", "not_json"),
    (json.dumps(service()) * 2, "not_json"),
    (json.dumps(service()) + "," + json.dumps(service()), "not_json"),
    ("{'user_id': 'ann'}", "not_json"),
    ('{"request_id": NaN}', "not_json"),
    ('{"request_id": 012}', "not_json"),
    (json.dumps([service()]), "wrong_type"),
    ("5", "wrong_type"),
    ("null", "wrong_type"),
    (service(request_id={"a": 1}), "wrong_type"),
    (service(user_id=["ann"]), "wrong_type"),
    (service(device={"kind": "tv"}), "wrong_type"),
    (service(utc_offset_minutes=60.5), "wrong_type"),
    (service(utc_offset_minutes="60"), "wrong_type"),
    ('{"utc_offset_minutes": 1e400}', "wrong_type"),
    (service(utc_offset_minutes=2**40), "number_out_of_range"),
    (service(utc_offset_minutes=841), "number_out_of_range"),
    (service(randomized=1), "wrong_type"),
    (service(candidates={"row_id": "r1"}), "wrong_type"),
    (_candidates("r1"), "wrong_type"),
    (_candidates(None), "wrong_type"),
    (_candidates({"row_id": {"a": 1}}), "wrong_type"),
    (_candidates({"row_id": "r", "position": "0"}), "wrong_type"),
    (_candidates({"row_id": "r", "pinned": "yes"}), "wrong_type"),
    (_candidates({"row_title": "R"}), "missing_row_id"),
    (_candidates({"row_id": ""}), "missing_row_id"),
    (_candidates(), "empty_menu"),
    (_candidates({"row_id": "r"}, {"row_id": "r"}), "duplicate_row"),
    (_candidates({"row_id": "r", "position": 1}), "position_gap"),
    (_candidates({"row_id": "r", "position": 0}, {"row_id": "s", "position": 0}), "position_gap"),
    (_candidates({"row_id": "r", "position": -1}, {"row_id": "s", "position": 0}), "position_gap"),
    (service(candidates=None), "missing_candidates"),
    (_dropped(service(), "candidates"), "missing_candidates"),
    (_dropped(service(), "request_id"), "missing_request_id"),
    (_dropped(service(), "timestamp"), "missing_timestamp"),
    (_dropped(service(), "user_id"), "missing_user_id"),
    (service(user_id=""), "missing_user_id"),
    (service(user_id=None, user_hash="h"), "missing_user_id"),
    (service(timestamp="yesterday"), "malformed_time"),
    (service(timestamp="2024-02-30T00:00:00Z"), "malformed_time"),
    (service(timestamp="T12:00"), "malformed_time"),
    (service(timestamp="1999-12-31T23:59:59.999999Z"), "implausible_time"),
    (service(timestamp="2024-01-10T00:00:00.000001Z"), "implausible_time"),
    (service(timestamp=-5), "implausible_time"),
    (service(timestamp=10**15), "implausible_time"),  # microseconds where milliseconds are wanted
    ('{"request_id": "q", "user_id": "u", "timestamp": 1e400, "candidates": [{"row_id": "r"}]}', "malformed_time"),
    (service(watch_history="t"), "wrong_type"),
    (_with_history(None), "wrong_type"),
    (_with_history(["t"]), "wrong_type"),
    (_with_history({"title_id": {"a": 1}}), "wrong_type"),
    (_with_history({"watched_at": at(-1)}), "missing_title_id"),
    (_with_history("t", {"title_id": None}), "missing_title_id"),
    (_with_history({"title_id": "t", "watched_at": "then"}), "malformed_time"),
    (_with_history("s", {"title_id": "t", "watched_at": 1}), "implausible_time"),
]


def test_service_log_lines_says_why_a_line_is_refused(spark, reading):
    records = _read(spark, lambda lines: service_log_lines(lines, reading), [line for line, _ in REFUSED_PAGES])
    got = [(line, record.reason) for (line, _), record in zip(REFUSED_PAGES, records, strict=True)]
    assert got == REFUSED_PAGES
    assert all(record.raw is not None and record.menu is None and record.page_view_id is None for record in records)


GOOD_PAGES = {
    "all null": service(device=None, location=None, randomized=None, watch_history=None, utc_offset_minutes=None),
    "out of order": _candidates({"row_id": "b", "position": 1, "pinned": True}, {"row_id": "a", "position": 0}),
    "no positions": _candidates({"row_id": "b"}, {"row_id": "a"}),
    "numbers": service(request_id=7, user_id=12345678901234567890, candidates=[{"row_id": 5}]),
    "history": _with_history("s", {"title_id": "t", "watched_at": at(-1)}, 5, {"title_id": 6}, "[REC]"),
    "objects": _with_history({"title_id": "late", "watched_at": at(0)}, {"title_id": "t", "watched_at": 1704067199999}),
    "unknown fields": service(more={"deep": [1, {"x": None}]}),
    "last moment": service(timestamp="2024-01-10T00:00:00Z"),
    "first moment": service(timestamp="2000-01-01T00:00:00Z"),
    "carriage return": json.dumps(service()) + "\r",
}


@pytest.fixture(scope="module")
def good_pages(spark, reading):
    records = _read(spark, lambda lines: service_log_lines(lines, reading), GOOD_PAGES.values())
    return dict(zip(GOOD_PAGES, records, strict=True))


def test_service_log_lines_takes_what_may_be_absent(good_pages):
    assert {name: record.reason for name, record in good_pages.items()} == dict.fromkeys(GOOD_PAGES)
    record = good_pages["all null"]
    assert (record.history, record.randomized, record.device, record.utc_offset_minutes) == ([], False, None, None)
    assert record.user_hash == user_hash(SECRET.encode(), "ann")
    assert [tuple(row) for row in record.menu][:1] == [("r1", "R1", 0, False)]


def test_service_log_lines_puts_the_menu_in_order_of_position(good_pages):
    assert [(row.row_id, row.position, row.pinned) for row in good_pages["out of order"].menu] == [
        ("a", 0, False),
        ("b", 1, True),
    ]
    assert [(row.row_id, row.position) for row in good_pages["no positions"].menu] == [("b", 0), ("a", 1)]


def test_service_log_lines_makes_text_of_numeric_ids(good_pages):
    record = good_pages["numbers"]
    assert (record.request_id, record.menu[0].row_id) == ("7", "5")
    assert record.user_hash == user_hash(SECRET.encode(), "12345678901234567890")


def test_service_log_lines_reads_every_kind_of_history(good_pages):
    watched = [(entry.title_id, entry.watched_at) for entry in good_pages["history"].history]
    one_second_before = (START - dt.timedelta(seconds=1)).replace(tzinfo=None)
    assert watched == [("s", None), ("t", one_second_before), ("5", None), ("6", None), ("[REC]", None)]
    # `late` was watched at the very moment of the page view.
    assert good_pages["objects"].late_titles == 1


def test_service_log_lines_gives_the_same_line_the_same_id(good_pages):
    assert good_pages["carriage return"].page_view_id == good_pages["all null"].page_view_id >= 0
    assert len({record.page_view_id for record in good_pages.values()}) == 6  # five share the default page


TIMES = {
    "2024-01-01T00:00:00Z": 0,
    "2024-01-01t00:00:00z": 0,
    "2024-01-01T00:00:00": 0,
    "2024-01-01 00:00": 0,
    "2024-01-01": 0,
    "2024-01-01T01:00:00+01:00": 0,
    "2023-12-31T20:30:00-0330": 0,
    "2024-01-01T01:00+01": 0,
    "2024-01-01T00:00:00.1234567Z": 123_456,
    "2024-01-01T00:00:00,5": 500_000,
    1704067200123: 123_000,
    "1704067200123": 123_000,
    1704067200123.25: 123_250,
    "1.704067200123E12": 123_000,
}


def test_payload_lines_reads_times_to_the_microsecond(spark, reading):
    spark.conf.set("spark.sql.session.timeZone", "America/New_York")  # an offset-free time is UTC even so
    try:
        frame = [payload() | {"timestamp": time} for time in TIMES]
        records = _read(spark, lambda lines: payload_lines(lines, reading).selectExpr(
            "file", "reason", "user_hash", "request_id", "unix_micros(served_at) micros"), frame)  # fmt: skip
    finally:
        spark.conf.set("spark.sql.session.timeZone", "UTC")
    start = int(START.timestamp()) * 1_000_000
    assert [record.reason for record in records] == [None] * len(TIMES)
    assert dict(zip(TIMES, (record.micros - start for record in records), strict=True)) == TIMES
    assert {(record.user_hash, record.request_id) for record in records} == {("hash-of-ann", None)}


def test_payload_lines_says_why_a_line_is_refused(spark, reading):
    cases = [
        (_dropped(payload(), "payload"), "missing_payload"),
        (payload() | {"payload": {}}, "missing_candidates"),
        (payload(candidates=[]), "empty_menu"),
        (payload(user_hash=None), "missing_user_hash"),
        (payload() | {"payload": [1]}, "wrong_type"),
        (payload(location={}), "wrong_type"),
        (payload() | {"timestamp": {"was": 1}}, "wrong_type"),
    ]
    records = _read(spark, lambda lines: payload_lines(lines, reading), [line for line, _ in cases])
    assert [record.reason for record in records] == [reason for _, reason in cases]


def test_click_log_lines_reads_clicks_and_says_why_others_are_refused(spark, reading):
    ann = user_hash(SECRET.encode(), "ann")
    cases = [
        (click(), None, ann),
        (click(user_hash="upstream"), None, ann),  # user_id counts where both are given
        (click(user_id=None, user_hash="upstream"), None, "upstream"),
        (click(user_id=None, user_hash=None), "missing_user_id", None),
        (click(row=None), "missing_row_click", ann),
        (click(row_position=-1), "number_out_of_range", ann),
        (click(row_position=1.5), "wrong_type", ann),
        (click(request_id=["q1"]), "wrong_type", ann),
        (_dropped(click(), "timestamp"), "missing_timestamp", ann),
        ('{"request_id":1.10,"user_id":"ann","timestamp":0,"row_click":"r1"}', "implausible_time", ann),
        (f'{{"request_id":1.10,"user_id":"ann","timestamp":"{at(1)}","row_click":1e5}}', None, ann),
        (click(request_id=None), None, ann),
    ]
    records = _read(spark, lambda lines: click_log_lines(lines, reading), [line for line, *_ in cases])
    assert [(record.reason, record.user_hash) for record in records] == [(reason, user) for _, reason, user in cases]
    assert (records[10].request_id, records[10].row_id) == ("1.10", "1e5")  # to the letter
    assert records[0].event == "row_click" and records[0].click_id >= 0 and records[11].request_id is None


def test_page_event_lines_reads_events_and_says_why_others_are_refused(spark, reading):
    cases = [
        (event(), None),
        (event(name="scroll", row=None), None),
        (event(row=None), "missing_row_id"),
        (event(name="hover"), "unknown_event"),
        (event(name=None), "missing_event"),
        (event(user_hash=None), "missing_user_hash"),
        (event(position=2**33), "number_out_of_range"),
        (event(transaction={"kind": "play"}), "wrong_type"),
    ]
    records = _read(spark, lambda lines: page_event_lines(lines, reading), [line for line, _ in cases])
    assert [record.reason for record in records] == [reason for _, reason in cases]
    assert records[0].click_id is not None and records[1].click_id is None


def test_attribute_lines_tells_words_from_numbers(spark, reading):
    words = {
        "genre": ["a", "b"],
        "name": "5",
        "mark": '"n":5',
        "list": "[REC]",
        "none": None,
        "real": True,
        "some": [1, None],
    }
    numbers = {"n": 5, "half": 0.5, "small": 1e-7, "minus": -3}
    cases = [
        ({"title_id": "t", "attributes": words | numbers}, None),
        ({"title_id": 7}, None),
        ({"attributes": {}}, "missing_title_id"),
        ({"title_id": "t", "attributes": [1]}, "wrong_type"),
        ({"title_id": "t", "attributes": {"deep": {"x": 1}}}, "wrong_type"),
        ('{"title_id": "t", "attributes": {"n": 1e400}}', "number_out_of_range"),
        ('{"title_id": "t", "attributes": {"n": 1, "n": 2}}', "duplicate_attribute"),
        ({"title_id": "t", "attributes": {"n": "Infinity"}}, None),
    ]
    records = _read(spark, lambda lines: attribute_lines(lines, "titles", reading), [line for line, _ in cases])
    assert [record.reason for record in records] == [reason for _, reason in cases]
    assert records[0].numbers == numbers
    assert records[0].attributes == {
        "genre": ["a", "b"], "name": ["5"], "mark": ['"n":5'], "list": ["[REC]"], "real": ["true"], "some": ["1"],
    }  # fmt: skip
    assert (records[1].id, records[1].attributes, records[1].numbers) == ("7", {}, {})


def test_no_plan_holds_the_key(spark, reading):
    frame = spark.createDataFrame([("f", "{}")], "file string, value string")
    plan = service_log_lines(frame, reading)._jdf.queryExecution().toString()
    assert "UDF" in plan and SECRET not in plan


# --- tidy lines -------------------------------------------------------------------------------------------------------


def _tidy_pages(number: int) -> list[bytes]:
    """Pages as services log them: rows with their pins in order, titles with times in milliseconds."""
    lines = []
    for index in range(number):
        rows = [{"row_id": f"r{place}", "row_title": f"Row {place}", "position": place, "pinned": place == 0}
                for place in range(2 + index % 5)]  # fmt: skip
        watched = [{"title_id": f"t{place}", "watched_at": 1_703_000_000_000 + 3_600_000 * place + index}
                   for place in range(index % 4)]  # fmt: skip
        lines.append(json.dumps(service(f"q{index}", candidates=rows, watch_history=watched)).encode())
    return lines


def test_tidy_pages_are_read_as_all_others_are(spark, reading, monkeypatch):
    """Menus and histories are judged as wholes where they are tidy; piece by piece the same lines come out the same."""
    tidy = _tidy_pages(40)
    history = b'"watch_history": [{"title_id": "t", "watched_at": %s}]'
    times = (
        b"-1", b"0", b"1.5e12", b'"1703000000000"', b"null", b"1703000000000.5", b"9223372036854775807", b"1e400",
        b"9" * 20, b"true", b"[1703000000000]", b'{"a": 1}', b"1704067200000", b"4102444800000",
    )  # fmt: skip
    chosen = [json.dumps(service()).encode()[:-1] + b", " + history % time + b"}" for time in times]
    entry = b'"watch_history": [{"title_id": %s, "watched_at": 1703000000000}]'
    titles = (
        b"7", b"1.10", b"1e400", b"-0", b"1e5", b'"a\\ud800b"', b'"a\\u0000b"', b'"a\\"b"', b'"a?b"', b'"a\\nb"',
        b'"\\ud83c\\udfac"', b'"a", "title_id": "b"', b'"a", "more": {"x": [1]}', b'"a", "more": ]',
        b"123456789012345678901234567890",
    )  # fmt: skip
    chosen += [json.dumps(service()).encode()[:-1] + b", " + entry % title + b"}" for title in titles]
    others = b"""null|[]|{}|""|"t"|[null]|[[]]|["t"]|[{}]|[[{"title_id": "t"}]]|[1, {}]""".split(b"|")
    chosen += [json.dumps(service()).encode()[:-1] + b', "watch_history": ' + other + b"}" for other in others]
    lines = tidy + chosen + list(spliced(tidy, 3_000, np.random.default_rng(5)))

    read = lambda: _read(spark, lambda given: service_log_lines(given, reading), lines)  # noqa: E731
    by_wholes = read()
    for module in (menu_lines, history_lines):
        monkeypatch.setattr(module, "_is_tidy", lambda *_: F.lit(False))
    piece_by_piece = read()
    assert [row for row, other in zip(by_wholes, piece_by_piece, strict=True) if row != other] == []
    assert 0.1 < sum(row.refused for row in by_wholes) / len(lines) < 0.9

    monkeypatch.setattr(menu_lines, "_is_tidy", lambda *_: F.lit(True))  # a menu that is not tidy shows
    assert read() != piece_by_piece
