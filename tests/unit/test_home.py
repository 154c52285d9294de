"""A home: its layout, its lock, its key."""

import contextlib
import fcntl
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time

import pytest

from pagerec_dbx import lock as lock_module
from pagerec_dbx.errors import HomeError, KeyFileError, LockedHomeError
from pagerec_dbx.hashing import VARIABLE, ensure_key, fingerprint, user_hash
from pagerec_dbx.home import (
    Home,
    is_simulated,
    key_fingerprint,
    mark_simulated,
    open_home,
    plain_path,
    replace_fingerprint,
    require_same_key,
)
from pagerec_dbx.lock import locked


def test_catalog_homes_are_told_from_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not Home("main.pagerec").in_catalog  # on a laptop it is a folder with a dot in its name
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "15.4")
    assert Home("main.pagerec").in_catalog
    assert Home("main.pagerec").table_address("clicks") == "main.pagerec.clicks"
    assert Home("my-catalog.pagerec").table_address("clicks") == "`my-catalog`.pagerec.clicks"
    assert str(Home("main.pagerec").snapshots) == "/Volumes/main/pagerec/files/snapshots"
    assert not Home("./main.pagerec").in_catalog
    (tmp_path / "main.pagerec").mkdir()
    assert not Home("main.pagerec").in_catalog


@pytest.mark.parametrize("spelt", ["a/../logs", "logs/", "./logs", "a//.//../logs", "/{there}/a/../logs"])
def test_a_path_is_spelt_in_one_way(tmp_path, monkeypatch, spelt):
    monkeypatch.chdir(tmp_path)
    spelt = spelt.format(there=tmp_path)  # two slashes at the front, which POSIX keeps
    assert plain_path(spelt) == Home(spelt).folder == tmp_path / "logs"


def test_a_symbolic_link_in_a_path_stays(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert plain_path(tmp_path / "link" / "logs") == tmp_path / "link" / "logs"


def test_open_home_refuses_another_layout(tmp_path):
    open_home(str(tmp_path / "h"))
    (tmp_path / "h" / "home.json").write_text('{"layout": 99}')
    with pytest.raises(HomeError, match="another version of pagerec: wanted layout 8, got layout 99"):
        open_home(str(tmp_path / "h"))


def test_open_home_refuses_files_and_unmarked_tables(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeError, match="is no folder"):
        open_home(str(tmp_path / "file"))
    (tmp_path / "old" / "tables").mkdir(parents=True)
    with pytest.raises(HomeError, match="has tables but no home.json"):
        open_home(str(tmp_path / "old"))


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


def test_malformed_lock_is_no_invitation(home):
    (home.folder / "lock.json").write_text("{")
    with pytest.raises(LockedHomeError, match="malformed"), locked(home, "join"):
        pass


def test_key_is_made_once_for_the_owner_only(home, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    key, made = ensure_key(home)
    again, made_again = ensure_key(home)
    assert (made, made_again) == (True, False)
    assert key.read() == again.read()
    assert stat.S_IMODE(home.key_file.stat().st_mode) == 0o600


def test_key_comes_from_the_environment_first(home, monkeypatch):
    monkeypatch.setenv(VARIABLE, "secret")
    key, made = ensure_key(home)
    assert key.read() == b"secret" and not made and not home.key_file.exists()


def test_a_lost_key_is_not_replaced_by_a_new_one(home, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    key, _ = ensure_key(home)
    require_same_key(home, fingerprint(key))  # as `ingest` does
    home.key_file.unlink()
    with pytest.raises(KeyFileError, match="has lost its hashing key: wanted .*hash.key.*Restore it from its backup"):
        ensure_key(home)
    assert not home.key_file.exists()


def test_demo_keys_follow_the_seed_and_others_do_not(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    homes = [open_home(str(tmp_path / name)) for name in "abcd"]
    one, same, other, free = (
        ensure_key(home, seed)[0].read() for home, seed in zip(homes, (1, 1, 2, None), strict=True)
    )
    assert one == same and len({one, other, free}) == 3


def test_malformed_key_is_refused(home, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    home.key_file.write_text("short")
    with pytest.raises(KeyFileError, match="wanted 64 lower-case hex digits, got 5 characters"):
        ensure_key(home)


def test_user_hash_is_hmac_sha256():
    # RFC 4231, test case 2
    wanted = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert user_hash(b"Jefe", "what do ya want for nothing?") == wanted


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


def test_what_is_known_of_a_home_stays_beside_what_is_learnt(home):
    assert not is_simulated(home) and not is_simulated(Home(str(home.folder / "nowhere")))
    require_same_key(home, "abc")
    mark_simulated(home)
    replace_fingerprint(home, "def")
    assert is_simulated(home) and key_fingerprint(home) == "def"
    assert open_home(home.name) == home  # the layout is still there
