"""A home that is moved to another hashing key: every hash and every id made of one, or nothing at all."""

import json
import shutil

import pytest
from pyspark.sql import functions as F

from pagerec_dbx.config import ForgetSettings, settings_from
from pagerec_dbx.errors import RekeyError, SnapshotError
from pagerec_dbx.features.leases import reading
from pagerec_dbx.hashing import VARIABLE, fingerprint_of
from pagerec_dbx.home import Home, key_fingerprint, open_home, require_same_key
from pagerec_dbx.pipelines.lines import PAGE_VIEW_IDENTITY, id_of
from pagerec_dbx.schemas import BRONZE_EVENTS, BRONZE_PAGE_VIEWS, CLICK_MATCHES, CLICKS, FORGOTTEN, PAGE_VIEWS
from pagerec_dbx.stages import rekey as stage
from pagerec_dbx.stages import viewer_commands
from pagerec_dbx.stages.ids_file import read_new_hashes
from pagerec_dbx.stages.old_versions import vacuum_old_versions
from pagerec_dbx.stages.rekey_note import NOTE, begin_move, move_of, require_no_move
from pagerec_dbx.stages.viewer_commands import run_rekey
from pagerec_dbx.stages.viewer_traces import frame_of
from pagerec_dbx.tables import Tables
from pagerec_dbx.workbench import Workbench
from tests.commands import run
from tests.crashes import leave_home, stopped_at, stopping
from tests.viewer_world import (
    ANN,
    BOB,
    CAT,
    FEW,
    NOW,
    SECRET,
    TRAIN,
    VIEWERS,
    content,
    files_naming,
    hash_of,
    make_world,
    naming,
)

NEW = "9e" * 32
FUNCTIONS = (
    (stage, "begin_move"), (stage, "remove_unread"), (viewer_commands, "replace_fingerprint"),
    (viewer_commands, "write_key_file"), (viewer_commands, "end_move"),
)  # fmt: skip


@pytest.fixture(scope="module")
def world(spark, tmp_path_factory) -> Home:
    """A home with three viewers in one table of each class, its ids made of its columns; tests work on copies."""
    home = open_home(str(tmp_path_factory.mktemp("rekey") / "home"))
    tables = Tables(spark, home)
    make_world(tables, FEW)
    require_same_key(home, fingerprint_of(SECRET.encode()))
    tables.insert_new(FORGOTTEN, _listed(tables, hash_of("gone@x.example"), hash_of("lost@x.example")))
    return home


def _listed(tables, *hashes):
    return frame_of(tables.spark, "user_hash", hashes).selectExpr("*", "now() forgotten_at", "now() removed_at")


