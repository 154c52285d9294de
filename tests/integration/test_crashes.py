"""A failure at every write point of `ingest` and `join`, then the command again: the tables of an undisturbed run."""

import pytest

from pagerec_dbx import schemas
from pagerec_dbx.config import IngestSettings, JoinSettings
from pagerec_dbx.errors import LogsError
from pagerec_dbx.hashing import ensure_key
from pagerec_dbx.home import open_home
from pagerec_dbx.pipelines.mapping import Form, Mapping, Place
from pagerec_dbx.stages.ingest import ingest
from pagerec_dbx.stages.ingest_run import NOTE
from pagerec_dbx.stages.join import join
from pagerec_dbx.tables import Tables
from tests.crashes import Point, stopped_at, stopping
from tests.log_lines import NOW, click, event, payload, service, write

ALL = (
    schemas.BRONZE_PAGE_VIEWS, schemas.BRONZE_EVENTS, schemas.BRONZE_ATTRIBUTES, schemas.QUARANTINE, schemas.TITLES,
    schemas.ROWS, schemas.PAGE_VIEWS, schemas.CLICKS, schemas.INGESTED_FILES, schemas.CLICK_MATCHES,
    schemas.LABELLED_PAGE_VIEWS, schemas.JOIN_HEALTH,
)  # fmt: skip
SETTINGS = IngestSettings(max_quarantined_share=1.0)
QUICK = (
    ("append_stream", "bronze_page_views", 1),
    ("replace_where", "click_matches", 1),
)
# Every file and table that the run of these logs writes to; there is no file of rows in them.
WRITTEN = {
    NOTE, "day-ledger.json", "bronze_page_views", "bronze_events", "bronze_attributes", "quarantine", "page_views",
    "clicks", "titles", "ingested_files", "click_matches", "labelled_page_views", "join_health",
}  # fmt: skip


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crashes") / "logs"
    pages = [
        service("q1", "ann", 0),
        service("q1", "ann", 0),
        service("q2", "ann", 86_400),
        "{",
        service("q3", seconds=9),
    ]
    write(folder, "service_logs", pages)
    write(
        folder,
        "click_logs",
        [click("r2", "q1", "ann", 5), click("r2", "q1", "ann", 6), click("r1", "q2", "ann", 86_400)],
    )
    write(
        folder, "click_logs", [click("r3", "q2", "ann", 86_405)], "odd[1].jsonl"
    )  # the stream cannot read this folder
    write(folder, "hashed_payloads", [payload("bob", 0)])
    write(folder, "page_events", [event("r3", "bob", 120), event(user_hash="bob", name="hover")])
    write(folder, "titles", [{"title_id": "t", "attributes": {"year": 1999}}])
    return folder


@pytest.fixture(scope="module")
def undisturbed(spark, logs, tmp_path_factory):
    """What the tables hold after a run that nothing stopped, and the points at which it wrote."""
    tables = _home(spark, tmp_path_factory.mktemp("undisturbed") / "home")
    with stopping() as points:
        _run(tables, logs)
    return _content(tables), points


def _home(spark, folder) -> Tables:
    tables = Tables(spark, open_home(str(folder)))
    ensure_key(tables.home, derived_from_seed=1)
    return tables


def _run(tables, logs):
    ingest(tables, logs, ensure_key(tables.home)[0], SETTINGS, NOW)
    join(tables, JoinSettings())


def _content(tables) -> dict[str, list[str]]:
    frames = {table.name: tables.read(table).drop("checkpoint") for table in ALL}
    return {name: sorted(map(str, frame.collect())) for name, frame in frames.items()}


def _require_equal(tables, wanted):
    got = _content(tables)
    for name, records in wanted.items():
        assert got[name] == records, name
    assert not (tables.home.folder / NOTE).exists()


def test_a_run_that_is_stopped_again_and_again_ends_like_an_undisturbed_one(spark, logs, undisturbed, tmp_path):
    """One home, stopped at one point after the other; each attempt goes on where the one before was stopped."""
    wanted, points = undisturbed
    assert {point.method for point in points} >= {"note", "append_stream", "append", "replace", "replace_where"}
    assert {point.place for point in points} == WRITTEN
    tables = _home(spark, tmp_path / "home")
    chosen = [point for point in points if (point.method, point.place, point.number) in QUICK]
    assert len(chosen) == len(QUICK) == 2
    for number, point in enumerate(chosen):
        assert stopped_at(point, number % 2 == 0, lambda: _run(tables, logs)), point
    _run(tables, logs)
    _require_equal(tables, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True])
def test_a_run_that_is_stopped_once_at_any_point_ends_like_an_undisturbed_one(
    spark, logs, undisturbed, tmp_path, after
):
    wanted, points = undisturbed
    for number, point in enumerate(points):
        tables = _home(spark, tmp_path / str(number))
        assert stopped_at(point, after, lambda tables=tables: _run(tables, logs)), point
        _run(tables, logs)
        _require_equal(tables, wanted)


@pytest.mark.slow
def test_a_write_that_is_not_idempotent_is_noticed(spark, logs, undisturbed, tmp_path, monkeypatch):
    """The negative control: page views that are added where they should be replaced."""
    wanted, points = undisturbed
    tables = _home(spark, tmp_path / "home")
    real = Tables.replace_where

    def replace_where(self, table, frame, condition):
        if table is schemas.PAGE_VIEWS:
            return self.append(table, frame)
        return real(self, table, frame, condition)

    monkeypatch.setattr(Tables, "replace_where", replace_where)
    point = next(point for point in points if point.place == "page_views")
    assert stopped_at(point, True, lambda: _run(tables, logs))
    _run(tables, logs)
    with pytest.raises(AssertionError, match="page_views"):
        _require_equal(tables, wanted)


def test_a_stopped_run_goes_on_by_its_own_mapping_alone(spark, tmp_path):
    tables, logs = _home(spark, tmp_path / "home"), tmp_path / "logs"
    other = Mapping((Form("service_logs", (("request_id", Place(("rid",))),)),))
    read = lambda *mapping: ingest(tables, logs, ensure_key(tables.home)[0], SETTINGS, NOW, *mapping)  # noqa: E731
    write(logs, "service_logs", [service("q1")])
    assert stopped_at(Point("note", NOTE, 1), True, read)
    with pytest.raises(LogsError, match="was stopped had another mapping.*Run it again with that --mapping"):
        read(other)
    assert read().good == 1
    assert read(other).read == 0  # the next run may have another


def test_a_stopped_run_whose_files_are_all_gone_ends_and_the_next_reads_what_came(spark, tmp_path):
    tables, logs = _home(spark, tmp_path / "home"), tmp_path / "logs"
    read = lambda: ingest(tables, logs, ensure_key(tables.home)[0], SETTINGS, NOW)  # noqa: E731
    gone = write(logs, "service_logs", [service("q1")])
    assert stopped_at(Point("note", NOTE, 1), True, read)
    gone.unlink()
    assert read().read == 0
    assert not (tables.home.folder / NOTE).exists()
    write(logs, "service_logs", [service("q2")], "later.jsonl")
    assert read().good == 1
