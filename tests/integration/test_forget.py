"""Viewers who are forgotten: gone from every table and snapshot, however often the command is killed on its way."""

import json
import shutil

import pytest

from pagerec_dbx.config import ForgetSettings
from pagerec_dbx.errors import ForgetError, SnapshotError
from pagerec_dbx.features.leases import reading
from pagerec_dbx.home import Home, open_home
from pagerec_dbx.ledger import Ledger
from pagerec_dbx.schemas import CLICKS, FORGOTTEN, PAGE_VIEWS
from pagerec_dbx.stages import forget as stage
from pagerec_dbx.stages.forget import forget
from pagerec_dbx.stages.old_versions import vacuum_old_versions
from pagerec_dbx.stages.viewer_tables import cut_tables, every_table, hash_tables, id_tables
from pagerec_dbx.stages.viewer_traces import find_traces
from pagerec_dbx.tables import Tables
from tests.commands import run
from tests.crashes import leave_home, stopped_at, stopping
from tests.viewer_world import (
    ANN,
    BOB,
    CAT,
    FEW,
    FIRST,
    HOLDOUT,
    NOW,
    OTHERS,
    SECOND,
    TRAIN,
    content,
    files_naming,
    hash_of,
    make_world,
    naming,
    traces_of,
)

SETTINGS = ForgetSettings()
FUNCTIONS = ((stage, "remove_unread"),)


@pytest.fixture(scope="module")
def world(spark, tmp_path_factory) -> Home:
    """A home with three viewers in one table of each class; tests work on copies."""
    home = open_home(str(tmp_path_factory.mktemp("viewers") / "home"))
    make_world(Tables(spark, home), FEW)
    return home


@pytest.fixture
def copy(spark, world, tmp_path) -> Tables:
    shutil.copytree(world.folder, tmp_path / "home")
    return Tables(spark, Home(str(tmp_path / "home")))


@pytest.fixture(scope="module")
def before(spark, world):
    return content(Tables(spark, world))


@pytest.fixture(scope="module")
def undisturbed(spark, world, tmp_path_factory):
    """A home without ann, the points at which it was written to, and the command's answer."""
    folder = tmp_path_factory.mktemp("undisturbed") / "home"
    shutil.copytree(world.folder, folder)
    tables = Tables(spark, Home(str(folder)))
    moments = iter([NOW.replace(hour=0, day=8), NOW])  # it takes a day: what it removed is as old as its end
    with stopping(functions=FUNCTIONS) as points:
        result = forget(tables, [hash_of(ANN)], lambda: next(moments), SETTINGS)
    return tables, points, result


def test_a_forgotten_viewer_is_in_no_table_and_no_snapshot(undisturbed, before):
    tables, _, result = undisturbed
    held = naming(before, *traces_of(ANN))
    assert held.keys() == {table.name for table in FEW} and held["quarantine"] == 2
    after = content(tables)
    assert naming(after, *traces_of(ANN)) == {"forgotten": 1}
    assert result.removed == held
    assert result.viewers_known == 1 and result.tables_checked == len(before)
    assert result.snapshots_removed == (HOLDOUT, TRAIN)
    assert (
        result.old_versions_until
        == NOW.replace(day=16)
        == tables.read(FORGOTTEN).first()["removed_at"].replace(day=16, tzinfo=NOW.tzinfo)
    )
    assert [folder.name for folder in tables.home.snapshots.glob("*-v*")] == [OTHERS]
    assert result.days_to_join == 2  # FIRST and SECOND
    assert {**result.to_json()}["records_left"] == 0 and "nothing of them is left" in result.to_text()


@pytest.mark.slow
def test_a_forgotten_viewer_is_in_none_of_all_tables(spark, home):
    """Whatever table is added to the schemas: it is in this world, and so is the viewer where its columns allow it."""
    tables = Tables(spark, home)
    make_world(tables, every_table())
    before = content(tables)
    held = naming(before, *traces_of(ANN))
    assert held.keys() == {table.name for table in (*hash_tables(), *id_tables(), *cut_tables())}
    assert len(held) >= 12 and len(before) == len(every_table()) - 1
    result = forget(tables, [hash_of(ANN)], lambda: NOW, SETTINGS)
    assert naming(content(tables), *traces_of(ANN)) == {"forgotten": 1}
    assert result.removed == held and result.tables_checked == len(before)