@pytest.fixture(autouse=True)
def no_variable(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


def _bench(spark, home: Home) -> Workbench:
    bench = Workbench(home, settings_from({}))
    bench.__dict__["tables"] = Tables(spark, home)  # on the session of the tests
    return bench


@pytest.fixture
def bench(spark, world, tmp_path) -> Workbench:
    shutil.copytree(world.folder, tmp_path / "home")
    return _bench(spark, Home(str(tmp_path / "home")))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The file of ids and the new key's."""
    folder = tmp_path_factory.mktemp("ids")
    lines = [f"{viewer},new {viewer}" for viewer in (*VIEWERS, "gone@x.example")]
    (folder / "ids.csv").write_text("\n".join(["old_id,new_id", *lines]) + "\n")
    (folder / "new.key").write_text(NEW + "\n")
    return folder / "ids.csv", folder / "new.key"


@pytest.fixture(scope="module")
def moved(spark, world, files, tmp_path_factory):
    """The home after an undisturbed move, the points at which it was written to, and the command's answer."""
    folder = tmp_path_factory.mktemp("moved") / "home"
    shutil.copytree(world.folder, folder)
    bench = _bench(spark, Home(str(folder)))
    with pytest.MonkeyPatch.context() as patch, stopping(functions=FUNCTIONS) as points:
        patch.delenv(VARIABLE, raising=False)
        result = run_rekey(bench, *files, drop_refused=False)
    return bench.tables, points, result


def _new(viewer: str) -> str:
    return hash_of(f"new {viewer}", NEW)


def test_every_hash_of_a_moved_home_is_by_the_new_key(moved, world, spark):
    tables, _, result = moved
    before, after = content(Tables(spark, world)), content(tables)
    assert before.pop("preparations") and not after.pop("preparations")  # they named page views by their old ids
    for viewer in VIEWERS:
        assert naming(before, hash_of(viewer)) == naming(after, _new(viewer))
        assert naming(after, hash_of(viewer)) == {}
    assert {name: len(records) for name, records in before.items()} == {n: len(r) for n, r in after.items()}
    assert (result.viewers, len(result.snapshots_removed), result.forgotten_not_covered) == (4, 3, 1)
    assert naming(after, _new("gone@x.example")) == naming(after, hash_of("lost@x.example")) == {"forgotten": 1}
    assert tables.home.key_file.read_text().strip() == NEW
    assert key_fingerprint(tables.home) == fingerprint_of(NEW.encode()) == result.key
    assert "1 forgotten viewers are not in the file" in result.to_text() and "back it up" in result.to_text()


def test_ids_of_a_moved_home_are_those_that_an_ingest_by_the_new_key_would_give(moved):
    tables, _, _ = moved
    views = tables.read(BRONZE_PAGE_VIEWS).where("NOT refused")
    assert views.where(F.col("page_view_id") != id_of(*PAGE_VIEW_IDENTITY)).isEmpty()
    ids = {row[0] for row in views.select("page_view_id").collect()}
    clicks = {row[0] for row in tables.read(BRONZE_EVENTS).where("NOT refused").select("click_id").collect()}
    assert len(ids) == len(clicks) == 3 and min(ids) > 2_000
    matches = tables.read(CLICK_MATCHES).collect()
    assert (
        {row["page_view_id"] for row in matches}
        == ids
        == {row[0] for row in tables.read(PAGE_VIEWS).select("page_view_id").collect()}
    )
    assert {row["click_id"] for row in matches} == clicks
    assert {row[0] for row in tables.read(CLICKS).select("click_id").collect()} == clicks | {2_009}  # of no line


@pytest.mark.slow
def test_old_hashes_leave_the_list_of_the_forgotten_with_its_old_versions(moved, spark, tmp_path):
    shutil.copytree(moved[0].home.folder, tmp_path / "home")
    tables = Tables(spark, Home(str(tmp_path / "home")))
    listed, old = tables.home.folder / "tables" / "forgotten", hash_of("gone@x.example")
    assert files_naming(listed, old) != []  # the control
    vacuum_old_versions(tables, NOW, ForgetSettings(history_days=0))
    assert files_naming(listed, old) == []
    assert files_naming(listed, _new("gone@x.example")) != []


def test_a_viewer_who_is_not_in_the_file_stops_the_move_before_it_begins(bench, files, world, spark, tmp_path):
    short = tmp_path / "short.csv"
    short.write_text(f"user_id\n{ANN}\n{BOB}\n")
    with pytest.raises(RekeyError, match="^1 viewers of home .* are not in the file: .* cannot be turned back"):
        run_rekey(bench, short, files[1], drop_refused=True)
    assert content(bench.tables) == content(Tables(spark, world)) and not (bench.home.folder / NOTE).exists()
    assert bench.home.key_file.read_text() == SECRET


@pytest.mark.slow
def test_refused_lines_that_are_not_covered_go_where_it_is_asked_for(bench, files):
    stray = hash_of("cut off")
    bench.tables.update(BRONZE_EVENTS, F.col("file") == "two ids", {"raw": F.lit(f"{stray} {hash_of(ANN)}")})
    with pytest.raises(RekeyError, match="refused lines hold 1 hashes .* --drop-refused"):
        run_rekey(bench, *files, drop_refused=False)
    assert run_rekey(bench, *files, drop_refused=True).refused_lines_dropped == 1
    assert naming(content(bench.tables), stray, "two ids") == {"quarantine": 1}


def _require_equal(tables, wanted):
    got, equal = content(tables), content(wanted)
    for name in equal:
        assert got[name] == equal[name], name
    assert key_fingerprint(tables.home) == fingerprint_of(NEW.encode())
    assert tables.home.key_file.read_text().strip() == NEW and not (tables.home.folder / NOTE).exists()


@pytest.mark.slow
def test_a_move_that_is_stopped_again_and_again_ends_like_an_undisturbed_one(bench, files, moved):
    wanted, points, _ = moved
    chosen = [
        point for point in points if point.place in ("remove_unread", "clicks", "bronze_page_views", "write_key_file")
    ]
    assert len(chosen) >= 5
    for number, point in enumerate(chosen[::2]):
        assert stopped_at(point, number % 2 == 0, lambda: run_rekey(bench, *files, False), FUNCTIONS), point
        with pytest.raises(RekeyError, match="on its way to another hashing key"):
            require_no_move(bench.home)
    run_rekey(bench, *files, False)
    _require_equal(bench.tables, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True])
def test_a_move_that_is_stopped_once_at_any_point_ends_like_an_undisturbed_one(
    spark, world, files, moved, tmp_path, after
):
    wanted, points, _ = moved
    assert len(points) >= 12
    for number, point in enumerate(points):
        shutil.copytree(world.folder, tmp_path / str(number))
        bench = _bench(spark, Home(str(tmp_path / str(number))))
        assert stopped_at(point, after, lambda bench=bench: run_rekey(bench, *files, False), FUNCTIONS), point
        if point.place != "end_move" or not after:
            run_rekey(bench, *files, False)
        _require_equal(bench.tables, wanted)
        leave_home(spark, bench.home.folder)


