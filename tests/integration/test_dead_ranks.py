"""A rank that is killed, or hangs, or loses its driver: who it was is said soon, and the training goes on."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest

from pagerec_dbx.errors import DeadRankError
from pagerec_dbx.home import Home
from pagerec_dbx.stages.stopped_runs import stopped_runs
from pagerec_dbx.training import distributed
from pagerec_dbx.training.checkpoints import Checkpoints
from pagerec_dbx.training.distributed import train_on_ranks
from pagerec_dbx.training.loop import fit
from pagerec_dbx.training.steps import Steps
from tests.training_jobs import training_job, with_settings

STEPS = 30  # of an epoch on two ranks: 960 records each, 32 at once


def on_two_ranks(spark, job, log):
    return train_on_ranks(job, 2, lambda report: None, 2, log, spark.sparkContext.cancelJobGroup)


def harmed(signal_number, who=(1,)):
    """Training whose second rank, or those that are named, get a signal half a second after their first steps."""

    def train_and_suffer(job, ranks, on_epoch):
        if ranks.rank in who:
            real = Steps.run

            def run(self, batches, number):
                done = real(self, batches, number)
                threading.Timer(0.5, os.kill, (os.getpid(), signal_number)).start()
                return done

            Steps.run = run
        return fit(job, ranks, lambda report: None)

    return train_and_suffer


def killed_in_checkpoint(number):
    """Training whose first rank, which writes the checkpoints, dies with half of that one written."""

    def train_and_die(job, ranks, on_epoch):
        real, calls = shutil.copyfile, []

        def copyfile(source, target):
            calls.append(target)
            if len(calls) == number:
                content = Path(source).read_bytes()
                Path(target).write_bytes(content[: len(content) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(source, target)

        shutil.copyfile = copyfile
        return fit(job, ranks, lambda report: None)

    return train_and_die


def test_a_kill_in_the_middle_of_a_checkpoint_leaves_the_one_before(spark, prepared, tmp_path, monkeypatch):
    endless = {"epochs": 400, "patience": 400, "checkpoint_minutes": 0.0, "steps_at_once": 10, "silence_seconds": 15.0}
    job, log = with_settings(training_job(prepared, tmp_path / "run"), **endless), tmp_path / "ranks.log"
    with monkeypatch.context() as patched:
        patched.setattr(distributed, "fit", killed_in_checkpoint(3))
        with pytest.raises(DeadRankError, match="rank 0 .*ended without a word"):
            on_two_ranks(spark, job, log)
    assert [path.name for path in (tmp_path / "run").glob(".checkpoint-*")]  # half of one is there
    assert Checkpoints(Path(job.folder), 2, 0).newest().step == 20  # of 10, 20 and half of 30
    resumed = train_on_ranks(
        with_settings(job, epochs=1), 2, lambda report: None, 2, log, spark.sparkContext.cancelJobGroup
    )
    assert resumed.epochs == 1 and resumed.digests[0] == resumed.digests[1]
    assert not list((tmp_path / "run").glob(".checkpoint-*"))


def processes_with(mark: str) -> dict[int, str]:
    """Processes that inherited an environment variable of this value, and their commands."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:200]
        except OSError:
            continue  # ended, or not ours
    return found


def wait_until(true, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.5)
    return False


