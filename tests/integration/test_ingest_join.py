"""The stages `ingest` and `join` on small logs: conservation, exactly once, nothing of a user's id left."""

import os
import shutil

import pytest

from pagerec_dbx.config import IngestSettings, JoinSettings
from pagerec_dbx.errors import (
    CheckpointError,
    KeyFileError,
    LogsError,
    MissingTableError,
    NoExamplesError,
    QuarantineError,
)
from pagerec_dbx.hashing import HashingKey, ensure_key, user_hash
from pagerec_dbx.home import is_simulated, open_home
from pagerec_dbx.schemas import (
    BRONZE_ATTRIBUTES,
    BRONZE_EVENTS,
    BRONZE_PAGE_VIEWS,
    CLICK_MATCHES,
    CLICKS,
    INGESTED_FILES,
    JOIN_HEALTH,
    LABELLED_PAGE_VIEWS,
    PAGE_VIEWS,
    QUARANTINE,
    ROWS,
    TITLES,
)
from pagerec_dbx.stages.ingest import IngestResult, ingest
from pagerec_dbx.stages.join import join
from pagerec_dbx.tables import Tables
from tests.log_lines import NOW, at, click, event, payload, service, write

SECRET = "7a" * 32
RAW_ID = "ann@somewhere.example"
ALL_TABLES = (
    BRONZE_ATTRIBUTES, BRONZE_EVENTS, BRONZE_PAGE_VIEWS, INGESTED_FILES, QUARANTINE,
    CLICKS, PAGE_VIEWS, ROWS, TITLES,
)  # fmt: skip
STRICT = IngestSettings(min_lines_for_share=10, max_quarantined_share=0.5)


def _first_day(logs):
    """16 lines: 12 good, 4 refused (one of them a whole gz file)."""
    views = [
        service(
            "q1",
            RAW_ID,
            0,
            watch_history=[{"title_id": "t", "watched_at": at(-9)}, {"title_id": "u", "watched_at": at(3)}],
        ),
        service(
            "q1",
            RAW_ID,
            0,
            watch_history=[{"title_id": "t", "watched_at": at(-9)}, {"title_id": "u", "watched_at": at(3)}],
        ),
        service("q2", RAW_ID, 60),
        service("q3", RAW_ID, candidates=[]),
        '{"request_id": "q4", "user_id": "' + RAW_ID,
    ]
    write(logs, "service_logs", [views[0], "", *views[1:], "  \r"], "a b+%20[1]é.jsonl")
    clicks = [
        click("r2", "q1", RAW_ID, 5), click("r2", "q1", RAW_ID, 6), click("r1", "q2", RAW_ID, 190),
        click("zz", "q2", RAW_ID, 61), click("r3", "q9", RAW_ID, 61),
    ]  # fmt: skip
    write(logs, "click_logs", clicks, "a.jsonl.gz")
    cut = write(logs, "click_logs", clicks, "cut.jsonl.gz")
    cut.write_bytes(cut.read_bytes()[:-4])
    write(logs, "hashed_payloads", [payload("bob", 0)])
    write(
        logs, "page_events", [event("r3", "bob", 120), event("r3", "bob", 121.9), event(user_hash="bob", name="hover")]
    )
    write(logs, "titles", [{"title_id": "t", "attributes": {"year": 1999}}])
    return IngestResult(read=16, good=12, quarantined=4, files=6)


def _second_day(logs):
    write(logs, "titles", [{"title_id": "t", "attributes": {"year": 2000, "genre": "space"}}], "later.jsonl")
    os.utime(logs / "titles" / "later.jsonl", (4e9, 4e9))
    write(logs, "service_logs", [service("q1", RAW_ID, 0, device="tv"), service("q5", RAW_ID, 86_400)], "later.jsonl")
    return IngestResult(read=3, good=3, quarantined=0, files=2)


