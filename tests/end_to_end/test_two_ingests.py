"""Two `pagerec ingest` at the same moment on one home, and one after another that was killed: real processes."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pagerec_dbx.hashing import VARIABLE
from pagerec_dbx.home import Home, open_home
from pagerec_dbx.lock import this_process
from pagerec_dbx.tables import Tables
from tests.log_lines import click, service, write
from tests.viewer_world import content

CLI = [sys.executable, "-m", "pagerec_dbx.cli"]
# The same command, whose lock holds nobody off.
WITHOUT_LOCK = [
    sys.executable,
    "-c",
    "import contextlib, sys; from pagerec_dbx import cli; cli.locked = lambda *its: contextlib.nullcontext(); "
    "sys.exit(cli.run_command(sys.argv[1:]))",
]
WANTED = {"bronze_page_views": 3, "bronze_events": 1, "ingested_files": 2, "page_views": 3, "clicks": 1}
LONGEST = 600  # seconds until a process that hangs fails the test


@pytest.fixture
def logs(tmp_path) -> Path:
    write(tmp_path / "logs", "service_logs", [service(f"q{number}", "ann", 60 * number) for number in range(3)])
    write(tmp_path / "logs", "click_logs", [click("r1", "q1", "ann", 65)])
    return tmp_path / "logs"


@pytest.fixture
def home(tmp_path) -> Path:
    return open_home(str(tmp_path / "home")).folder


@contextlib.contextmanager
def _started(home: Path, logs: Path, cli: list[str] = CLI) -> Iterator[subprocess.Popen]:
    """An `ingest` at work, in a process group of its own that ends with the block."""
    process = subprocess.Popen(
        [*cli, "ingest", "--logs", str(logs), "--home", str(home), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, VARIABLE: "5c" * 32},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _two_at_once(home: Path, logs: Path, cli: list[str]) -> list[tuple[int, int, str]]:
    """Process id, exit code and errors of both."""
    with _started(home, logs, cli) as first, _started(home, logs, cli) as second:
        said = {process: process.communicate(timeout=LONGEST)[1] for process in (first, second)}
    return [(process.pid, process.returncode, errors) for process, errors in said.items()]


def _require_one_holder(ended: list[tuple[int, int, str]]) -> None:
    """One has read the logs; the other has left at once and named it."""
    (holder, code, _), (_, refused, errors) = sorted(ended, key=lambda one: one[1])
    assert (code, refused) == (0, 1), ended
    assert f"is held by `pagerec ingest` (process {holder} on " in errors and "Wait until it ends" in errors
    assert "Traceback" not in errors


def _counts(home: Path) -> dict[str, int]:
    """How many records some tables have; their files are read without Spark."""
    found = content(Tables(None, Home(str(home))))
    return {name: len(found.get(name, ())) for name in WANTED}


@pytest.mark.slow
def test_of_two_ingests_at_once_one_reads_and_the_other_says_who_does(home, logs):
    _require_one_holder(_two_at_once(home, logs, CLI))
    assert _counts(home) == WANTED
    assert not (home / "lock.json").exists()


@pytest.mark.slow
def test_without_the_lock_nobody_is_named(home, logs):
    """The negative control: both go to work, whatever comes of it."""
    with pytest.raises(AssertionError):
        _require_one_holder(_two_at_once(home, logs, WITHOUT_LOCK))


@pytest.mark.slow
def test_the_lock_of_a_killed_ingest_holds_nobody_off(home, logs):
    with _started(home, logs) as killed:
        _wait_until_it_writes(killed, home)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait(LONGEST)
    assert json.loads((home / "lock.json").read_text())["pid"] == killed.pid
    with _started(home, logs) as second:
        _, errors = second.communicate(timeout=LONGEST)
    assert second.returncode == 0, errors
    assert "Finishing run 1, which was stopped" in errors
    assert _counts(home) == WANTED
    assert not (home / "lock.json").exists()


def _wait_until_it_writes(process: subprocess.Popen, home: Path) -> None:
    until = time.monotonic() + LONGEST
    while not (home / "tables" / "bronze_page_views").exists():
        assert process.poll() is None and time.monotonic() < until, process.communicate()
        time.sleep(0.05)


def test_the_lock_of_a_living_process_is_respected_by_another(home, logs):
    """The control of the stale one: the same file, but the process that it names is at work."""
    (home / "lock.json").write_text(json.dumps({**this_process(), "command": "ingest", "since": "now"}))
    with _started(home, logs) as second:
        _, errors = second.communicate(timeout=LONGEST)
    assert second.returncode == 1
    assert f"is held by `pagerec ingest` (process {os.getpid()} on " in errors
    assert not (home / "tables").exists()
