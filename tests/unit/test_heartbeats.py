"""Who is missed, who is not, and what is said of the dead; processes of their own, because the living end theirs."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from pagerec_dbx.training import heartbeats
from pagerec_dbx.training.heartbeats import (
    DRIVER,
    beating,
    clear,
    rank_name,
    where_ranks_are,
    who_failed,
    who_just_ended,
    who_was_missed,
)

RANK = """
import sys, time, pathlib
from pagerec_dbx.training import heartbeats
from pagerec_dbx.training.heartbeats import beating
who, heard, end = sys.argv[2], sys.argv[3].split(","), sys.argv[4]
with beating(pathlib.Path(sys.argv[1]), who, heard, lambda: "epoch 2, step 40 of 60", silence_seconds=4):
    print("alive", flush=True)
    time.sleep(1 if end else 60)
    if end == "error":
        raise ZeroDivisionError("no step is left")
    if end == "alone":
        raise RuntimeError("HorovodAllreduce was shut down")
    if end == "full disk":
        def full(*_):
            raise OSError(28, "No space left on device")
        heartbeats.write_atomically = full
        time.sleep(60)
"""


@pytest.fixture
def start(tmp_path):
    """Starts ranks; whoever is left at the end is killed."""
    clear(tmp_path / "beats")
    processes = []

    def begin(who: str, heard: str, end: str = ""):
        command = [sys.executable, "-c", RANK, str(tmp_path / "beats"), who, heard, end]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        processes.append(process)
        assert process.stdout.readline() == "alive\n"
        return process

    yield begin
    for process in processes:
        process.kill()
        process.wait()


def test_a_rank_that_is_stopped_is_missed_and_named(start, tmp_path):
    living, stopped = start("rank 0", "rank 1"), start("rank 1", "rank 0")
    time.sleep(1)
    stopped.send_signal(signal.SIGSTOP)
    assert living.wait(timeout=30) == 71
    said = who_was_missed(tmp_path / "beats")
    assert said.startswith(f"rank 1 (process {stopped.pid} on ") and said.endswith("epoch 2, step 40 of 60, was silent")
    assert stopped.wait(timeout=30) == -signal.SIGKILL  # on the same machine it is not left behind


def test_ranks_that_live_are_not_missed(start):
    ranks = [start("rank 0", "rank 1"), start("rank 1", "rank 0")]
    time.sleep(10)  # the control: more than twice the silence
    assert [rank.poll() for rank in ranks] == [None, None]


def test_nobody_is_missed_while_nobody_can_write(start, tmp_path):
    """A disk that is full silences all; whoever must write something says so. The control is a rank that is stopped."""
    ranks = [start("rank 0", "rank 1", "full disk"), start("rank 1", "rank 0", "full disk")]
    time.sleep(11)
    assert [rank.poll() for rank in ranks] == [None, None] and who_was_missed(tmp_path / "beats") is None


def test_a_rank_of_an_earlier_attempt_ends_itself(start, tmp_path):
    earlier, driver = start("rank 0", "driver"), start("driver", "nobody")
    time.sleep(1)
    driver.kill()
    start("driver", "nobody")  # another process under the same name, within the silence
    assert earlier.wait(timeout=8) == 71
    assert who_was_missed(tmp_path / "beats") is None  # nobody fell silent in the new attempt


@pytest.mark.parametrize(("changed", "ends"), [({"started": 2.0}, True), ({"process": 8}, True), ({"count": 2}, False)])
def test_a_driver_is_another_one_if_its_process_began_at_another_time(tmp_path, monkeypatch, changed, ends):
    """A number that is given again, as the low ones in a container are, is no sign of the same driver."""
    ended = []
    monkeypatch.setattr(heartbeats, "end_this_process", lambda: ended.append(True))
    heart = heartbeats._Heart(tmp_path, "rank 0", [DRIVER], lambda: "training", 40, list)
    driver = heartbeats.Beat(DRIVER, "host", 7, 1.0, 1, "launching the ranks")
    for beat in (driver, dataclasses.replace(driver, **changed)):
        (tmp_path / f"{DRIVER}.json").write_text(json.dumps(dataclasses.asdict(beat)))
        assert heart._missed() is None
    assert bool(ended) == ends


def test_a_rank_of_an_earlier_attempt_ends_nobody_else(start):
    """It still beats in the new attempt's folder: whoever hears a rank of another process goes on."""
    hearing, earlier = start("rank 0", "rank 1"), start("rank 1", "nobody")
    time.sleep(1)
    start("rank 1", "nobody")
    time.sleep(3)
    assert hearing.poll() is None and earlier.poll() is None


def test_a_driver_is_told_and_the_first_who_was_missed_stays_named(start, tmp_path):
    folder, missed = tmp_path / "beats", threading.Event()
    with beating(folder, DRIVER, ["rank 0"], lambda: "launching", silence_seconds=2, on_missed=missed.set):
        rank = start("rank 0", "nobody")
        time.sleep(1)
        rank.send_signal(signal.SIGSTOP)
        assert missed.wait(20)
    assert rank.wait(timeout=10) == -signal.SIGKILL
    named = who_was_missed(folder)
    assert named.startswith(f"rank 0 (process {rank.pid}")
    with beating(folder, DRIVER, ["rank 1"], lambda: "launching", silence_seconds=2, on_missed=missed.clear):
        other = start("rank 1", "nobody")
        time.sleep(1)
        other.send_signal(signal.SIGSTOP)
        assert other.wait(timeout=20) == -signal.SIGKILL
    assert who_was_missed(folder) == named


