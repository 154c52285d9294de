"""Forgetting and another key over the whole thread: the home is the one that never had the viewer, or had the key."""

import shutil

import pytest

from pagerec_dbx.config import ForgetSettings, IngestSettings, JoinSettings, settings_from
from pagerec_dbx.hashing import VARIABLE, ensure_key, user_hash
from pagerec_dbx.home import Home, open_home
from pagerec_dbx.schemas import (
    BRONZE_ATTRIBUTES,
    BRONZE_EVENTS,
    BRONZE_PAGE_VIEWS,
    CLICK_MATCHES,
    CLICKS,
    JOIN_HEALTH,
    LABELLED_PAGE_VIEWS,
    PAGE_VIEWS,
    QUARANTINE,
)
from pagerec_dbx.stages.forget import forget
from pagerec_dbx.stages.ingest import ingest
from pagerec_dbx.stages.join import join
from pagerec_dbx.stages.viewer_commands import run_rekey
from pagerec_dbx.tables import Tables
from pagerec_dbx.workbench import Workbench
from tests.log_lines import NOW, click, event, payload, service, write

pytestmark = pytest.mark.slow

OLD, NEW = "1a" * 32, "2b" * 32
DAY = 86_400
SETTINGS = IngestSettings(max_quarantined_share=1.0)
SILVER = (PAGE_VIEWS, CLICKS, CLICK_MATCHES, LABELLED_PAGE_VIEWS, JOIN_HEALTH)
ALL = (*SILVER, BRONZE_PAGE_VIEWS, BRONZE_EVENTS, BRONZE_ATTRIBUTES, QUARANTINE)


def _lines(key: str, but: str = "") -> dict[str, list]:
    """What three viewers did on two days, by log; without one of them if asked for."""

    def hash_of(viewer: str) -> str:
        return user_hash(key.encode(), viewer)

    ann, cat, broken = hash_of("ann"), hash_of("cat"), '{"request_id": "q5", "user_id": "ann", "timestamp": '
    lines = {
        "service_logs": [
            ("ann", service("q1", "ann", 0)), ("ann", service("q1", "ann", 0)), ("bob", service("q2", "bob", 5)),
            ("ann", service("q3", "ann", DAY)), ("cat", service("q4", "cat", DAY + 9)), ("ann", broken),
            ("bob", service("q6", "bob", candidates=[])),
        ],
        "click_logs": [
            ("ann", click("r2", "q1", "ann", 5)), ("ann", click("r2", "q1", "ann", 6)),
            ("bob", click("r1", "q2", "bob", 7)), ("bob", click("r1", "q1", "bob", DAY + 8)),  # on a page of ann's
            ("cat", click("r3", "q4", "cat", DAY + 20)), ("ann", click("r3", "q9", "ann", DAY + 61)),
        ],
        "hashed_payloads": [("ann", payload(ann, 100)), ("cat", payload(cat, 100))],
        "page_events": [
            ("ann", event("r3", ann, 120)), ("cat", event("r2", cat, 121)),
            ("bob", event(user_hash=hash_of("bob"), name="hover")),
        ],
    }  # fmt: skip
    return {source: [line for viewer, line in pairs if viewer != but] for source, pairs in lines.items()}


def _home(spark, folder, logs, key: str, lines: dict[str, list]) -> Tables:
    """A home with these logs, ingested and joined."""
    tables = Tables(spark, open_home(str(folder)))
    tables.home.key_file.write_text(key)
    shutil.rmtree(logs, ignore_errors=True)
    for source, of_source in lines.items():
        write(logs, source, of_source)
    _run(tables, logs)
    return tables


def _run(tables: Tables, logs) -> None:
    ingest(tables, logs, ensure_key(tables.home)[0], SETTINGS, NOW)
    join(tables, JoinSettings())


def _content(tables: Tables, of) -> dict[str, list[str]]:
    found = {table.name: sorted(map(str, tables.read(table).drop("file").collect())) for table in of}
    if "join_health" in found:  # refused lines are counted on the day of ingestion, and stay counted
        found["join_health"] = [record for record in found["join_health"] if "quarantined" not in record]
    return found


@pytest.fixture(autouse=True)
def no_variable(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


def test_a_home_that_forgot_a_viewer_is_one_that_never_had_them(spark, tmp_path):
    """After the next join; and a replay of all logs, under other names, changes nothing."""
    logs = tmp_path / "logs"
    wanted = _content(_home(spark, tmp_path / "without", logs, OLD, _lines(OLD, but="ann")), SILVER)
    tables = _home(spark, tmp_path / "home", logs, OLD, _lines(OLD))
    ann = user_hash(OLD.encode(), "ann")
    assert _content(tables, SILVER) != wanted  # the control
    forget(tables, [ann], lambda: NOW, ForgetSettings())
    assert not any(ann in str(records) for records in _content(tables, ALL).values())
    join(tables, JoinSettings())
    assert _content(tables, SILVER) == wanted

    for source, lines in _lines(OLD).items():
        write(logs, source, lines, "again.jsonl")
    _run(tables, logs)
    assert not any(ann in str(records) for records in _content(tables, ALL).values())
    again = _content(tables, SILVER)
    for name in ("click_matches", "labelled_page_views"):  # elsewhere the others' repeated lines are counted
        assert again[name] == wanted[name]


def test_a_home_of_another_key_is_one_that_was_ingested_by_it(spark, tmp_path):
    """Table by table, the ids of page views and clicks and the texts of refused lines included; so replays fit."""
    logs = tmp_path / "logs"
    tables = _home(spark, tmp_path / "home", logs, OLD, _lines(OLD))
    wanted = _content(_home(spark, tmp_path / "by-new-key", logs, NEW, _lines(NEW)), ALL)
    assert _content(tables, ALL)["page_views"] != wanted["page_views"]  # the control
    (tmp_path / "ids.csv").write_text("user_id\nann\nbob\ncat\n")
    (tmp_path / "new.key").write_text(NEW)
    bench = Workbench(Home(str(tmp_path / "home")), settings_from({}))
    bench.__dict__["tables"] = tables
    run_rekey(bench, tmp_path / "ids.csv", tmp_path / "new.key", drop_refused=False)
    got = _content(tables, ALL)
    for name, records in wanted.items():
        assert got[name] == records, name

    for source, lines in _lines(NEW).items():
        write(tmp_path / "more", source, lines)
    _run(tables, tmp_path / "more")
    again = _content(tables, SILVER)
    for name in ("click_matches", "labelled_page_views"):
        assert again[name] == wanted[name]
