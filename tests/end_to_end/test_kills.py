"""SIGKILLs at random moments of `ingest`, `join` and `prepare`, then the command again: the tables of a quiet run."""

import collections
import dataclasses
import gzip
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pagerec_dbx import schemas
from pagerec_dbx.config import settings_from
from pagerec_dbx.hashing import VARIABLE, ensure_key, user_hash
from pagerec_dbx.home import Home, open_home
from pagerec_dbx.stages.simulate import simulate
from pagerec_dbx.tables import Tables
from tests.prepared_content import preparations, prepared_content

KILLS = int(os.environ.get("PAGEREC_KILLS", "50"))
TABLES = (
    schemas.BRONZE_PAGE_VIEWS, schemas.BRONZE_EVENTS, schemas.BRONZE_ATTRIBUTES, schemas.INGESTED_FILES,
    schemas.PAGE_VIEWS, schemas.CLICKS, schemas.QUARANTINE, schemas.TITLES, schemas.ROWS, schemas.CLICK_MATCHES,
    schemas.LABELLED_PAGE_VIEWS, schemas.JOIN_HEALTH, schemas.VOCABULARIES, schemas.EXAMPLES,
)  # fmt: skip
OF_ITS_HOME = ("ingested_at", "checkpoint")  # each home is ingested at another moment, by streams of its own
STEPS = ("ingest", "join", "prepare")


@dataclasses.dataclass(frozen=True)
class Quiet:
    """A home in which every command ran once, and how long each took."""

    home: Path
    seconds: dict[str, float]