@pytest.fixture
def marked(monkeypatch) -> str:
    """Ranks that are started from now on inherit this mark."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv("PAGEREC_MARK", mark)
    return mark


def start_training(mark, home, words_file):
    """The command on two ranks, without an end; all of its processes have the mark in their environment."""
    settings = ["epochs=4000", "patience=4000", "batch_size=32", "embedding_size=8", "hidden_sizes=[16]"]
    command = [sys.executable, "-m", "pagerec_dbx.cli", "train", "--ranks", "2", "--home", home.name, *settings]
    with open(words_file, "w") as words:
        return subprocess.Popen(
            [*command, "checkpoint_minutes=0", "silence_seconds=15"], stdout=words, stderr=words,
            env={**os.environ, "PAGEREC_MARK": mark}, start_new_session=True,
        )  # fmt: skip


def test_a_driver_that_is_killed_leaves_no_process_and_a_run_to_go_on_with(prepared, tmp_path):
    """The command itself is killed, not its family: Java and the ranks must end by themselves."""
    mark, home = uuid.uuid4().hex, Home(str(tmp_path / "home"))
    shutil.copytree(prepared.home.folder, home.folder)
    driver = start_training(mark, home, tmp_path / "words")
    try:
        trains = wait_until(lambda: list(home.folder.glob("training/*/checkpoint-*.json")), 240)
        assert trains, (tmp_path / "words").read_text()
        assert len(processes_with(mark)) > 3  # the driver, Java, two ranks: the control
        # what the first rank says is heard while it trains, not when it has ended
        assert wait_until(lambda: "  epoch 1 of 4000: loss" in (tmp_path / "words").read_text(), 60)
        driver.kill()
        driver.wait()
        assert wait_until(lambda: not processes_with(mark), 60), processes_with(mark)
    finally:
        for process in processes_with(mark):
            os.kill(process, signal.SIGKILL)
    (run_id,) = stopped_runs(home)
    assert Checkpoints(home.folder / "training" / run_id, 2, 0).newest().step > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signal_number", "code", "said"),
    [
        (signal.SIGSTOP, 1, r"heard nothing of the driver: got driver \(process \d+ on .*\), epoch \d+, .*was silent"),
        (signal.SIGTERM, 143, "pagerec: stopped"),
    ],
)
def test_a_driver_that_is_paused_or_told_to_end_says_so(prepared, tmp_path, signal_number, code, said):
    mark, home = uuid.uuid4().hex, Home(str(tmp_path / "home"))
    shutil.copytree(prepared.home.folder, home.folder)
    driver = start_training(mark, home, tmp_path / "words")
    try:
        assert wait_until(lambda: list(home.folder.glob("training/*/checkpoint-*.json")), 240)
        driver.send_signal(signal_number)
        if signal_number == signal.SIGSTOP:
            time.sleep(40)
            driver.send_signal(signal.SIGCONT)
        assert driver.wait(60) == code
        words = (tmp_path / "words").read_text()
        assert re.search(said, words) and "stopped; go on with: pagerec train --resume" in words, words
        assert wait_until(lambda: not processes_with(mark), 60), processes_with(mark)
    finally:
        for process in processes_with(mark):
            os.kill(process, signal.SIGKILL)


@pytest.mark.parametrize(
    ("signal_number", "said"),
    [
        (signal.SIGKILL, "ended without a word"),
        pytest.param(signal.SIGSTOP, "was silent", marks=pytest.mark.slow),
    ],
)
def test_a_rank_that_dies_or_hangs_is_named_and_the_training_goes_on(
    spark, prepared, tmp_path, monkeypatch, marked, signal_number, said
):
    endless = {"epochs": 400, "patience": 400, "checkpoint_minutes": 0.0, "silence_seconds": 15.0}
    job, log, mark = with_settings(training_job(prepared, tmp_path / "run"), **endless), tmp_path / "ranks.log", marked
    with monkeypatch.context() as patched:
        patched.setattr(distributed, "fit", harmed(signal_number))
        # the first rank may have been ended by the launcher before it could say a word, and is then named too
        named = rf"a training rank died: got .*rank 1 \(process \d+ on .*{said}.*--resume run"
        with pytest.raises(DeadRankError, match=named):
            on_two_ranks(spark, job, log)
    assert wait_until(lambda: not processes_with(mark), 20), processes_with(mark)
    stood = Checkpoints(Path(job.folder), 2, 0).newest().step
    wanted = stood // STEPS + 1
    resumed = train_on_ranks(
        with_settings(job, epochs=wanted), 2, lambda report: None, 2, log, spark.sparkContext.cancelJobGroup
    )
    assert stood > 0 and resumed.epochs == wanted and resumed.digests[0] == resumed.digests[1]


@pytest.mark.slow
def test_ranks_that_all_hang_are_missed_by_the_driver(spark, prepared, tmp_path, monkeypatch):
    endless = {"epochs": 400, "patience": 400, "checkpoint_minutes": 0.0, "silence_seconds": 15.0}
    job, log = with_settings(training_job(prepared, tmp_path / "run"), **endless), tmp_path / "ranks.log"
    monkeypatch.setattr(distributed, "fit", harmed(signal.SIGSTOP, who=(0, 1)))
    counted = []

    def somebody_else():
        """A job of the same session, which waits for the two slots that the ranks have."""
        assert wait_until((job.beats / "rank 0.json").exists, 120)
        counted.append(spark.sparkContext.range(0, 5, numSlices=1).count())

    other = threading.Thread(target=somebody_else)
    other.start()
    with pytest.raises(DeadRankError, match=r"got .*rank [01] \(process \d+ on .*was silent.*--resume run"):
        on_two_ranks(spark, job, log)
    other.join(60)
    assert counted == [5]  # the ranks' own job was ended and no other


@pytest.mark.slow
def test_a_rank_that_hangs_before_its_first_word_is_missed_and_ended(spark, prepared, tmp_path, monkeypatch, marked):
    real = distributed._on_one_rank

    def hang(work, threads, beats):
        if os.environ["HOROVOD_RANK"] == "1":
            os.kill(os.getpid(), signal.SIGSTOP)
        return real(work, threads, beats)

    job = with_settings(training_job(prepared, tmp_path / "run"), silence_seconds=10.0)
    monkeypatch.setattr(distributed, "_on_one_rank", hang)
    with pytest.raises(DeadRankError, match="a training rank died: got rank 1 gave no sign of life.*--resume run"):
        on_two_ranks(spark, job, tmp_path / "ranks.log")
    assert wait_until(lambda: not processes_with(marked), 20), processes_with(marked)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("tensorflow", r"InvalidArgumentError: indices\[0\] = 7 is not in \[0, 5\)"),
        ("like another's end", "TimeoutError: Read timed out"),
    ],
)
def test_what_one_rank_ends_with_is_told(spark, prepared, tmp_path, monkeypatch, told, said):
    def fail(job, ranks, on_epoch):
        import tensorflow as tf

        if ranks.rank == 1 and told == "tensorflow":
            tf.function(lambda place: tf.gather(tf.zeros([5]), place))(tf.constant([7]))
        elif ranks.rank == 1:
            raise TimeoutError("Read timed out")  # the words that Gloo has for another rank's end
        return fit(job, ranks, on_epoch)

    job = training_job(prepared, tmp_path / "run")
    monkeypatch.setattr(distributed, "fit", fail)
    with pytest.raises(DeadRankError, match=rf"got .*rank 1 \(process [^;]*ended with {said}"):
        on_two_ranks(spark, job, tmp_path / "ranks.log")


@pytest.mark.slow
def test_at_default_settings_a_stopped_rank_ends_the_job_within_a_minute(spark, prepared, tmp_path, monkeypatch):
    """What is promised, so it is timed: from the signal to the words."""

    def stopped(job, ranks, on_epoch):
        if ranks.rank == 1:
            (Path(job.folder) / "stopped").touch()
            os.kill(os.getpid(), signal.SIGSTOP)
        return fit(job, ranks, on_epoch)

    job = training_job(prepared, tmp_path / "run")
    monkeypatch.setattr(distributed, "fit", stopped)
    with pytest.raises(DeadRankError, match="rank 1 .*was silent"):
        on_two_ranks(spark, job, tmp_path / "ranks.log")
    assert time.time() - (Path(job.folder) / "stopped").stat().st_mtime < 60
