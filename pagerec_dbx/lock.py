"""Who works on a home: the lock that one writing command holds, and how a process is told from its predecessor.

A process of this machine can be looked for. One of another machine is known by its beats: a file beside the lock that
the holder writes anew all the time. How old the last one is, is measured by a file that whoever asks has just written
to the same place, so that no two machines' clocks are compared where the storage tells the time.
"""

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from pagerec_dbx.errors import HomeError, LockedHomeError
from pagerec_dbx.home import Home

BEAT_SECONDS = 30.0
# Ten beats: what holds a living process up (a call that does not let Python go on, storage that does not answer) does
# not last so long, and it is over before a task of a job is tried again, ten minutes after it found the home held.
SILENT_SECONDS = 10 * BEAT_SECONDS


@contextlib.contextmanager
def locked(home: Home, command: str) -> Iterator[None]:
    """Hold the home for one writing command, and give a sign of life meanwhile.

    Raises:
        LockedHomeError: another living command holds it; it is named.
    """
    lock, beats = home.folder / "lock.json", f".lock.json.beats.{uuid.uuid4().hex}"
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    content = json.dumps({**this_process(), "command": command, "since": since, "beats": beats})
    _take(lock, content, home)
    try:
        with _beating(lock.with_name(beats)):
            yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            if lock.read_text(encoding="utf-8") == content:  # somebody deleted ours and another command took the home
                lock.unlink()


@contextlib.contextmanager
def _beating(beats: Path) -> Iterator[None]:
    """Write the file anew all the time; one of its own for each holder, so that a late beat is nobody else's."""
    ended = threading.Event()

    def beat() -> None:
        count = 0
        while True:
            with contextlib.suppress(OSError):  # a full disk: then nobody else can take the home either
                beats.write_text(str(count), encoding="utf-8")
            count += 1
            if ended.wait(BEAT_SECONDS):
                return

    heart = threading.Thread(target=beat, daemon=True, name="heart of the lock")
    heart.start()
    try:
        yield
    finally:
        ended.set()
        heart.join()
        with contextlib.suppress(OSError):
            beats.unlink()


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
                _remove_stale(lock, home, aside)
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


def _remove_stale(lock: Path, home: Home, aside: Path) -> None:
    """Remove a lock whose holder is dead; alone, so that what is removed is what was judged."""
    with _judging_alone(lock):
        try:
            holder = json.loads(lock.read_text(encoding="utf-8"))
            beats = lock.with_name(holder["beats"]) if "beats" in holder else None  # None: of an older version
            alive = is_alive(holder, elsewhere=beats is None or _silent_seconds(lock, beats, aside) <= SILENT_SECONDS)
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
                fix="Wait until it ends; if that machine is gone, try again in five minutes",
            )
        lock.unlink(missing_ok=True)
        if beats is not None:
            beats.unlink(missing_ok=True)


def _silent_seconds(lock: Path, beats: Path, aside: Path) -> float:
    """How long ago the holder gave its last sign of life; the lock is its first.

    Args:
        aside: a file that this process has just written to the same folder; it tells what time it is there.

    Raises:
        FileNotFoundError: the lock is gone.
    """
    last = lock.stat().st_mtime
    with contextlib.suppress(FileNotFoundError):
        last = max(last, beats.stat().st_mtime)
    return aside.stat().st_mtime - last


@contextlib.contextmanager
def _judging_alone(lock: Path) -> Iterator[None]:
    """Let one process at a time judge a lock: another could replace it by its own between the look and the removal.

    The system gives the right back when its process ends, however it ends. The side file stays: whoever waits for it
    must wait for the same file. A volume that knows no such rights goes without: there, two commands that meet a dead
    one's lock in the same moment can both take the home. No job of the bundle runs twice at a time.
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
