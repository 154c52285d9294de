"""Progress on standard error: what is being done, how far it is, how fast, how long still."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol


class Words(Protocol):
    """Where lines for a person go: a terminal, a log file, or a stand-in for them on another machine."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...

    def isatty(self) -> bool: ...


EVERY = 5.0  # seconds between lines where a line cannot be rewritten, as in a log file


def say(text: str, stream: Words | None = None) -> None:
    """One line for the person who waits."""
    print(text, file=stream or sys.stderr, flush=True)


class Progress:
    """A line that is rewritten on a terminal, and repeated now and then in a log file."""

    def __init__(self, label: str, total: int, unit: str, stream: Words | None = None, already: int = 0):
        """Of the total, `already` were done before: they do not count for the rate."""
        self._label, self._total, self._unit, self._already = label, total, unit, already
        self._stream = stream or sys.stderr
        self._started = self._shown = time.monotonic()
        self._drawn = False

    def update(self, done: int, note: str = "") -> None:
        """Show that `done` of the total are done."""
        now = time.monotonic()
        pause = 0.2 if self._stream.isatty() else EVERY
        if now - self._shown < pause and done < self._total:
            return
        self._shown = now
        text = f"  {self._label}: {describe(done, self._total, self._unit, now - self._started, self._already)}{note}"
        if self._stream.isatty():
            self._stream.write(f"\r\x1b[K{text}")
            self._drawn = True
        else:
            self._stream.write(text + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Leave the last line standing."""
        if self._drawn:
            self._stream.write("\n")
            self._stream.flush()


def describe(done: int, total: int, unit: str, seconds: float, already: int = 0) -> str:
    """`120 of 400 steps, 60.0/s, 5 s left`; the seconds are of what was done since `already`."""
    rate = (done - already) / seconds if seconds > 0 else 0.0
    left = f", {(total - done) / rate:,.0f} s left" if 0 < done < total and rate > 0 else ""
    return f"{done:,} of {total:,} {unit}, {rate:,.1f}/s{left}"


def span(seconds: float) -> str:
    """`a second`, `40 seconds`, `12 minutes`, `1.5 hours`."""
    if seconds < 1.5:
        return "a second"
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5_400 else f"{seconds / 3600:.1f} hours"


@contextlib.contextmanager
def beside(watch: Callable[..., None], *arguments: object) -> Iterator[None]:
    """Run a function in a thread of its own while the block runs.

    Args:
        watch: takes the arguments and, last, the event that is set when the block ends; the block waits for its return.
    """
    stop = threading.Event()
    thread = threading.Thread(target=watch, args=(*arguments, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextlib.contextmanager
def working(label: str, quiet_for: float = 10.0) -> Iterator[None]:
    """Say how long the block takes, now and then, once it lasts longer than `quiet_for` seconds.

    For what cannot tell how far it is: an engine that starts, a model that is exported.
    """
    with beside(_tell_time, label, quiet_for):
        yield


def _tell_time(label: str, quiet_for: float, stop: threading.Event) -> None:
    started = time.monotonic()
    if stop.wait(quiet_for):
        return
    say(f"  {label}: {time.monotonic() - started:,.0f} s so far")
    while not stop.wait(2 * EVERY):
        say(f"  {label}: {time.monotonic() - started:,.0f} s so far")


@contextlib.contextmanager
def watch_spark(spark, label: str, quiet_for: float = 5.0) -> Iterator[None]:
    """Show the tasks of the Spark jobs that run inside the block, once it lasts longer than `quiet_for` seconds.

    On a cluster whose driver hides its status (shared access mode) nothing is shown.
    """
    with beside(_watch, spark, label, quiet_for):
        yield


def _watch(spark, label: str, quiet_for: float, stop: threading.Event) -> None:
    try:
        tracker = spark.sparkContext.statusTracker()
    except Exception as error:  # the classes differ between access modes; progress must never break the work
        say(f"  {label}: no progress shown ({type(error).__name__})")
        return
    started = time.monotonic()
    if stop.wait(quiet_for):
        return
    while not stop.wait(1.0 if sys.stderr.isatty() else EVERY):
        infos = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
        infos = [info for info in infos if info is not None]
        done, total = sum(info.numCompletedTasks for info in infos), sum(info.numTasks for info in infos)
        seconds = time.monotonic() - started
        if total:
            text = f"  {label}: {done} of {total} tasks of this step, {seconds:,.0f} s so far"
            sys.stderr.write(f"\r\x1b[K{text}" if sys.stderr.isatty() else text + "\n")
            sys.stderr.flush()
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
