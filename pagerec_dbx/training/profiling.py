"""Where a step's time goes: a trace for TensorBoard of one call of steps, and a page that sums it up."""

import collections
import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import tensorflow as tf

from pagerec_dbx.training.reduction import REDUCTION
from pagerec_dbx.training.steps import Taken

T = TypeVar("T")
Run = Callable[[Iterator, int], Taken]

_CALL = 2  # that is traced: the first one is spent on building the graph
_TOP = 15  # operations that the page names
# Operations that hold others, whose time they would repeat.
_HOLDERS = ("While", "StatelessWhile", "PartitionedCall", "StatefulPartitionedCall", "If", "StatelessIf")
SUMMARY = "summary.md"


@dataclasses.dataclass(frozen=True)
class Operation:
    """One operation as it was run once."""

    name: str  # with its scopes
    kind: str  # MatMul, ResourceGather, ...
    seconds: float

    @property
    def part(self) -> str:
        """The part of a step that it belongs to."""
        if not self.name.startswith("while/"):
            return "reading"  # the steps are the body of a loop, the stream's own operations are not
        if f"/{REDUCTION}/" in self.name or "orovod" in self.kind:
            return "reduction over ranks"
        if "gradient_tape" in self.name:
            return "backward"
        return "optimizer" if "Adam" in self.name or "SGD" in self.name else "forward"


class Profiled:
    """`Steps.run`, whose second call is traced; folder and page are there once it returns."""

    def __init__(self, run: Run, folder: Path | None):
        """With None as the folder nothing is traced."""
        self._run, self._folder = run, folder
        self._calls = 0

    def __call__(self, batches: Iterator, number: int) -> Taken:
        """As `Steps.run`."""
        self._calls += 1
        if self._folder is None or self._calls != _CALL:
            return self._run(batches, number)
        options = tf.profiler.experimental.ProfilerOptions(host_tracer_level=2, python_tracer_level=0)
        tf.profiler.experimental.start(str(self._folder), options)
        started = time.perf_counter()
        try:
            taken = self._run(batches, number)
        finally:
            seconds = time.perf_counter() - started
            tf.profiler.experimental.stop()
        page = summary(list(_operations(self._folder)), number, seconds, taken.waited)
        (self._folder / SUMMARY).write_text(page, encoding="utf-8")
        return taken


def _operations(folder: Path) -> Iterator[Operation]:
    from tensorflow.tsl.profiler.protobuf import xplane_pb2  # part of TensorFlow, not of its public interface

    newest = max(folder.glob("plugins/profile/*/*.xplane.pb"), key=lambda file: file.stat().st_mtime)
    space = xplane_pb2.XSpace()
    space.ParseFromString(newest.read_bytes())
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name, colon, kind = plane.event_metadata[event.metadata_id].name.rpartition(":")
                # "scope/name:Kind" is an operation; "Class::function" and phrases are TensorFlow's own doings.
                if colon and kind.isidentifier() and not name.endswith(":") and " " not in name:
                    yield Operation(name, kind, event.duration_ps / 1e12)


def summary(operations: Iterable[Operation], steps: int, seconds: float, waited: float) -> str:
    """One page of Markdown.

    Args:
        operations: all that ran.
        seconds: that the steps took by the clock.
        waited: seconds of these in which there was no batch to work on.
    """
    found = [one for one in operations if one.kind not in _HOLDERS]
    total = sum(one.seconds for one in found) or 1.0
    parts: dict[str, float] = collections.defaultdict(float)
    kinds: dict[tuple[str, str], float] = collections.defaultdict(float)
    for one in found:
        parts[one.part] += one.seconds
        kinds[one.part, one.kind] += one.seconds
    counts = collections.Counter((one.part, one.kind) for one in found)
    lines = [
        f"# Where {steps} steps spent their time",
        "",
        f"{_ms(seconds, steps)} ms a step by the clock, {_ms(waited, steps)} of them waiting for a batch, some for the "
        f"tracing. Operations run side by side: together they were under way for {_ms(total, steps)} ms a step.",
        "",
        "| part | ms a step | share |",
        "|---|---|---|",
    ]
    lines += [f"| {part} | {_ms(spent, steps)} | {spent / total:.0%} |" for part, spent in _longest(parts)]
    lines += ["", "| operation | part | times a step | ms a step | share |", "|---|---|---|---|---|"]
    lines += [
        f"| {kind} | {part} | {counts[part, kind] / steps:.1f} | {_ms(spent, steps)} | {spent / total:.0%} |"
        for (part, kind), spent in _longest(kinds)[:_TOP]
    ]
    lines += [
        "",
        "An operation that waits for other ranks, or for a GPU, counts only until it has been asked for.",
    ]
    lines += ["", "The whole trace: `tensorboard --logdir` this folder, with tensorboard-plugin-profile installed."]
    return "\n".join(lines) + "\n"


def _longest(spent: Mapping[T, float]) -> list[tuple[T, float]]:
    return sorted(spent.items(), key=lambda one: -one[1])


def _ms(seconds: float, steps: int) -> str:
    return f"{seconds / steps * 1e3:.2f}"