def _home(spark, folder) -> tuple[Tables, HashingKey]:
    home = open_home(str(folder))
    home.key_file.write_text(SECRET)
    return Tables(spark, home), ensure_key(home)[0]


def _content(tables, of=ALL_TABLES):
    return {table.name: sorted(map(str, tables.read(table).collect())) for table in of}


@pytest.fixture(scope="module")
def undisturbed(spark, tmp_path_factory):
    """A home after two days of logs, ingested one by one, and joined."""
    folder = tmp_path_factory.mktemp("undisturbed")
    tables, key = _home(spark, folder / "home")
    first = (_first_day(folder / "logs"), ingest(tables, folder / "logs", key, STRICT, NOW))
    between = _content(tables)
    second = (_second_day(folder / "logs"), ingest(tables, folder / "logs", key, STRICT, NOW))
    return tables, key, folder / "logs", (first, second), between


@pytest.fixture(scope="module")
def joined(undisturbed):
    tables, *_ = undisturbed
    return tables, join(tables, JoinSettings(menu_length=2))


def test_ingest_counts_what_it_read(undisturbed):
    *_, results, _ = undisturbed
    for wanted, got in results:
        assert got == wanted
        assert got.read == got.good + got.quarantined


def test_ingest_accounts_for_every_line_of_every_file(undisturbed):
    tables, _, logs, *_ = undisturbed
    files = {row.file: row for row in tables.read(INGESTED_FILES).collect()}
    assert set(files) == {str(path) for path in logs.glob("*/*")}
    assert all(row.lines == row.good + row.quarantined for row in files.values())
    assert files[str(logs / "service_logs" / "a b+%20[1]é.jsonl")].lines == 5  # two more are blank


def test_ingest_quarantines_with_the_reason_and_the_hash_in_place_of_the_id(undisturbed):
    tables, _, logs, *_ = undisturbed
    ann = user_hash(SECRET.encode(), RAW_ID)
    records = sorted((row.source, row.reason, row.user_hash, row.raw) for row in tables.read(QUARANTINE).collect())
    assert [record[:3] for record in records] == [
        ("click_logs", "unreadable_file", None),
        ("page_events", "unknown_event", "bob"),
        ("service_logs", "empty_menu", ann),
        ("service_logs", "not_json", ann),
    ]
    assert records[0][3] is None and records[3][3] == f'{{"request_id": "q4", "user_id": "{ann}"'
    assert {row.file for row in tables.read(QUARANTINE).where("raw is null").collect()} == {
        str(logs / "click_logs" / "cut.jsonl.gz")
    }


def test_no_table_holds_a_raw_user_id_or_the_key(undisturbed):
    tables, *_ = undisturbed
    texts = [text for records in _content(tables).values() for text in records]
    assert sum(user_hash(SECRET.encode(), RAW_ID) in text for text in texts) > 10
    assert not [text for text in texts if "somewhere" in text or SECRET in text]


def test_silver_holds_one_record_each(undisturbed):
    tables, *_ = undisturbed
    views = {row.request_id: row for row in tables.read(PAGE_VIEWS).collect()}
    assert set(views) == {"q1", "q2", "q5", None}
    # q1 came twice without a device and once from a tv: `"tv"` comes before `null`.
    assert views["q1"].device == "tv" and views["q1"].history == []
    clicks = sorted((row.row_id, row.source, row.request_id) for row in tables.read(CLICKS).collect())
    assert clicks == [
        ("r1", "click_logs", "q2"), ("r2", "click_logs", "q1"), ("r3", "click_logs", "q9"), ("r3", "page_events", None),
        ("zz", "click_logs", "q2"),
    ]  # fmt: skip


def test_silver_takes_attributes_from_the_latest_file(undisturbed):
    tables, *_ = undisturbed
    (title,) = tables.read(TITLES).collect()
    assert (title.title_id, title.attributes, title.numbers) == ("t", {"genre": ["space"]}, {"year": 2000.0})
    assert tables.read(ROWS).isEmpty()