def test_the_others_keep_all_their_records_but_lines_that_name_the_forgotten(undisturbed, before):
    tables, _, _ = undisturbed
    after = content(tables)
    shared = naming(before, "two ids")  # a broken line of bob's in which ann is named
    lost = {"preparations": 1}
    for viewer in (BOB, CAT):
        wanted = naming(before, *traces_of(viewer))
        gone = lost | (shared if viewer == BOB else {})
        left = {name: count - gone.get(name, 0) for name, count in wanted.items()}
        assert naming(after, *traces_of(viewer)) == {name: count for name, count in left.items() if count}
    assert naming(after, "nobody's") == naming(before, "nobody's")


def test_the_next_join_measures_the_touched_days_anew(undisturbed):
    """Bob's click on the second day named a page of ann's: its reason is another one now."""
    ledger = Ledger(undisturbed[0].home)
    assert {day: record.revision for day, record in ledger.revisions(PAGE_VIEWS).items()} == {FIRST: 2}
    assert {day: record.revision for day, record in ledger.revisions(CLICKS).items()} == {FIRST: 2, SECOND: 2}


@pytest.mark.slow
def test_forgetting_again_removes_nothing_more(undisturbed):
    tables, _, _ = undisturbed
    removed_at = tables.read(FORGOTTEN).collect()
    again = forget(tables, [hash_of(ANN)], lambda: NOW.replace(year=2025), SETTINGS)
    assert (again.viewers_known, sum(again.removed.values()), again.snapshots_removed) == (0, 0, ())
    assert tables.read(FORGOTTEN).collect() == removed_at


@pytest.mark.slow
def test_a_table_that_is_left_out_fails_the_proof(copy, monkeypatch):
    """The control: the proof does not follow the list of what was cleared."""
    real = stage.hash_tables
    monkeypatch.setattr(stage, "hash_tables", lambda: [table for table in real() if table is not CLICKS])
    with pytest.raises(ForgetError, match="still there: wanted no record of them, got 1 records of table `clicks`"):
        forget(copy, [hash_of(ANN)], lambda: NOW, SETTINGS)
    assert copy.read(FORGOTTEN).first()["removed_at"] is None  # and is not said to be removed


def test_a_snapshot_that_is_left_fails_the_proof(undisturbed, world, tmp_path):
    tables, _, _ = undisturbed
    shutil.copytree(tables.home.folder, tmp_path / "home")
    copy = Tables(tables.spark, Home(str(tmp_path / "home")))
    traces = find_traces(Tables(tables.spark, world), [hash_of(ANN)])  # as they were before
    assert stage.require_gone(copy, traces) > 0
    shutil.copytree(world.snapshots / TRAIN, copy.home.snapshots / TRAIN)
    with pytest.raises(ForgetError, match=f"still there: .* got snapshot {TRAIN}"):
        stage.require_gone(copy, traces)


def test_a_snapshot_that_is_being_read_stops_the_command_before_it_changes_anything(copy, before):
    with reading(copy.home.snapshots / TRAIN), pytest.raises(SnapshotError, match=f"{TRAIN} .* is being read"):
        forget(copy, [hash_of(ANN)], lambda: NOW, SETTINGS)
    assert not copy.exists(FORGOTTEN)
    assert naming(content(copy), *traces_of(ANN)) == naming(before, *traces_of(ANN))


def _whenever_begun(found: dict[str, list[str]]) -> dict[str, list[str]]:
    """Without the time of the first attempt, which is each home's own."""
    listed = [json.dumps(json.loads(record) | {"forgotten_at": None}) for record in found["forgotten"]]
    return found | {"forgotten": listed}


