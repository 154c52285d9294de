"""Who holds a home: one command at a time, and what becomes of the lock of one that is gone."""

import contextlib
import fcntl
import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from pagerec_dbx import lock as lock_module
from pagerec_dbx.errors import LockedHomeError
from pagerec_dbx.lock import locked


def test_lock_names_its_holder_and_is_given_back(home):
    words = f"held by `pagerec ingest` .process {os.getpid()}"
    with locked(home, "ingest"), pytest.raises(LockedHomeError, match=words), locked(home, "join"):
        pass
    with locked(home, "join"):
        pass


def test_lock_of_a_dead_process_is_taken_over(home):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    holder = {"host": socket.gethostname(), "pid": dead.pid, "started": 1.0, "command": "ingest", "since": "before"}
    (home.folder / "lock.json").write_text(json.dumps(holder))
    with locked(home, "join"):
        assert json.loads((home.folder / "lock.json").read_text())["command"] == "join"
    assert list(home.folder.glob("lock*")) == []


def test_lock_of_a_reused_process_id_is_taken_over(home):
    # this very process is alive, but began at another time than the lock's holder
    holder = {"host": socket.gethostname(), "pid": os.getpid(), "started": 1.0, "command": "x", "since": "y"}
    (home.folder / "lock.json").write_text(json.dumps(holder))
    with locked(home, "join"):
        pass


def test_lock_of_another_machine_is_respected(home):
    holder = {"host": "elsewhere", "pid": 1, "started": 1.0, "command": "ingest", "since": "y"}
    (home.folder / "lock.json").write_text(json.dumps(holder))
    with pytest.raises(LockedHomeError, match="on elsewhere"), locked(home, "join"):
        pass


@contextlib.contextmanager
def held_elsewhere(home, monkeypatch):
    """A command holds the home; whoever asks meanwhile is on another machine."""
    with locked(home, "ingest"), monkeypatch.context() as patch:
        patch.setattr(socket, "gethostname", lambda: "another")
        yield


@pytest.mark.parametrize(("silent_seconds", "taken"), [(290, False), (310, True)])
def test_lock_of_another_machine_is_taken_over_after_five_silent_minutes(home, silent_seconds, taken):
    """Its beats stopped so long ago; the lock itself is an hour older."""
    holder = {"host": "elsewhere", "pid": 1, "started": 1.0, "command": "ingest", "since": "y", "beats": ".beats"}
    lock, beats, now = home.folder / "lock.json", home.folder / ".beats", time.time()
    for file, text, age in ((lock, json.dumps(holder), silent_seconds + 3600), (beats, "7", silent_seconds)):
        file.write_text(text)
        os.utime(file, (now - age, now - age))
    refused = contextlib.nullcontext() if taken else pytest.raises(LockedHomeError, match="on elsewhere.*five minutes")
    with refused, locked(home, "join"):
        assert json.loads(lock.read_text())["command"] == "join"
    assert beats.exists() == (not taken)


def test_lock_of_another_machine_without_beats_counts_from_when_it_was_made(home):
    holder = {"host": "elsewhere", "pid": 1, "started": 1.0, "command": "ingest", "since": "y", "beats": ".beats"}
    lock = home.folder / "lock.json"
    lock.write_text(json.dumps(holder))
    with pytest.raises(LockedHomeError, match="on elsewhere"), locked(home, "join"):
        pass
    os.utime(lock, (time.time() - 310, time.time() - 310))
    with locked(home, "join"):
        pass


