"""Who works on a home: the lock that one writing command holds, and how a process is told from its predecessor."""

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from pagerec_dbx.errors import HomeError, LockedHomeError
from pagerec_dbx.home import Home


@contextlib.contextmanager
def locked(home: Home, command: str) -> Iterator[None]:
    """Hold the home for one writing command.

    Raises:
        LockedHomeError: another living command holds it; it is named.
    """
    lock = home.folder / "lock.json"
    content = json.dumps({**this_process(), "command": command, "since": time.strftime("%Y-%m-%d %H:%M:%S")})
    _take(lock, content, home)
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            if lock.read_text(encoding="utf-8") == content:  # somebody deleted ours and another command took the home
                lock.unlink()


def _take(lock: Path, content: str, home: Home) -> None:
    """Make the lock file in one step that cannot succeed twice; a stale one is removed first."""
    aside = lock.with_name(f"{lock.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        aside.write_text(content, encoding="utf-8")
    except OSError as error:
        raise HomeError(
            f"home {home.name} cannot be written", got=error.strerror, fix="Check its permissions and the disk"
        ) from error
    try:
        for _ in range(3):
            try:
                _put(aside, lock)
                return
            except FileExistsError:
                _remove_stale(lock, home)
    finally:
        aside.unlink(missing_ok=True)
    raise LockedHomeError(f"home {home.name} is being taken by another command", fix="Try again")


def _put(aside: Path, lock: Path) -> None:
    """Make the lock file; FileExistsError where it stands already."""
    try:
        os.link(aside, lock)  # its content is whole from the first moment
    except FileExistsError:
        raise
    except OSError:  # a Databricks volume knows no hard links
        with open(lock, "x", encoding="utf-8") as file:
            file.write(aside.read_text(encoding="utf-8"))


def _remove_stale(lock: Path, home: Home) -> None:
    """Remove a lock whose holder is dead; alone, so that what is removed is what was judged."""
    with _judging_alone(lock):
        try:
            holder = json.loads(lock.read_text(encoding="utf-8"))
            alive = is_alive(holder, elsewhere=True)
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError):
            raise LockedHomeError(
                f"lock file {lock} is malformed", fix=f"Delete {lock} if no command is running"
            ) from None
        if alive:
            raise LockedHomeError(
                f"home {home.name} is held by `pagerec {holder['command']}` (process {holder['pid']} on "
                f"{holder['host']}, since {holder['since']})",
                fix=f"Wait until it ends; if that machine is gone, delete {lock}",
            )
        lock.unlink(missing_ok=True)


@contextlib.contextmanager
def _judging_alone(lock: Path) -> Iterator[None]:
    """Let one process at a time judge a lock: another could replace it by its own between the look and the removal.

    The system gives the right back when its process ends, however it ends. The side file stays: whoever waits for it
    must wait for the same file. A volume that knows no such rights goes without: there, two commands that meet a dead
    one's lock in the same moment can both take the home. The bundle's job never runs twice at a time.
    """
    with open(lock.with_name(f".{lock.name}.judged"), "a", encoding="utf-8") as side:
        with contextlib.suppress(OSError):
            fcntl.flock(side, fcntl.LOCK_EX)
        yield


def this_process() -> dict[str, Any]:
    """What names this process in a lock or a lease."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": _started(os.getpid())}


def is_alive(holder: Mapping[str, Any], elsewhere: bool) -> bool:
    """Whether the process that `this_process` named still runs; KeyError if it is no such thing.

    Args:
        elsewhere: the answer for a process of another machine, which cannot be seen from here.
    """
    host, pid, started = holder["host"], holder["pid"], holder["started"]
    return elsewhere if host != socket.gethostname() else _started(pid) == started


def _started(pid: int) -> float | None:
    """When a process began, so that a reused process id is not taken for its predecessor; None if there is none."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None
