"""A replay of the logs does not bring a forgotten viewer back, by the stream or without it."""

import dataclasses

import pytest

from pagerec_dbx.config import IngestSettings
from pagerec_dbx.hashing import ensure_key, user_hash
from pagerec_dbx.pipelines.bronze import typed_lines
from pagerec_dbx.pipelines.files import list_log_files, read_lines
from pagerec_dbx.pipelines.lines import Reading
from pagerec_dbx.pipelines.quarantine import mask_line, without_forgotten
from pagerec_dbx.schemas import FORGOTTEN, INGESTED_FILES, PAGE_VIEWS, QUARANTINE
from pagerec_dbx.stages.ingest import _plausible, _typed, ingest
from pagerec_dbx.stages.viewer_traces import frame_of
from pagerec_dbx.tables import Tables
from tests.log_lines import NOW, click, event, payload, service, write
from tests.viewer_world import content, naming

SETTINGS = IngestSettings(max_quarantined_share=1.0)
BROKEN = '{"user_id": "bob", "request_id": 1, "user_id": "ann"'  # of bob's and ann's, and no JSON


def _logs(logs) -> None:
    write(logs, "service_logs", [service("q1", "ann", 0), service("q2", "bob", 5), BROKEN, "{"])
    write(logs, "click_logs", [click("r2", "q1", "ann", 5), click("r1", "q2", "bob", 6)], "odd[1].jsonl")  # no stream


def _hashed_logs(logs, ann: str) -> None:
    write(logs, "hashed_payloads", [payload(ann, 9)])
    write(logs, "page_events", [event("r3", ann, 12), event("r3", "cat", 12)])


def _forget(tables: Tables, *hashes: str) -> None:
    listed = frame_of(tables.spark, "user_hash", hashes).selectExpr("*", "now() forgotten_at", "now() removed_at")
    tables.insert_new(FORGOTTEN, listed)


@pytest.mark.slow
def test_lines_of_a_forgotten_viewer_are_counted_and_not_kept(tables, tmp_path):
    key, _ = ensure_key(tables.home, derived_from_seed=1)
    ann = user_hash(key.read(), "ann")
    _logs(tmp_path / "logs")
    _forget(tables, ann)
    # Of 6 lines 1 is refused for what it is, 3 are ann's, which say nothing of the health of the logs: 1/6 < .2 < 4/6.
    strict = IngestSettings(max_quarantined_share=0.2, min_lines_for_share=6)
    result = ingest(tables, tmp_path / "logs", key, strict, NOW)
    assert (result.read, result.good, result.quarantined, result.forgotten) == (6, 2, 4, 3)
    lines = tables.read(QUARANTINE).select("source", "reason", "raw", "user_hash").collect()
    of_ann = [line for line in lines if line["reason"] == "forgotten_viewer"]
    assert sorted(line["source"] for line in of_ann) == ["click_logs", "service_logs", "service_logs"]
    assert all(line["raw"] is None and line["user_hash"] is None for line in of_ann)
    assert tables.read(INGESTED_FILES).where("lines <> good + quarantined").isEmpty()
    found = content(tables)
    assert naming(found, ann) == {"forgotten": 1}
    assert naming(found, user_hash(key.read(), "bob")).keys() == {
        "bronze_page_views", "bronze_events", "page_views", "clicks",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("listed", [False, True])
def test_lines_of_every_log_are_kept_or_not_by_the_list(tables, tmp_path, listed):
    """Without the list it is the control."""
    key, _ = ensure_key(tables.home, derived_from_seed=1)
    ann = user_hash(key.read(), "ann")
    _logs(tmp_path / "logs")
    _hashed_logs(tmp_path / "logs", ann)
    if listed:
        _forget(tables, ann)
    result = ingest(tables, tmp_path / "logs", key, SETTINGS, NOW)
    assert (result.read, result.good, result.quarantined) == ((9, 3, 6) if listed else (9, 7, 2))
    kept = {"bronze_page_views", "bronze_events", "page_views", "clicks", "quarantine"}
    assert naming(content(tables), ann).keys() == ({"forgotten"} if listed else kept)


@pytest.mark.slow
@pytest.mark.parametrize("begun", [False, True])
def test_a_stopped_forget_that_has_not_come_to_bronze_does_not_let_silver_have_the_viewer_again(
    tables, tmp_path, begun
):
    """A late line of the day makes silver anew from bronze; without the list it is the control."""
    key, _ = ensure_key(tables.home, derived_from_seed=1)
    ann = user_hash(key.read(), "ann")
    write(tmp_path / "logs", "service_logs", [service("q1", "ann", 0), service("q2", "bob", 5)])
    ingest(tables, tmp_path / "logs", key, SETTINGS, NOW)
    tables.delete(PAGE_VIEWS, f"user_hash = '{ann}'")
    if begun:
        listed = frame_of(tables.spark, "user_hash", [ann])
        tables.insert_new(FORGOTTEN, listed.selectExpr("*", "now() forgotten_at", "CAST(NULL AS timestamp) removed_at"))
    write(tmp_path / "logs", "service_logs", [service("q3", "cat", 9)], "late.jsonl")
    ingest(tables, tmp_path / "logs", key, SETTINGS, NOW)
    requests = {row["request_id"] for row in tables.read(PAGE_VIEWS).select("request_id").collect()}
    assert requests == ({"q2", "q3"} if begun else {"q1", "q2", "q3"})


def test_an_empty_list_costs_nothing_in_the_plan(tables, tmp_path):
    key, _ = ensure_key(tables.home, derived_from_seed=1)
    _hashed_logs(tmp_path / "logs", "ann")
    files = [file for file in list_log_files(tmp_path / "logs") if file.source == "hashed_payloads"]
    lines = read_lines(tables.spark, files)
    reading = Reading(1, key, _plausible(SETTINGS, NOW), SETTINGS.max_line_bytes)
    plans = []
    for one in (reading, dataclasses.replace(reading, forgotten=frozenset({"somebody"}))):
        if one.forgotten:
            _forget(tables, *one.forgotten)
        plans.append(str(_typed(tables, lines, "hashed_payloads", one)._jdf.queryExecution().optimizedPlan()))
    plain = str(typed_lines(lines, "hashed_payloads", reading)._jdf.queryExecution().optimizedPlan())
    assert plans[0].count("Join") == plain.count("Join") == plans[1].count("Join") - 1


@pytest.mark.parametrize(
    ("forgotten", "kept"),
    [
        ((), True),
        (("cat",), True),
        (("ann",), False),
        (("bob",), False),
    ],
)
def test_a_text_that_names_a_forgotten_viewer_is_not_kept(forgotten, kept):
    secret = b"key"
    hashes = frozenset(user_hash(secret, viewer) for viewer in forgotten)
    raw, found = without_forgotten(mask_line(BROKEN.encode(), secret), hashes)
    assert (raw is not None) == kept
    assert found == user_hash(secret, forgotten[0] if forgotten and not kept else "bob")