def test_ingest_again_changes_nothing(undisturbed):
    tables, key, logs, *_ = undisturbed
    versions = {table.name: tables.version(table) for table in ALL_TABLES}
    assert ingest(tables, logs, key, STRICT, NOW) == IngestResult(0, 0, 0, 0)
    assert {table.name: tables.version(table) for table in ALL_TABLES} == versions


def test_logs_of_a_simulated_world_mark_the_home_for_good(undisturbed):
    tables, key, logs, *_ = undisturbed
    assert not is_simulated(tables.home)
    (logs / "truth").mkdir()
    (logs / "truth" / "world.json").write_text("{}")  # all that `simulate` leaves there is for people
    ingest(tables, logs, key, STRICT, NOW)
    shutil.rmtree(logs / "truth")
    ingest(tables, logs, key, STRICT, NOW)
    assert is_simulated(tables.home)


def test_ingest_refuses_a_file_that_changed_after_it_was_read(undisturbed):
    tables, key, logs, *_ = undisturbed
    path = logs / "hashed_payloads" / "part-0.jsonl"
    status, content = path.stat(), path.read_bytes()
    path.write_bytes(content + b"{}\n")
    with pytest.raises(LogsError, match="changed its size after it was read"):
        ingest(tables, logs, key, STRICT, NOW)
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_ingest_with_too_many_refused_lines_writes_them_and_fails_once(spark, tmp_path):
    tables, key = _home(spark, tmp_path / "home")
    write(tmp_path / "logs", "rows", ["{"] * 6 + [{"row_id": "r"}] * 4)
    with pytest.raises(QuarantineError, match=r"6 of 10 lines were refused.*wanted at most 50.0%, got 60.0%"):
        ingest(tables, tmp_path / "logs", key, STRICT, NOW)
    assert tables.read(QUARANTINE).count() == 6 and tables.read(ROWS).count() == 1
    assert ingest(tables, tmp_path / "logs", key, STRICT, NOW) == IngestResult(0, 0, 0, 0)
    with pytest.raises(NoExamplesError, match="no page views"):
        join(tables, JoinSettings())
    (tmp_path / "logs" / "rows" / "part-0.jsonl").unlink()  # a file that is gone is no matter


def test_join_without_ingest_says_what_to_run(tables):
    with pytest.raises(MissingTableError, match="page_views.*Run the stages before"):
        join(tables, JoinSettings())


# --- join -------------------------------------------------------------------------------------------------------------


def test_join_labels_every_page_view(joined):
    tables, result = joined
    labelled = {row.request_id: row for row in tables.read(LABELLED_PAGE_VIEWS).collect()}
    assert {name: (row.join_method, row.clicked, row.clicked_row_id) for name, row in labelled.items()} == {
        "q1": ("keyed", [0, 1, 0], "r2"),
        "q2": ("keyed", [1, 0, 0], "r1"),
        "q5": ("keyed", [0, 0, 0], None),
        None: ("windowed", [0, 0, 1], "r3"),  # exactly 120.000 s after the page
    }
    assert (result.page_views, result.page_views_with_click, result.clicks, result.clicks_matched) == (4, 3, 5, 3)
    assert result.unmatched == {"no_page": 1, "before_page": 0, "other_viewer": 0, "row_not_offered": 1}


def test_join_says_of_every_click_where_it_went(joined):
    tables, _ = joined
    went = {(row.row_id, row.join_method, row.position, row.reason) for row in tables.read(CLICK_MATCHES).collect()}
    assert went == {
        ("r2", "keyed", 1, None), ("r1", "keyed", 0, None), ("r3", "keyed", None, "no_page"),
        ("zz", "keyed", None, "row_not_offered"), ("r3", "windowed", 2, None),
    }  # fmt: skip


