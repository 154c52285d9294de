"""Ranks and driver hear each other through small files, so that none waits for one that is gone.

A rank whose process is stopped, or whose machine is unreachable, breaks no connection: without this the others would
wait for it in the next reduction. Clocks of different machines are not compared: a count is watched for change.
Whoever heard one of the others waits for the first word of the rest as long as for any other.
"""

import contextlib
import dataclasses
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pagerec_dbx.errors import in_one_line
from pagerec_dbx.home import write_atomically
from pagerec_dbx.lock import is_alive, this_process

DRIVER = "driver"
_SILENT = "silent.txt"  # who was missed first
_GONE = 71  # exit code of a rank that waits no longer


@dataclasses.dataclass(frozen=True)
class Beat:
    """What one process last said of itself."""

    who: str  # "rank 0", "rank 1", ..., "driver"
    host: str
    process: int
    started: float  # when the process began: a number that another one has by now is not taken for it
    count: int
    where: str  # in the training
    end: str | None = None  # None: alive; "": it ended well; else the error it ended with

    @property
    def process_key(self) -> tuple[str, int, float]:
        """Which process of all it is."""
        return self.host, self.process, self.started

    def __str__(self) -> str:
        return f"{self.who} (process {self.process} on {self.host}), {self.where}"

    @property
    def is_here(self) -> bool:
        """Whether its process runs on this machine."""
        return is_alive({"host": self.host, "pid": self.process, "started": self.started}, elsewhere=False)


def rank_name(rank: int) -> str:
    """How a rank is called in beats and messages."""
    return f"rank {rank}"


def end_this_process() -> None:
    """What a rank does whose main thread is inside a reduction that will never end."""
    os._exit(_GONE)


@contextlib.contextmanager
def beating(
    folder: Path,
    who: str,
    heard: Sequence[str],
    where: Callable[[], str],
    silence_seconds: float,
    on_missed: Callable[[], None] = end_this_process,
) -> Iterator[None]:
    """Tell the others that this process lives, and give up when one of those `heard` falls silent.

    Args:
        folder: seen by all; `clear` empties it before the first of them starts.
        where: what this process is at.
        silence_seconds: how long without a change counts as silent, and how long after the first of those heard another
            may speak for the first time; before any spoke nobody is missed, nor is anybody while this process cannot
            write a sign of life itself, as on a full disk: then the others cannot either.
        on_missed: called once somebody was missed and that was written down; this process is not heard of after it.
    """
    heart = _Heart(folder, who, heard, where, silence_seconds, on_missed)
    heart.beat()  # known to the others before anything can happen to it
    heart.start()
    end = ""
    try:
        yield
    except BaseException as error:
        end = in_one_line(error)
        raise
    finally:
        heart.stop(end)


def clear(folder: Path) -> None:
    """Forget the beats of an earlier attempt."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink(missing_ok=True)


def who_was_missed(folder: Path) -> str | None:
    """Who fell silent while the others went on; None if nobody did."""
    with contextlib.suppress(OSError):
        return (folder / _SILENT).read_text(encoding="utf-8")
    return None


def is_driver(missed: str | None) -> bool:
    """Whether it was the driver who fell silent, by what `who_was_missed` says: paused, or its machine was."""
    return bool(missed) and missed.startswith(f"{DRIVER} ")


def who_failed(folder: Path, consequences: Sequence[str]) -> str | None:
    """Which ranks ended with an error of their own, and with which; None if none did.

    Args:
        consequences: what an error says that comes of the end of another rank.
    """
    failed = [beat for beat in _ranks(folder) if beat.end and not any(said in beat.end for said in consequences)]
    return "; ".join(f"{beat}, ended with {beat.end}" for beat in failed) or None


def who_just_ended(folder: Path) -> str | None:
    """Which ranks ended without a word, as killed processes do; None if none did."""
    dead = [beat for beat in _ranks(folder) if beat.end is None]
    return "; ".join(f"{beat}, ended without a word" for beat in dead) or None


def where_ranks_are(folder: Path, before: str) -> str:
    """What the first of the ranks said last of where it is; `before` any of them spoke."""
    return next((beat.where for beat in _ranks(folder)), before)


def _ranks(folder: Path) -> list[Beat]:
    beats = [_read(path) for path in sorted(folder.glob("rank *.json"))]
    return [beat for beat in beats if beat is not None]


class _Heart(threading.Thread):
    def __init__(self, folder, who, heard, where, silence_seconds, on_missed) -> None:
        super().__init__(daemon=True, name=f"heart of {who}")
        self._folder, self._who, self._heard, self._where = folder, who, heard, where
        self._silence, self._on_missed = silence_seconds, on_missed
        self._stopped = threading.Event()
        self._count = 0
        self._process = this_process()
        self._changes: dict[str, tuple[Beat, float]] = {}  # who -> last beat, when it was first seen
        self._first: float | None = None  # when the first of those heard was
        self._spoken: set[str] = set()  # who of them ever spoke

    def run(self) -> None:
        while True:
            if self.beat():
                missed = self._missed()
                if missed is not None:
                    self._give_up(missed)
                    return
            else:
                self._changes.clear()
                self._first = None
            if self._stopped.wait(self._silence / 8):
                return

    def stop(self, end: str) -> None:
        self._stopped.set()
        self.join()
        self.beat(end)

    def beat(self, end: str | None = None) -> bool:
        """Write where this process is, or how it ended; whether that could be written."""
        self._count += 1
        host, process, started = (self._process[name] for name in ("host", "pid", "started"))
        beat = Beat(self._who, host, process, started, self._count, self._where(), end)
        try:
            write_atomically(self._folder / f"{self._who}.json", json.dumps(dataclasses.asdict(beat)))
        except OSError:  # a full disk is told by whoever has to write
            return False
        return True

    def _give_up(self, missed: "Beat | str") -> None:
        """Say who was missed, if nobody did, and end the one that is stopped on this machine."""
        if not (self._folder / _SILENT).exists():  # those who give up fall silent themselves
            text = f"{missed}, was silent" if isinstance(missed, Beat) else f"{missed} gave no sign of life"
            with contextlib.suppress(OSError):
                write_atomically(self._folder / _SILENT, text)
        if isinstance(missed, Beat) and missed.who != DRIVER and missed.is_here:
            with contextlib.suppress(OSError):  # a stopped process does not heed the launcher, who would wait for it
                os.kill(missed.process, signal.SIGKILL)
        self._on_missed()

    def _missed(self) -> "Beat | str | None":
        """The last beat of whoever fell silent, the name of one who never spoke; None if nobody is missed."""
        now, beats = time.monotonic(), {who: _read(self._folder / f"{who}.json") for who in self._heard}
        self._spoken |= {who for who, beat in beats.items() if beat is not None}
        if self._first is None and self._spoken:
            self._first = now
        for who, beat in beats.items():
            never = who not in self._spoken  # a file that cannot be read for a moment is no silence
            if never and self._first is not None and now - self._first > self._silence:
                return who
            if beat is None or beat.end is not None:
                continue
            last, since = self._changes.get(who, (beat, now))
            if who == DRIVER and last.process_key != beat.process_key:
                end_this_process()  # the training was begun anew without this rank: it has no business here
            if last == beat and now - since > self._silence:
                return beat
            self._changes[who] = beat, (since if last == beat else now)
        return None


def _read(path: Path) -> Beat | None:
    try:
        return Beat(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
