"""What the first rank says while it trains, heard by the driver through a small file.

Horovod hands on the output of ranks in blocks of 64 KB: most trainings say less, and would be silent until they end.
"""

import contextlib
import io
import json
import sys
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from pagerec_dbx.home import write_atomically
from pagerec_dbx.progress import beside

_FILE = "words.json"
_KEPT = 100  # last lines in the file: more than a rank says between two looks
_LOOK_SECONDS = 1.0


class RankWords(io.TextIOBase):
    """A stream of lines into a folder that the driver sees."""

    def __init__(self, folder: Path):
        self._file, self._count, self._rest = folder / _FILE, 0, ""
        self._last: deque[str] = deque(maxlen=_KEPT)

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        if lines:
            self._last += lines
            self._count += len(lines)
            with contextlib.suppress(OSError):  # a full disk is told by whoever has to write
                write_atomically(self._file, json.dumps({"count": self._count, "last": list(self._last)}))
        return len(text)


@contextlib.contextmanager
def listening(folder: Path, terminal: TextIO | None = None) -> Iterator[None]:
    """Print what a rank says in the folder while the block runs.

    Args:
        terminal: the standard error of this moment by default.
    """
    with beside(_listen, folder / _FILE, terminal or sys.stderr):
        yield


def _listen(file: Path, stream: TextIO, stop: threading.Event) -> None:
    heard, is_last = 0, False
    while not is_last:
        is_last = stop.wait(_LOOK_SECONDS)
        with contextlib.suppress(OSError, ValueError):
            said = json.loads(file.read_text(encoding="utf-8"))
            new = min(said["count"] - heard, len(said["last"]))
            for line in said["last"][len(said["last"]) - new :]:
                print(line, file=stream, flush=True)
            heard = said["count"]
