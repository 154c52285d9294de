"""SIGKILLs at random moments of `ingest`, `join` and `prepare`, then the command again: the tables of a quiet run."""

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

from pagerec_dbx import schemas
from pagerec_dbx.config import settings_from
from pagerec_dbx.hashing import VARIABLE, ensure_key, user_hash
from pagerec_dbx.home import Home, open_home
from pagerec_dbx.stages.simulate import simulate
from pagerec_dbx.tables import Tables

KILLS = int(os.environ.get("PAGEREC_KILLS", "50"))
TABLES = (
    schemas.PAGE_VIEWS, schemas.CLICKS, schemas.QUARANTINE, schemas.TITLES, schemas.CLICK_MATCHES,
    schemas.LABELLED_PAGE_VIEWS, schemas.JOIN_HEALTH, schemas.EXAMPLES,
)  # fmt: skip
OF_ITS_CLOCK = ("ingested_at",)  # each home is ingested at another moment


@pytest.fixture(scope="module")
def logs(spark, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("kills")
    key, _ = ensure_key(open_home(str(folder / "key-home")), derived_from_seed=3)
    settings = settings_from({"lines_per_file": 200, "gzip_logs": True}).simulate
    simulate(spark, key, folder / "logs", 1_000, 3, settings)
    return folder / "logs"


def _commands(home: Path, logs: Path) -> list[list[str]]:
    start = [sys.executable, "-m", "pagerec_dbx.cli"]
    steps = (["ingest", "--logs", str(logs)], ["join"], ["prepare"])
    return [[*start, *step, "--home", str(home), "--json"] for step in steps]


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
    tables = Tables(spark, Home(str(home)))
    frames = {table.name: tables.read(table).drop(*OF_ITS_CLOCK) for table in TABLES}
    return {name: sorted(map(str, frame.collect())) for name, frame in frames.items()}


@pytest.mark.slow
def test_commands_that_are_killed_again_and_again_leave_the_tables_of_a_quiet_run(spark, logs, tmp_path):
    environment = _environment(logs)
    lengths = [_finish(command, environment) for command in _commands(tmp_path / "quiet", logs)]
    wanted = {name: records for name, records in _content(spark, tmp_path / "quiet").items() if name != "join_health"}
    chance, kills, number = random.Random(11), 0, 0
    while kills < KILLS:
        home, number = tmp_path / f"killed-{number}", number + 1
        for command, length in zip(_commands(home, logs), lengths, strict=True):
            kills += sum(_kill(command, environment, chance.uniform(0.2, 1.0) * length) for _ in range(3))
            _finish(command, environment)
        got = _content(spark, home)
        for name, records in wanted.items():
            assert got[name] == records, (name, number)
    print(f"{kills} kills in {number} homes")


@pytest.mark.slow
def test_forget_that_is_killed_again_and_again_leaves_the_tables_of_a_quiet_one(spark, logs, tmp_path):
    """Five viewers of a prepared home; the kills come at any moment, not at chosen points."""
    environment = _environment(logs)
    for command in _commands(tmp_path / "quiet", logs):
        _finish(command, environment)
    ids = _some_ids(logs, 5)
    (tmp_path / "ids.txt").write_text("\n".join(ids) + "\n")
    shutil.copytree(tmp_path / "quiet", tmp_path / "killed")
    commands = {home: _forget_command(tmp_path / home, tmp_path / "ids.txt") for home in ("quiet", "killed")}
    length = _finish(commands["quiet"], environment)
    chance = random.Random(13)
    kills = sum(_kill(commands["killed"], environment, chance.uniform(0.2, 1.0) * length) for _ in range(4))
    _finish(commands["killed"], environment)
    wanted, got = _content(spark, tmp_path / "quiet"), _content(spark, tmp_path / "killed")
    for name, records in wanted.items():
        assert got[name] == records, name
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
