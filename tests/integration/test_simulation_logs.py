"""The logs of a simulated world against a plain reader and a plain join of SPEC 2's rules."""

import collections
import json
from datetime import date, timedelta

import pytest

from pagerec_dbx.hashing import ensure_key, user_hash
from pagerec_dbx.home import open_home
from pagerec_dbx.simulation import pages as simulation_pages
from pagerec_dbx.simulation.lines import LOGS
from pagerec_dbx.stages.simulate import simulate
from tests.simulation_worlds import DAYS, PAGE_VIEWS, SETTINGS, day_of, good_lines, raw_lines, read_line, time_of

WINDOW, REPEAT = timedelta(seconds=120), timedelta(seconds=2)


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    return ensure_key(open_home(str(tmp_path_factory.mktemp("key") / "home")), derived_from_seed=5)[0]


@pytest.fixture(scope="module")
def out(spark, key, tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated") / "logs"
    simulate(spark, key, folder, PAGE_VIEWS, DAYS, SETTINGS)
    return folder


@pytest.fixture(scope="module")
def told(out):
    return json.loads((out / "truth" / "faults.json").read_text())


@pytest.fixture(scope="module")
def pages(out, key):
    """Page views, repeats included: source, viewer, request, served, rows, content."""
    found = []
    for log in ("service_logs", "hashed_payloads"):
        for content in good_lines(out, log):
            viewer = content.get("user_hash") or user_hash(key.read(), content["user_id"])
            page = content.get("payload", content)
            rows = tuple(row["row_id"] for row in page["candidates"])
            found.append((log, viewer, content.get("request_id"), time_of(content), rows, page))
    return found


@pytest.fixture(scope="module")
def clicks(out, key):
    """Click lines: viewer, time, request, row; in no order."""
    found = []
    for content in good_lines(out, "click_logs"):
        viewer = user_hash(key.read(), content["user_id"]) if content["user_id"] else content["user_hash"]
        found.append((viewer, time_of(content), content["request_id"], content["row_click"]))
    for content in good_lines(out, "page_events"):
        if content["event"] == "row_click":
            found.append((content["user_hash"], time_of(content), None, content["row_id"]))
    return found


def test_simulated_page_views_are_just_so_many_and_distinct(pages, told):
    distinct = {page[:5] for page in pages}
    assert len(distinct) == PAGE_VIEWS == told["page_views"]
    assert len({page[1] for page in distinct}) == told["viewers"]
    assert {page[3].date() for page in distinct} == {date(2024, 1, 1) + timedelta(days=d) for d in range(DAYS)}


def test_menus_have_their_sizes_positions_and_pins(pages):
    for *_, rows, content in pages:
        assert SETTINGS.menu_shortest <= len(rows) <= SETTINGS.menu_longest
        assert [row["position"] for row in content["candidates"]] == list(range(len(rows)))
        pinned = [row["position"] for row in content["candidates"] if row["pinned"]]
        assert pinned in ([], [0, 3])
        assert not (pinned and content.get("randomized"))


def test_histories_lie_strictly_before_their_page_view(pages):
    seen = 0
    for *_, served, _, content in pages:
        entries = content["watch_history"]
        assert len(entries) <= SETTINGS.logged_history_length
        if entries and isinstance(entries[0], dict):
            times = [entry["watched_at"] for entry in entries]
            assert times == sorted(times)
            assert times[-1] < served.timestamp() * 1_000
            seen += 1
    assert seen > PAGE_VIEWS / 2


def test_a_viewers_later_history_continues_the_earlier_one(pages):
    by_viewer = collections.defaultdict(list)
    for _, viewer, _, served, _, content in pages:
        if content["watch_history"] and isinstance(content["watch_history"][0], dict):
            by_viewer[viewer].append((served, [tuple(e.values()) for e in content["watch_history"]]))
    compared = 0
    for views in by_viewer.values():
        views.sort()
        for (_, earlier), (_, later) in zip(views, views[1:], strict=False):
            common = [entry for entry in later if entry[1] <= earlier[-1][1]]
            assert earlier[len(earlier) - len(common) :] == common
            compared += bool(common)
    assert compared > 50


def test_fault_counts_equal_a_plain_count_of_the_pages(pages, told):
    repeats = len(pages) - len({page[:5] for page in pages})
    assert repeats == told["faults"]["repeated_pages"] > 0
    by_viewer = collections.defaultdict(list)
    for _, viewer, _, served, *_ in {page[:5] for page in pages}:
        by_viewer[viewer].append(served)
    close = sum(
        later - earlier <= WINDOW
        for times in by_viewer.values()
        for earlier, later in zip(sorted(times), sorted(times)[1:], strict=False)
    )
    assert close == told["faults"]["two_pages_in_window"] > 0


def test_fault_counts_equal_a_plain_count_of_the_lines(out, told):
    late, out_of_order, refused, lines = 0, 0, 0, {}
    for log in LOGS:
        latest = {}
        lines[log] = len(raw_lines(out, log))
        for file, line in raw_lines(out, log):
            content = read_line(line)
            if content is None:
                refused += 1
                continue
            moment = time_of(content)
            if max(moment.date(), date(2024, 1, 1)) < day_of(file):
                late += 1
                continue
            out_of_order += moment < latest.get(file, moment)
            latest[file] = max(moment, latest.get(file, moment))
    assert lines == told["lines"]
    assert late == told["faults"]["late_lines"] > 0
    assert out_of_order == told["faults"]["out_of_order_lines"] > 0
    assert refused == told["faults"]["broken_lines"] + told["faults"]["hostile_lines"]
    assert refused == sum(one["lines"] for one in told["refused"])
    assert len({one["kind"] for one in told["refused"]}) == 11


def test_fates_of_clicks_equal_a_plain_join(pages, clicks, told):
    """Every click line: reduced, joined by the rules of SPEC 2, counted by join and fate."""
    views = sorted({page[:5] for page in pages}, key=lambda page: page[3])
    fates = collections.Counter()
    reduced, repeats = _reduced(clicks)
    fates.update(repeats)
    for viewer, moment, request, row in reduced:
        fates[("keyed", _keyed(views, viewer, moment, request, row))] += request is not None
        fates[("windowed", _windowed(views, viewer, moment, row))] += request is None
    wanted = collections.Counter()
    for one in told["clicks"]:
        fate = "matched" if one["fate"] == "matched_other_page" else one["fate"]
        wanted[(one["join_method"], fate)] += one["lines"]
    assert +fates == wanted
    assert {"repeat", "no_page", "before_page", "other_viewer", "row_not_offered"} < {fate for _, fate in wanted}
    assert any(one["fate"] == "matched_other_page" for one in told["clicks"])


def _reduced(clicks):
    """Clicks after SPEC 2's reduction, and how many lines were repeats, by the join that they would have gone to."""
    by_row = collections.defaultdict(list)
    for viewer, moment, request, row in clicks:
        by_row[viewer, row].append((moment, request is None, request))
    kept, repeats = [], collections.Counter()
    for (viewer, row), records in by_row.items():
        current = before = None
        for moment, _, request in sorted(records, key=lambda record: (record[0], record[1], record[2] or "")):
            other = current is not None and request and current["request"] and current["request"] != request
            if before is None or moment - before >= REPEAT or other:
                current = {"moment": moment, "request": request, "viewer": viewer, "row": row}
                kept.append(current)
            else:
                current["request"] = current["request"] or request
                repeats[("keyed" if request else "windowed", "repeat")] += 1
            before = moment
    return [(one["viewer"], one["moment"], one["request"], one["row"]) for one in kept], repeats


def _keyed(views, viewer, moment, request, row):
    found = [view for view in views if request is not None and view[2] == request]
    for reason, holds in (
        ("no_page", lambda view: True),
        ("before_page", lambda view: view[3] <= moment),
        ("other_viewer", lambda view: view[1] == viewer),
        ("row_not_offered", lambda view: row in view[4]),
    ):
        found = [view for view in found if holds(view)]
        if not found:
            return reason
    return "matched"


def _windowed(views, viewer, moment, row):
    views = [view for view in views if view[0] == "hashed_payloads" and view[1] == viewer]
    views = [view for view in views if timedelta(0) <= moment - view[3] <= WINDOW]
    if not views:
        return "no_page"
    return "matched" if any(row in view[4] for view in views) else "row_not_offered"


def test_same_seed_gives_the_same_lines_however_they_are_divided(spark, out, key, told, tmp_path, monkeypatch):
    import dataclasses

    before = spark.conf.get("spark.sql.shuffle.partitions")
    spark.conf.set("spark.sql.shuffle.partitions", "7")
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "33")
    monkeypatch.setattr(simulation_pages, "_PAGES_PER_PARTITION", 90)  # 13 partitions in place of 4
    try:
        other = dataclasses.replace(SETTINGS, lines_per_file=100, gzip_logs=True)
        again = simulate(spark, key, tmp_path / "again", PAGE_VIEWS, DAYS, other)
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", before)
        spark.conf.unset("spark.sql.execution.arrow.maxRecordsPerBatch")
    for log in (*LOGS, "titles", "rows"):
        assert sorted(line for _, line in raw_lines(out, log)) == sorted(
            line for _, line in raw_lines(tmp_path / "again", log)
        )
    assert len(list((tmp_path / "again" / "service_logs").iterdir())) > len(list((out / "service_logs").iterdir()))
    faults = dict(told["faults"])
    assert {**again.faults, "out_of_order_lines": 0} == {**faults, "out_of_order_lines": 0}
    assert _truth(spark, tmp_path / "again") == _truth(spark, out)


def _truth(spark, folder):
    """The truth's page views, in order of their key."""
    return spark.read.parquet(str(folder / "truth" / "page_views")).orderBy("viewer", "page_index").collect()
