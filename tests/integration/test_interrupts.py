"""Ctrl-C while Spark works, and a signal to end: the command is stopped, and its terminal holds no trace of it all."""

import signal
import subprocess
import sys

import pytest

from pagerec_dbx.home import open_home

SCRIPT = """
import os, pathlib, signal, sys, threading
from pagerec_dbx.spark import spark_session
before = signal.getsignal(signal.SIGINT)
spark = spark_session(log_file=pathlib.Path(sys.argv[1]))
if sys.argv[2] == "pyspark":
    signal.signal(signal.SIGINT, lambda *_: (spark.sparkContext.cancelAllJobs(), before(signal.SIGINT, None)))
threading.Timer(4, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    spark.range(10**13).selectExpr("sum(id % 7)").collect()
except KeyboardInterrupt:
    print("stopped")
"""


@pytest.mark.parametrize(("handler", "is_quiet"), [("ours", True), ("pyspark", False)])
def test_ctrl_c_is_told_in_one_word(tmp_path, handler, is_quiet):
    """The control is a handler like PySpark's own, which asks Java something in the middle of an answer."""
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "spark.log"), handler]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert (ran.stdout == "stopped\n" and "Traceback" not in ran.stderr) == is_quiet, ran.stderr[-2000:]


WAITS = """
import os, signal, threading
from pagerec_dbx import cli
threading.Timer(2, os.kill, (os.getpid(), signal.SIGTERM)).start()
cli.main()
"""


def test_a_signal_to_end_is_told_in_one_word(tmp_path):
    home = open_home(str(tmp_path / "home"), new=True)
    command = [sys.executable, "-c", WAITS, "rank", "--home", home.name]  # waits for a page on standard input
    ran = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert ran.wait(120) == 128 + signal.SIGTERM
    assert (ran.stdout.read(), ran.stderr.read()) == ("", "pagerec: stopped\n")