@pytest.mark.parametrize("end", ["well", "error"])
def test_a_rank_that_said_goodbye_is_not_missed(start, tmp_path, end):
    living, gone = start("rank 0", "rank 1"), start("rank 1", "rank 0", end)
    assert gone.wait(timeout=30) == (1 if end == "error" else 0)
    time.sleep(9)
    assert living.poll() is None
    os.kill(living.pid, signal.SIGKILL)
    living.wait()
    said = who_just_ended(tmp_path / "beats")
    assert "rank 0" in said and "rank 1" not in said and who_was_missed(tmp_path / "beats") is None


def test_a_rank_that_was_killed_ended_without_a_word(start, tmp_path):
    killed = start("rank 1", "nobody")
    killed.kill()
    killed.wait()
    assert who_just_ended(tmp_path / "beats").endswith("epoch 2, step 40 of 60, ended without a word")


def test_the_error_that_a_rank_ended_with_is_told_and_not_what_came_of_it(start, tmp_path):
    for who, end in (("rank 0", "alone"), ("rank 1", "error")):
        assert start(who, "nobody", end).wait(timeout=30) == 1
    said = who_failed(tmp_path / "beats", ["orovod"])
    assert said.startswith("rank 1 (process ") and said.endswith("ended with ZeroDivisionError: no step is left")
    assert "rank 0" not in said and "rank 0" in who_failed(tmp_path / "beats", ["another text"])  # the control
    assert who_just_ended(tmp_path / "beats") is None


def test_one_that_does_not_speak_after_another_did_is_missed(start, tmp_path):
    folder, missed = tmp_path / "beats", threading.Event()
    heard = ["rank 0", "rank 1"]
    with beating(folder, DRIVER, heard, lambda: "launching", silence_seconds=2, on_missed=missed.set):
        time.sleep(4)
        assert not missed.is_set()  # the control: all of them may take their time
        start("rank 0", "nobody")
        assert missed.wait(10)
    assert who_was_missed(folder) == "rank 1 gave no sign of life"


def test_one_that_spoke_and_cannot_be_read_for_a_moment_is_not_missed(start, tmp_path, monkeypatch):
    """A volume may hide a file while it is replaced; the test above is the control: who never spoke is missed."""
    folder, missed, real, hidden = tmp_path / "beats", threading.Event(), heartbeats._read, threading.Event()
    monkeypatch.setattr(heartbeats, "_read", lambda path: None if hidden.is_set() else real(path))
    with beating(folder, DRIVER, ["rank 0"], lambda: "launching", silence_seconds=2, on_missed=missed.set):
        start("rank 0", "nobody")
        time.sleep(4)  # longer than the silence, so that the first word is long ago
        hidden.set()
        time.sleep(1)
        hidden.clear()
        assert not missed.wait(3)


def test_a_process_that_took_the_number_of_a_silent_one_is_left_alone(start, tmp_path, monkeypatch):
    folder, missed = tmp_path / "beats", threading.Event()
    real = heartbeats._read

    def read(path):
        beat = real(path)
        return beat if beat is None else dataclasses.replace(beat, started=beat.started - 60)

    monkeypatch.setattr(heartbeats, "_read", read)
    with beating(folder, DRIVER, ["rank 0"], lambda: "launching", silence_seconds=2, on_missed=missed.set):
        rank = start("rank 0", "nobody")
        time.sleep(1)
        rank.send_signal(signal.SIGSTOP)
        assert missed.wait(20)
    time.sleep(0.5)
    assert rank.poll() is None  # `test_a_driver_is_told...` is the control: the silent one itself is ended


def test_whoever_never_spoke_is_not_missed_and_old_beats_are_forgotten(tmp_path):
    folder = tmp_path / "beats"
    clear(folder)
    with beating(folder, rank_name(0), [rank_name(1)], lambda: "starting", silence_seconds=0.4):
        time.sleep(1.5)
    assert who_just_ended(folder) is None
    assert len(list(folder.iterdir())) == 1
    clear(folder)
    assert list(folder.iterdir()) == []


def test_where_the_ranks_are_is_what_the_first_of_them_said_last(tmp_path):
    assert where_ranks_are(tmp_path, before="launching") == "launching"
    for number in (1, 0):
        beat = heartbeats.Beat(f"rank {number}", "host", 7, 1.0, 1, f"epoch {number}")
        (tmp_path / f"rank {number}.json").write_text(json.dumps(dataclasses.asdict(beat)))
    assert where_ranks_are(tmp_path, before="launching") == "epoch 0"
    assert heartbeats.is_driver("driver (process 7 on host), epoch 0, was silent")
    assert not heartbeats.is_driver("rank 0 (process 7 on host), epoch 0, was silent") and not heartbeats.is_driver(
        None
    )