def test_a_move_that_is_stopped_before_its_last_step_still_tells_what_it_did(spark, moved, files, tmp_path):
    wanted, _, result = moved
    shutil.copytree(wanted.home.folder, tmp_path / "home")
    bench = _bench(spark, Home(str(tmp_path / "home")))
    hashes = read_new_hashes(files[0], SECRET.encode(), NEW.encode())
    begin_move(bench.home, move_of(fingerprint_of(SECRET.encode()), fingerprint_of(NEW.encode()), hashes))
    resumed = run_rekey(bench, *files, drop_refused=False)
    assert (resumed.key, resumed.viewers, resumed.tables) == (result.key, len(VIEWERS) + 1, result.tables)
    assert not (bench.home.folder / NOTE).exists()


@pytest.mark.slow
def test_a_snapshot_that_is_being_read_stops_the_move_before_it_begins(bench, files, world, spark):
    with reading(bench.home.snapshots / TRAIN), pytest.raises(SnapshotError, match=f"{TRAIN} .* is being read"):
        run_rekey(bench, *files, drop_refused=False)
    assert content(bench.tables) == content(Tables(spark, world)) and not (bench.home.folder / NOTE).exists()


@pytest.mark.slow
def test_a_table_that_is_left_out_fails_the_proof(bench, files, monkeypatch):
    """The control: the proof does not follow the list of what was rewritten, and the home keeps its old key."""
    real = stage.hash_tables
    monkeypatch.setattr(stage, "hash_tables", lambda: [table for table in real() if table is not CLICKS])
    with pytest.raises(RekeyError, match="hashes by the old key are left: .* got 4 in `clicks`"):
        run_rekey(bench, *files, drop_refused=False)
    assert key_fingerprint(bench.home) == fingerprint_of(SECRET.encode())


def test_commands_refuse_a_home_between_two_keys(home, files):
    (home.folder / NOTE).write_text(json.dumps({"old": "a", "new": "b", "pairs": "c", "viewers": 1}))
    home.key_file.write_text(SECRET)
    ran = run("join", "--home", str(home.folder))
    assert (ran.code, ran.out) == (1, "") and "Run the same `pagerec rekey` again" in ran.err
    require_same_key(home, fingerprint_of(SECRET.encode()))
    ran = run("rekey", "--home", str(home.folder), "--ids", str(files[0]), "--new-key-file", str(files[1]))
    assert ran.code == 1 and "a stopped `pagerec rekey` was given another key" in ran.err
    keys = {"old": fingerprint_of(SECRET.encode()), "new": fingerprint_of(NEW.encode())}
    (home.folder / NOTE).write_text(json.dumps(keys | {"pairs": "of another file", "viewers": 1}))
    ran = run("rekey", "--home", str(home.folder), "--ids", str(files[0]), "--new-key-file", str(files[1]))
    assert ran.code == 1 and "a stopped `pagerec rekey` was given another file of ids" in ran.err
    (home.folder / NOTE).write_text(json.dumps(keys))
    ran = run("rekey", "--home", str(home.folder), "--ids", str(files[0]), "--new-key-file", str(files[1]))
    assert ran.code == 1 and f"{NOTE} is malformed" in ran.err
    (home.folder / NOTE).unlink()
    require_no_move(home)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (None, "new.key cannot be read: got FileNotFoundError. Make one: openssl rand -hex 32"),
        ("short", "is malformed: wanted 64 lower-case hex digits, got 5 characters"),
        (SECRET, "has this key already"),
    ],
)
def test_a_key_that_is_none_or_no_other_is_refused(home, files, tmp_path, key, said):
    home.key_file.write_text(SECRET)
    file = tmp_path / "new.key"
    if key:
        file.write_text(key)
    ran = run("rekey", "--home", str(home.folder), "--ids", str(files[0]), "--new-key-file", str(file))
    assert ran.code == 1 and said in ran.err


def test_a_home_without_a_key_is_said_to_have_none(home, files, tmp_path):
    (tmp_path / "ids.txt").write_text("ann\n")
    ran = run("forget", "--home", str(home.folder), "--user-id-file", str(tmp_path / "ids.txt"))
    assert ran.code == 1 and "has no hashing key" in ran.err and "Check --home" in ran.err


@pytest.mark.slow
def test_a_key_of_the_environment_is_left_to_the_person(bench, files, monkeypatch):
    monkeypatch.setenv(VARIABLE, SECRET)
    result = run_rekey(bench, *files, False)
    assert result.key_in_environment and f"Set {VARIABLE} to the new key" in result.to_text()
    assert bench.home.key_file.read_text() == SECRET and CAT