@pytest.fixture(scope="module")
def logs(spark, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("kills")
    key, _ = ensure_key(open_home(str(folder / "key-home")), derived_from_seed=3)
    settings = settings_from({"lines_per_file": 200, "gzip_logs": True}).simulate
    simulate(spark, key, folder / "logs", 1_000, 3, settings)
    return folder / "logs"


@pytest.fixture(scope="module")
def quiet(logs) -> Quiet:
    home, environment = logs.parent / "quiet", _environment(logs)
    return Quiet(home, {step: _finish(_command(step, home, logs), environment) for step in STEPS})


def _command(step: str, home: Path, logs: Path) -> list[str]:
    start = [sys.executable, "-m", "pagerec_dbx.cli", step]
    return [*start, *(["--logs", str(logs)] if step == "ingest" else []), "--home", str(home), "--json"]


def _environment(logs: Path) -> dict[str, str]:
    return {**os.environ, VARIABLE: (logs.parent / "key-home" / "hash.key").read_text().strip()}


def _finish(command: list[str], environment: dict[str, str]) -> float:
    started = time.monotonic()
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert ended.returncode == 0, ended.stderr[-3_000:]
    return time.monotonic() - started


def _kill(command: list[str], environment: dict[str, str], seconds: float) -> bool:
    """Whether the command was still at work when its whole family was killed."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, start_new_session=True
    )
    try:
        process.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True


def _content(spark, home: Path) -> dict[str, list[str]]:
    """Every table as sorted text, without what is each home's own."""
    tables = Tables(spark, Home(str(home)))
    frames = {table.name: _comparable(tables, table) for table in TABLES}
    found = {name: sorted(map(str, frame.collect())) for name, frame in frames.items()}
    return found | {"preparations": preparations(tables)}


def _comparable(tables: Tables, table: schemas.Table) -> DataFrame:
    frame = tables.read(table).drop(*OF_ITS_HOME)
    if table is not schemas.JOIN_HEALTH:
        return frame
    # Refused lines are counted by the day of their ingestion; all other measures by the day of the logs.
    return frame.withColumn("day", F.when(~F.col("measure").startswith("quarantined"), F.col("day")))


def _require_equal(got: dict[str, list[str]], wanted: dict[str, list[str]], moment: object = "") -> None:
    assert got.keys() == wanted.keys()
    for name, records in wanted.items():
        assert got[name] == records, (name, moment)


def _with_snapshots(spark, home: Path) -> dict[str, list[str]]:
    return _content(spark, home) | prepared_content(Tables(spark, Home(str(home))))


@pytest.mark.slow
def test_commands_that_are_killed_again_and_again_leave_the_tables_of_a_quiet_run(spark, logs, quiet, tmp_path):
    environment, wanted = _environment(logs), _with_snapshots(spark, quiet.home)
    assert not [name for name, records in wanted.items() if not records]  # there is something to compare in each
    chance, kills, number = random.Random(11), collections.Counter(), 0
    while kills.total() < KILLS:
        home, number = tmp_path / f"killed-{number}", number + 1
        for step, seconds in quiet.seconds.items():
            command = _command(step, home, logs)
            for _ in range(3):
                if kills.total() < KILLS:
                    kills[step] += _kill(command, environment, chance.uniform(0.2, 1.0) * seconds)
            _finish(command, environment)
        _require_equal(_with_snapshots(spark, home), wanted, number)
        assert not (home / "lock.json").exists()
        print(f"{dict(kills)} kills in {number} homes", flush=True)
        shutil.rmtree(home)


@pytest.mark.slow
@pytest.mark.parametrize("table", [schemas.BRONZE_EVENTS, schemas.INGESTED_FILES, schemas.JOIN_HEALTH])
def test_one_doubled_record_is_noticed(spark, quiet, tmp_path, table):
    """The negative control; what is each home's own does not hide it."""
    shutil.copytree(quiet.home, tmp_path / "home")
    tables = Tables(spark, Home(str(tmp_path / "home")))
    wanted = _content(spark, quiet.home)
    _require_equal(_content(spark, tmp_path / "home"), wanted)
    tables.append(table, tables.read(table).limit(1))
    with pytest.raises(AssertionError, match=table.name):
        _require_equal(_content(spark, tmp_path / "home"), wanted)


@pytest.mark.slow
def test_forget_that_is_killed_again_and_again_leaves_the_tables_of_a_quiet_one(spark, logs, quiet, tmp_path):
    """Five viewers of a prepared home; the kills come at any moment, not at chosen points."""
    environment = _environment(logs)
    ids = _some_ids(logs, 5)
    (tmp_path / "ids.txt").write_text("\n".join(ids) + "\n")
    for home in ("quiet", "killed"):
        shutil.copytree(quiet.home, tmp_path / home)
    commands = {home: _forget_command(tmp_path / home, tmp_path / "ids.txt") for home in ("quiet", "killed")}
    length = _finish(commands["quiet"], environment)
    chance = random.Random(13)
    kills = sum(_kill(commands["killed"], environment, chance.uniform(0.2, 1.0) * length) for _ in range(4))
    _finish(commands["killed"], environment)
    wanted, got = _content(spark, tmp_path / "quiet"), _content(spark, tmp_path / "killed")
    _require_equal(got, wanted)
    secret = environment[VARIABLE].encode()
    assert not any(user_hash(secret, one) in str(records) for records in got.values() for one in ids)
    assert _snapshots(tmp_path / "killed") == _snapshots(tmp_path / "quiet")
    print(f"{kills} kills")


def _snapshots(home: Path) -> list[str]:
    return sorted(folder.name for folder in (home / "snapshots").iterdir() if folder.name != ".leases")


def _forget_command(home: Path, ids: Path) -> list[str]:
    start = [sys.executable, "-m", "pagerec_dbx.cli"]
    return [*start, "forget", "--home", str(home), "--user-id-file", str(ids), "--json"]


def _some_ids(logs: Path, count: int) -> list[str]:
    """The first viewers of the service log."""
    ids: dict[str, None] = {}
    for file in sorted((logs / "service_logs").glob("*.gz")):
        lines = gzip.decompress(file.read_bytes())
        for found in re.findall(rb'"user_id": ?"([^"]+)"', lines):
            ids[found.decode()] = None
    return list(ids)[:count]
