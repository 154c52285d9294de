"""What the ranks print: into the log file, and the error that one of them died of."""

import contextlib
import re
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from pagerec_dbx.home import write_atomically
from pagerec_dbx.progress import say

_VOLUMES = Path("/Volumes")

# What the error of a rank says that comes of another one's end.
CONSEQUENCES = ("orovod", "gloo", "by peer", "timed out", "Broken pipe")


@contextlib.contextmanager
def added_to(log_file: Path) -> Iterator[TextIO]:
    """A log file to be added to.

    A Databricks volume takes no additions, and the machine goes with its job: there the words are written to the
    machine's own disk, and stand in the file when the block ends, however it ends.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    if not log_file.is_relative_to(_VOLUMES):
        with open(log_file, "a", encoding="utf-8") as log:
            yield log
        return
    with tempfile.TemporaryDirectory(prefix="pagerec-ranks-") as folder:
        written = Path(folder) / log_file.name
        try:
            with open(written, "a", encoding="utf-8") as log:
                yield log
        finally:
            _add(written, log_file)


def _add(written: Path, log_file: Path) -> None:
    """Put a file's content at the end of another one; where that fails, it says so and lets the training be."""
    try:
        before = log_file.read_bytes() if log_file.exists() else b""
        write_atomically(log_file, before + written.read_bytes())
    except OSError as error:
        say(f"  the ranks' words cannot be written to {log_file}: {error.strerror or type(error).__name__}")


class RankOutput:
    """Horovod's stream of all ranks' lines, which comes late: into the log file, and what a rank died of is kept."""

    _LINE = re.compile(r"^\[(\d+)\]<(?:stdout|stderr)>:(.*)$")
    _ERROR = re.compile(r"^[\w.]*(?:Error|Exception)\b.*")
    _NO_CAUSE = (*CONSEQUENCES, "Graph execution error")  # TensorFlow's headline says nothing

    def __init__(self, log: TextIO):
        self._log, self._rest, self._lock = log, "", threading.Lock()
        self.cause = ""

    def write(self, text: str) -> None:
        with self._lock:
            *lines, self._rest = (self._rest + text).split("\n")
            for line in lines:
                self._one(line)

    def _one(self, line: str) -> None:
        match = self._LINE.match(line)
        rank, words = match.groups() if match else ("?", line)
        if self._ERROR.match(words) and not any(said in words for said in self._NO_CAUSE):
            self.cause = f"rank {rank}: {words}"
        self._log.write(line + "\n")

    def flush(self) -> None:
        self._log.flush()

    def close(self) -> None:
        self.flush()