def _require_equal(tables, wanted: Tables):
    got, equal = _whenever_begun(content(tables)), _whenever_begun(content(wanted))
    for name in equal:
        assert got[name] == equal[name], name
    assert sorted(folder.name for folder in tables.home.snapshots.glob("*-v*")) == [OTHERS]


@pytest.mark.slow
def test_a_run_that_is_stopped_again_and_again_ends_like_an_undisturbed_one(copy, undisturbed):
    wanted, points, _ = undisturbed
    chosen = [point for point in points if point.place in ("remove_unread", "click_matches", "bronze_page_views")]
    assert len(chosen) == 3
    for number, point in enumerate(chosen):
        run_it = lambda: forget(copy, [hash_of(ANN)], lambda: NOW, SETTINGS)  # noqa: E731
        assert stopped_at(point, number % 2 == 0, run_it, FUNCTIONS), point
    forget(copy, [hash_of(ANN)], lambda: NOW, SETTINGS)
    _require_equal(copy, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True])
def test_a_run_that_is_stopped_once_at_any_point_ends_like_an_undisturbed_one(
    spark, world, undisturbed, tmp_path, after
):
    wanted, points, _ = undisturbed
    assert len(points) >= 11
    for number, point in enumerate(points):
        shutil.copytree(world.folder, tmp_path / str(number))
        tables = Tables(spark, Home(str(tmp_path / str(number))))
        run_it = lambda tables=tables: forget(tables, [hash_of(ANN)], lambda: NOW, SETTINGS)  # noqa: E731
        assert stopped_at(point, after, run_it, FUNCTIONS), point
        run_it()
        _require_equal(tables, wanted)
        leave_home(spark, tables.home.folder)


@pytest.mark.slow
def test_bronze_that_is_cleared_first_loses_the_ids_and_is_noticed(copy, undisturbed, monkeypatch):
    """The negative control of the order: a killed run then cannot find ann's click any more."""
    monkeypatch.setattr(stage, "id_tables", list)
    wanted, points, _ = undisturbed
    point = next(point for point in points if point.place == "bronze_events")
    run_it = lambda: forget(copy, [hash_of(ANN)], lambda: NOW, SETTINGS)  # noqa: E731
    assert stopped_at(point, True, run_it, FUNCTIONS)
    monkeypatch.undo()
    run_it()
    with pytest.raises(AssertionError, match="click_matches"):
        _require_equal(copy, wanted)


@pytest.mark.slow
def test_old_versions_are_deleted_when_they_are_old_enough(undisturbed, spark, tmp_path):
    shutil.copytree(undisturbed[0].home.folder, tmp_path / "home")
    tables = Tables(spark, Home(str(tmp_path / "home")))
    folder = tables.home.folder / "tables"
    early = vacuum_old_versions(tables, NOW, SETTINGS)
    assert (early.viewers_gone, early.viewers_waiting, early.next_at) == (0, 1, NOW.replace(day=16))
    assert files_naming(folder, hash_of(ANN)) != []  # the control: a week has not passed
    late = vacuum_old_versions(tables, NOW, ForgetSettings(history_days=0))
    assert (late.viewers_gone, late.viewers_waiting, late.next_at) == (1, 0, None)
    assert [path.parts[-3] for path in files_naming(folder, hash_of(ANN)) if "forgotten" not in path.parts] == []
    assert files_naming(folder, hash_of(BOB)) != []
    assert "no old version" in late.to_text() and "1 more wait" in early.to_text()


@pytest.mark.slow
def test_unreadable_lines_go_where_it_is_asked_for(copy, before, tmp_path):
    """And through the command line, which asks for something to do."""
    home = ["--home", str(copy.home.folder)]
    assert run("forget", *home).code == 2
    ran = run("forget", *home, "--purge-unreadable", "--json")
    assert (ran.code, ran.json) == (0, {"unreadable_removed": 1})
    assert naming(content(copy), "nobody's") == {} != naming(before, "nobody's")
    assert naming(content(copy), *traces_of(ANN)) == naming(before, *traces_of(ANN))
