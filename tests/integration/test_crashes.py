"""A failure at every write point of `ingest` and `join`, then the command again: the tables of an undisturbed run."""

import datetime as dt

import pytest

from pagerec_dbx import schemas
from pagerec_dbx.config import IngestSettings, JoinSettings
from pagerec_dbx.errors import LogsError
from pagerec_dbx.hashing import ensure_key
from pagerec_dbx.home import Home, open_home
from pagerec_dbx.ledger import Ledger
from pagerec_dbx.pipelines.mapping import Form, Mapping, Place
from pagerec_dbx.stages import ingest as stage
from pagerec_dbx.stages.ingest import ingest
from pagerec_dbx.stages.ingest_run import NOTE
from pagerec_dbx.stages.join import join
from pagerec_dbx.tables import Tables
from tests.crashes import Point, imaging, leave_home, places, stopped_at, stopping
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
FUNCTIONS = ((stage, "forget_note"),)  # removes the note
# Where the run of these logs writes; there is no file of rows in them.
WRITTEN = {
    "note": {"home.json", NOTE, "day-ledger.json"},
    "create": {table.name for table in ALL},
    "append_stream": {"bronze_page_views", "bronze_events", "bronze_attributes"},
    "append": {"bronze_events", "ingested_files"},
    "replace": {"titles"},
    "replace_where": {
        "quarantine", "page_views", "clicks", "click_matches", "labelled_page_views", "join_health",
    },
    "call": {"forget_note"},
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
    with stopping(functions=FUNCTIONS) as points:
        _run(tables, logs)
    return _content(tables), points


def _home(spark, folder) -> Tables:
    tables = Tables(spark, open_home(str(folder)))
    ensure_key(tables.home, derived_from_seed=1)
    return tables


def _commands(logs):
    return (
        lambda tables: ingest(tables, logs, ensure_key(tables.home)[0], SETTINGS, NOW),
        lambda tables: join(tables, JoinSettings()),
    )


def _run(tables, logs):
    for command in _commands(logs):
        command(tables)


def _content(tables) -> dict[str, list[str]]:
    frames = {table.name: tables.read(table).drop("checkpoint") for table in ALL if tables.exists(table)}
    return {name: sorted(map(str, frame.collect())) for name, frame in frames.items()}


def _ledger(tables) -> dict[str, list[str]]:
    """What each day was made from; how often it was begun is another number after a kill."""
    ledger = Ledger(tables.home)
    return {
        f"ledger of {table.name}": sorted(f"{day} {one.made_from}" for day, one in ledger.revisions(table).items())
        for table in ALL
    }


def _require_equal(tables, wanted, moment=""):
    got = _content(tables) | _ledger(tables)
    for name, records in wanted.items():
        assert got[name] == records, (name, moment)
    assert not (tables.home.folder / NOTE).exists()


@pytest.mark.slow
def test_a_run_that_is_stopped_again_and_again_ends_like_an_undisturbed_one(spark, logs, undisturbed, tmp_path):
    """One home, stopped at one point after the other; each attempt goes on where the one before was stopped."""
    wanted, points = undisturbed
    assert places(points) == WRITTEN
    tables = _home(spark, tmp_path / "home")
    chosen = [point for point in points if (point.method, point.place, point.number) in QUICK]
    assert len(chosen) == len(QUICK) == 2
    for number, point in enumerate(chosen):
        assert stopped_at(point, number % 2 == 0, lambda: _run(tables, logs)), point
    _run(tables, logs)
    _require_equal(tables, wanted)


@pytest.mark.slow
def test_a_run_that_is_killed_once_at_any_point_ends_like_an_undisturbed_one(spark, logs, undisturbed, tmp_path):
    """Before and after every write the home is kept as a kill would leave it; the command that was at work goes on.

    It must leave what it left undisturbed, the ledger of days too, which is all that `join` goes by.
    """
    wanted, points = undisturbed
    tables = _home(spark, tmp_path / "home")
    images = []
    for number, command in enumerate(_commands(logs)):
        with imaging(tables.home.folder, tmp_path / str(number), FUNCTIONS) as recorded:
            command(tables)
        afterwards = _content(tables) | _ledger(tables)
        images += [(image, command, afterwards) for image in recorded.images]
    _require_equal(tables, wanted)
    assert len(images) >= len(points)  # each point has written something
    print(f"{len(points)} points of ingest and join, {len(images)} images")
    for image, command, afterwards in images:
        killed = Tables(spark, Home(str(image.folder)))
        command(killed)
        _require_equal(killed, afterwards, image.moment)
        leave_home(spark, image.folder)


@pytest.mark.slow
def test_a_later_run_that_is_killed_once_at_any_point_ends_like_an_undisturbed_one(spark, tmp_path, monkeypatch):
    """Late lines of days that are there, forty days later: refused lines expire too, and small files are compacted."""
    tables, logs = _home(spark, tmp_path / "home"), tmp_path / "logs"
    write(logs, "service_logs", [service("q1", "ann", 0), service("q2", "ann", 86_400), "{"])
    write(logs, "click_logs", [click("r2", "q1", "ann", 5)])
    _run(tables, logs)
    write(logs, "service_logs", [service("q3", "ann", 9), "{"], "late.jsonl")
    write(logs, "click_logs", [click("r2", "q1", "ann", 6), click("r1", "q2", "ann", 86_401)], "late.jsonl")
    real, later = Tables.compact, NOW + dt.timedelta(days=40)
    monkeypatch.setattr(Tables, "compact", lambda self, table, by=None: real(self, table, by, most_files=1))
    monkeypatch.setattr(stage, "_RUNS_TO_COMPACT", 1)
    commands = (
        lambda tables: ingest(tables, logs, ensure_key(tables.home)[0], SETTINGS, later),
        lambda tables: join(tables, JoinSettings()),
    )
    for number, command in enumerate(commands):
        with imaging(tables.home.folder, tmp_path / str(number), FUNCTIONS) as recorded:
            command(tables)
        afterwards = _content(tables) | _ledger(tables)
        if number == 0:
            assert {"quarantine", "bronze_page_views"} <= places(recorded.points)["delete"]
            assert {"bronze_page_views", "join_health"} <= places(recorded.points)["compact"]
        for image in recorded.images:
            killed = Tables(spark, Home(str(image.folder)))
            command(killed)
            _require_equal(killed, afterwards, image.moment)
            leave_home(spark, image.folder)


@pytest.mark.slow
def test_a_write_that_is_not_idempotent_is_noticed(spark, logs, undisturbed, tmp_path, monkeypatch):
    """The negative control: page views that are added where they should be replaced."""
    wanted, _ = undisturbed
    tables = _home(spark, tmp_path / "home")
    real = Tables.replace_where

    def replace_where(self, table, frame, condition):
        if table is schemas.PAGE_VIEWS:
            return self.append(table, frame)
        return real(self, table, frame, condition)

    monkeypatch.setattr(Tables, "replace_where", replace_where)
    assert stopped_at(Point("replace_where", "page_views", 1), True, lambda: _run(tables, logs))
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