def test_join_health_measures_every_day_and_join(joined):
    tables, _ = joined
    health = {(str(row.day)[5:], row.join_method, row.measure): row.value for row in tables.read(JOIN_HEALTH).collect()}
    keyed = {measure: value for (day, method, measure), value in health.items() if (day, method) == ("01-01", "keyed")}
    assert keyed["page_views"] == 2 and keyed["page_views_with_click"] == 2
    assert keyed["clicks"] == 4 and keyed["clicks_matched"] == 2 and keyed["match_rate"] == 0.5
    assert keyed["unmatched_no_page"] == 1 and keyed["unmatched_row_not_offered"] == 1
    assert keyed["clicks_per_page"] == 1
    # 5 s and 130 s after their pages: the median lies half-way, the ninth decile at nine tenths.
    assert keyed["time_to_click_p50"] == 67.5 and keyed["time_to_click_p90"] == 117.5
    assert keyed["duplicate_page_views"] == 2 and keyed["duplicate_clicks"] == 1
    assert keyed["late_history_titles"] == 1  # `u` on q1, whose three lines are one page view
    assert keyed["clicks_past_menu_kept"] == 0 and health["01-01", "windowed", "clicks_past_menu_kept"] == 1
    assert health["01-02", "keyed", "page_views"] == 1
    # q2's click came 130 s after its page, so the windowed join gives it none; it gives q9's to q2 instead.
    assert health["01-01", "all", "agreement"] == 0.5 and health["01-01", "all", "disagreement_past_window"] == 1
    assert health["01-09", "all", "quarantined"] == 4 and health["01-09", "all", "quarantined_unreadable_file"] == 1


# --- checkpoints and keys ---------------------------------------------------------------------------------------------


@pytest.fixture
def ingested(spark, tmp_path):
    """A home that has read one file."""
    tables, key = _home(spark, tmp_path / "home")
    write(tmp_path / "logs", "rows", [{"row_id": "r"}])
    ingest(tables, tmp_path / "logs", key, STRICT, NOW)
    return tables, key, tmp_path


@pytest.mark.slow
def test_a_lost_checkpoint_is_refused_and_new_ones_read_nothing_twice(ingested):
    tables, key, folder = ingested
    shutil.rmtree(tables.home.folder / "checkpoints")
    write(folder / "logs", "rows", [{"row_id": "s"}], "later.jsonl")
    with pytest.raises(CheckpointError, match="checkpoint of rows is missing.*ingest --new-checkpoints"):
        ingest(tables, folder / "logs", key, STRICT, NOW)
    kept = (folder / "logs" / "rows" / "later.jsonl").rename(folder / "kept.jsonl")  # repairing needs no new file
    assert ingest(tables, folder / "logs", key, STRICT, NOW, new_checkpoints=True).files == 0
    kept.rename(folder / "logs" / "rows" / "later.jsonl")
    result = ingest(tables, folder / "logs", key, STRICT, NOW)
    assert result == IngestResult(read=1, good=1, quarantined=0, files=1)
    assert sorted(row["row_id"] for row in tables.read(ROWS).collect()) == ["r", "s"]
    write(folder / "other", "rows", [{"row_id": "t"}])  # another folder has a stream of its own
    assert ingest(tables, folder / "other", key, STRICT, NOW).good == 1
    assert tables.read(BRONZE_ATTRIBUTES).count() == 3


def test_another_key_than_the_tables_were_made_with_is_refused(ingested):
    tables, key, folder = ingested
    before = tables.version(BRONZE_ATTRIBUTES)
    tables.home.key_file.write_text("7b" * 32)
    write(folder / "logs", "rows", [{"row_id": "s"}], "later.jsonl")
    with pytest.raises(KeyFileError, match="hashing key is not the one.*backup"):
        ingest(tables, folder / "logs", key, STRICT, NOW)
    assert tables.version(BRONZE_ATTRIBUTES) == before
