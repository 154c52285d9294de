"""Runs a command as a process of its own and measures it: seconds, and the most memory it held with its children."""

import dataclasses
import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

import psutil

EVERY = 0.5  # seconds between looks at the memory


@dataclasses.dataclass(frozen=True)
class Measured:
    """One command that came to its end."""

    seconds: float
    peak_bytes: int  # resident, with all children; memory that they share counts in each
    result: dict  # what it printed with --json


def run_pagerec(*arguments: str) -> Measured:
    """One `pagerec` command with --json; its progress goes to this process's standard error.

    Raises:
        RuntimeError: it failed.
    """
    command = [sys.executable, "-m", "pagerec_dbx.cli", *arguments, "--json"]
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        peak, done = [0], threading.Event()
        watcher = threading.Thread(target=_watch, args=(process.pid, peak, done), daemon=True)
        watcher.start()
        printed, _ = process.communicate()
        seconds = time.monotonic() - started
        done.set()
        watcher.join()
    if process.returncode:
        raise RuntimeError(f"`pagerec {' '.join(arguments)}` failed with exit code {process.returncode}")
    return Measured(seconds, peak[0], json.loads(printed))


def _watch(pid: int, peak: list[int], done: threading.Event) -> None:
    while not done.wait(EVERY):
        peak[0] = max(peak[0], _resident(pid))


def _resident(pid: int) -> int:
    try:
        process = psutil.Process(pid)
        family: Sequence[psutil.Process] = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    return sum(_own(member) for member in family)


def _own(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0