def test_lock_of_a_living_holder_on_another_machine_is_never_taken_over(home, monkeypatch):
    """It beats every 0.05 s, and is asked for four times as long as it might be silent."""
    monkeypatch.setattr(lock_module, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(lock_module, "SILENT_SECONDS", 0.5)
    until = time.monotonic() + 2
    with held_elsewhere(home, monkeypatch):
        while time.monotonic() < until:
            with pytest.raises(LockedHomeError, match="held by `pagerec ingest`"), locked(home, "join"):
                pass
    assert not beats_of(home)


def test_without_beats_a_living_holder_on_another_machine_loses_the_home(home, monkeypatch):
    """The negative control of the test before."""
    monkeypatch.setattr(lock_module, "BEAT_SECONDS", 60)
    monkeypatch.setattr(lock_module, "SILENT_SECONDS", 0.5)
    with held_elsewhere(home, monkeypatch):
        time.sleep(1)
        with locked(home, "join"):
            pass


def test_a_beat_that_cannot_be_written_stops_no_command(home, monkeypatch):
    monkeypatch.setattr(lock_module, "BEAT_SECONDS", 0.01)
    with locked(home, "ingest"):
        _wait_until(lambda: beats_of(home), 10)
        (beats,) = beats_of(home)
        _wait_until(lambda: _becomes_folder(beats), 10)
        time.sleep(0.1)
    assert not list(home.folder.glob("lock*")) and beats_of(home) == [beats]


def _becomes_folder(beats) -> bool:
    """Put a folder in the place of a file; False where the file was written anew in between."""
    beats.unlink(missing_ok=True)
    with contextlib.suppress(FileExistsError):
        beats.mkdir()
    return beats.is_dir()


def beats_of(home) -> list:
    return list(home.folder.glob(".lock.json.beats.*"))


def test_malformed_lock_is_no_invitation(home):
    (home.folder / "lock.json").write_text("{")
    with pytest.raises(LockedHomeError, match="malformed"), locked(home, "join"):
        pass


def test_lock_that_somebody_else_holds_by_now_is_left_alone(home):
    lock = home.folder / "lock.json"
    with locked(home, "ingest"):
        lock.unlink()  # by hand; another command takes the home
        lock.write_text("somebody else's")
    assert lock.read_text() == "somebody else's"
    lock.unlink()
    with locked(home, "ingest"):
        lock.unlink()
    assert not lock.exists()


def _dead(**others) -> str:
    """The lock of a process that is no more: this one's number, and another beginning."""
    holder = {"host": socket.gethostname(), "pid": os.getpid(), "started": 1.0, "command": "x", "since": "y"}
    return json.dumps(holder | others)


def _most_holders(home, monkeypatch, patience: float) -> int:
    """Three commands find a dead one's lock; the first stops to think just after it has judged the lock to be dead.

    Args:
        patience: seconds for which a command is waited for that may take the home.
    """
    (home.folder / "lock.json").write_text(_dead())
    judged, think_on, let_go = threading.Event(), threading.Event(), threading.Event()
    real, inside, counts = lock_module.is_alive, [], []

    def thoughtful(holder, elsewhere):
        alive = real(holder, elsewhere)
        if threading.current_thread().name == "first":
            judged.set()
            think_on.wait(30)
        return alive

    def command():
        name = threading.current_thread().name
        with contextlib.suppress(LockedHomeError), locked(home, name):
            inside.append(name)
            counts.append(len(inside))
            let_go.wait(30)
            inside.remove(name)

    monkeypatch.setattr(lock_module, "is_alive", thoughtful)
    threads = [threading.Thread(target=command, name=name) for name in ("first", "second", "third")]
    threads[0].start()
    assert judged.wait(30)
    for thread in threads[1:]:
        thread.start()
    _wait_until(lambda: counts, patience)  # they wait for the first to have judged, or one of them takes the home now
    think_on.set()
    _wait_until(lambda: len(counts) > 1, patience)
    let_go.set()
    for thread in threads:
        thread.join(60)
    assert not list(home.folder.glob("lock*"))
    return max(counts)


def _wait_until(true, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.01)


def test_of_three_commands_that_meet_a_dead_one_s_lock_one_holds_the_home(home, monkeypatch):
    assert _most_holders(home, monkeypatch, patience=0.5) == 1


def test_without_judging_alone_two_hold_it(home, monkeypatch):
    """The negative control, and what is left to chance on a volume that gives no such right."""

    def not_here(*_):
        raise OSError("no such right here")

    monkeypatch.setattr(fcntl, "flock", not_here)
    assert _most_holders(home, monkeypatch, patience=20) > 1


def test_lock_works_without_hard_links(home, monkeypatch):
    def no_links(*_):
        raise PermissionError("no hard links here")

    monkeypatch.setattr(os, "link", no_links)
    with locked(home, "ingest"), pytest.raises(LockedHomeError, match="held by `pagerec ingest`"), locked(home, "join"):
        pass
    with locked(home, "join"):
        pass
