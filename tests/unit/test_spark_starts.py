"""Sessions that start at the same moment on a machine that has none of Spark's jars yet."""

import contextlib
import subprocess
import sys
import tempfile

from pagerec_dbx.spark import one_start_at_a_time

START = """
import os, pathlib, sys
from pagerec_dbx.spark import one_start_at_a_time
log = pathlib.Path(sys.argv[1])
with one_start_at_a_time():
    with open(log, "a") as file:
        print("begins", file=file)
    sys.stdin.readline()
    with open(log, "a") as file:
        print("ends", file=file)
"""


def test_the_second_start_waits_for_the_first(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)  # where it was found is remembered
    log = tmp_path / "log"
    with one_start_at_a_time():
        other = subprocess.Popen([sys.executable, "-c", START, str(log)], stdin=subprocess.PIPE, text=True)
        with contextlib.suppress(subprocess.TimeoutExpired):
            other.wait(timeout=3)
        assert other.poll() is None and not log.exists()  # it waits
    other.communicate("\n", timeout=60)
    assert (other.returncode, log.read_text().split()) == (0, ["begins", "ends"])
