"""What the ranks print: into the log file, and the error that one of them died of."""

import re
import threading
from typing import TextIO

# What the error of a rank says that comes of another one's end.
CONSEQUENCES = ("orovod", "gloo", "by peer", "timed out", "Broken pipe")


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
