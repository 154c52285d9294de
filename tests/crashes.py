"""Failures at chosen write points: a run that is stopped where it was about to write, or right after it has written."""

import collections
import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from types import ModuleType

import pytest

from pagerec_dbx import ledger
from pagerec_dbx.home import write_atomically
from pagerec_dbx.stages import ingest_run
from pagerec_dbx.tables import Tables

WRITING = (
    "append", "append_stream", "delete", "delete_matching", "replace", "replace_where", "insert_new", "update_matching",
)  # fmt: skip


class Stopped(Exception):
    """Stands for a kill."""


@dataclasses.dataclass(frozen=True)
class Point:
    """The n-th time that a run writes to one place in one way, counted from 1."""

    method: str
    place: str
    number: int


@contextlib.contextmanager
def stopping(
    at: Point | None = None, after: bool = False, functions: Sequence[tuple[ModuleType, str]] = ()
) -> Iterator[list[Point]]:
    """Let the run inside the block fail at a point, before or after it writes; the points that it came to are given.

    Args:
        functions: others that write, by module and name; their points have the method `call`.
    """
    seen: list[Point] = []
    counts: collections.Counter = collections.Counter()

    def reached(method: str, place: str) -> bool:
        counts[method, place] += 1
        seen.append(Point(method, place, counts[method, place]))
        return seen[-1] == at

    def watched(method: str):
        real = getattr(Tables, method)

        def write(self, table, *arguments, **named):
            stop = reached(method, table.name)
            if stop and not after:
                raise Stopped(table.name)
            result = real(self, table, *arguments, **named)
            if stop:
                if method == "append_stream":
                    result.awaitTermination()
                raise Stopped(table.name)
            return result

        return write

    def write_note(path, text):
        stop = reached("note", path.name)
        if stop and not after:
            raise Stopped(path.name)
        write_atomically(path, text)
        if stop:
            raise Stopped(path.name)

    def called(module: ModuleType, name: str):
        real = getattr(module, name)

        def call(*arguments, **named):
            stop = reached("call", name)
            if stop and not after:
                raise Stopped(name)
            result = real(*arguments, **named)
            if stop:
                raise Stopped(name)
            return result

        return call

    with pytest.MonkeyPatch.context() as patch:
        for module, name in functions:
            patch.setattr(module, name, called(module, name))
        for module in (ingest_run, ledger):
            patch.setattr(module, "write_atomically", write_note)
        for method in WRITING:
            patch.setattr(Tables, method, watched(method))
        yield seen


def stopped_at(point: Point, after: bool, run, functions: Sequence[tuple[ModuleType, str]] = ()) -> bool:
    """Run until the point; False if the run came to its end without it."""
    with stopping(point, after, functions):
        try:
            run()
        except Stopped:
            return True
    return False
