"""Failures at chosen write points: a run that is stopped where it was about to write, or right after it has written.

Two ways: the run raises (`stopping`), or the home is copied as it lies there at every point while the run goes on
(`imaging`). An image is what a kill at this point leaves, and costs no run of its own.
"""

import collections
import contextlib
import dataclasses
import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pagerec_dbx import home, ledger
from pagerec_dbx.features import publishing
from pagerec_dbx.home import write_atomically
from pagerec_dbx.stages import ingest_run
from pagerec_dbx.tables import Tables

WRITING = (
    "append", "append_stream", "create", "compact", "delete", "delete_matching", "insert_new", "replace",
    "replace_where", "update", "update_matching",
)  # fmt: skip
NOTING = (home, ingest_run, ledger, publishing)  # the modules that write small files beside the tables
Functions = Sequence[tuple[Any, str]]  # others that write: a module or class and a name; their points are `call`s


class Stopped(Exception):
    """Stands for a kill."""


@dataclasses.dataclass(frozen=True)
class Point:
    """The n-th time that a run writes to one place in one way, counted from 1."""

    method: str
    place: str
    number: int


@contextlib.contextmanager
def stopping(at: Point | None = None, after: bool = False, functions: Functions = ()) -> Iterator[list[Point]]:
    """Let the run inside the block fail at a point, before or after it writes; the points that it came to are given."""

    def reached(point: Point, written: bool, result: Any) -> None:
        if point == at and written == after:
            _wait_for(point, result)
            raise Stopped(point.place)

    with _watching(reached, functions) as seen:
        yield seen


def stopped_at(point: Point, after: bool, run, functions: Functions = ()) -> bool:
    """Run until the point; False if the run came to its end without it."""
    with stopping(point, after, functions):
        try:
            run()
        except Stopped:
            return True
    return False


def leave_home(spark, folder: Path) -> None:
    """Remove a home that is done with, and what Delta keeps of its tables: dozens of homes fill Java's memory."""
    shutil.rmtree(folder)
    spark.sparkContext._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()


@dataclasses.dataclass(frozen=True)
class Image:
    """A home as it lay there at one moment of a run."""

    folder: Path
    moment: str


@dataclasses.dataclass(frozen=True)
class Recorded:
    """The points of a run, and the images of its home before and after each; of equal ones in a row the first."""

    points: list[Point]
    images: list[Image]


@contextlib.contextmanager
def imaging(folder: Path, into: Path, functions: Functions = ()) -> Iterator[Recorded]:
    """Copy a home before and after each write of the run inside the block."""
    images: list[Image] = []
    last = None

    def reached(point: Point, written: bool, result: Any) -> None:
        nonlocal last
        _wait_for(point, result)  # nothing is written while the home is being copied
        digest = _digest(folder)
        if digest != last:
            moment = f"{'after' if written else 'before'} {point.method} {point.place} {point.number}"
            images.append(Image(into / str(len(images)), moment))
            shutil.copytree(folder, images[-1].folder)
        last = digest

    with _watching(reached, functions) as points:
        yield Recorded(points, images)


def places(points: Sequence[Point]) -> dict[str, set[str]]:
    """Where a run has written, by how."""
    found: dict[str, set[str]] = {}
    for point in points:
        found.setdefault(point.method, set()).add(point.place)
    return found


def _wait_for(point: Point, result: Any) -> None:
    """A stream that was started writes on its own."""
    if point.method == "append_stream" and result is not None:
        result.awaitTermination()


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(str(path.relative_to(folder)).encode())
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


@contextlib.contextmanager
def _watching(reached: Callable[[Point, bool, Any], None], functions: Functions) -> Iterator[list[Point]]:
    """Tell of every point before the run writes there, and after it with what the write returned."""
    seen: list[Point] = []
    counts: collections.Counter = collections.Counter()

    def around(method: str, place: str, write: Callable, *arguments, **named):
        counts[method, place] += 1
        point = Point(method, place, counts[method, place])
        seen.append(point)
        reached(point, False, None)
        result = write(*arguments, **named)
        reached(point, True, result)
        return result

    def table_method(method: str):
        real = getattr(Tables, method)

        def write(self, table, *arguments, **named):
            if method == "create" and self.exists(table):
                return real(self, table)
            return around(method, table.name, real, self, table, *arguments, **named)

        return write

    def function(owner: Any, name: str):
        real = getattr(owner, name)
        return lambda *arguments, **named: around("call", name, real, *arguments, **named)

    def write_note(path: Path, text: str) -> None:
        around("note", path.name, write_atomically, path, text)

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in functions:
            patch.setattr(owner, name, function(owner, name))
        for module in NOTING:
            patch.setattr(module, "write_atomically", write_note)
        for method in WRITING:
            patch.setattr(Tables, method, table_method(method))
        yield seen
