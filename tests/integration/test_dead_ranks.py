"""A rank that is killed, or hangs, or loses its driver: who it was is said soon, and the training goes on."""

import os
import signal
import threading
from pathlib import Path

import pytest

from pagerec_dbx.errors import DeadRankError
from pagerec_dbx.training import distributed
from pagerec_dbx.training.checkpoints import Checkpoints
from pagerec_dbx.training.distributed import train_on_ranks
from pagerec_dbx.training.loop import fit
from pagerec_dbx.training.steps import Steps
from tests.training_jobs import training_job, with_settings

STEPS = 30  # of an epoch on two ranks: 960 records each, 32 at once


def harmed(signal_number):
    """Training whose second rank sends itself a signal half a second after its first steps."""

    def train_and_suffer(job, ranks, on_epoch):
        if ranks.rank == 1:
            real = Steps.run

            def run(self, batches, number):
                done = real(self, batches, number)
                threading.Timer(0.5, os.kill, (os.getpid(), signal_number)).start()
                return done

            Steps.run = run
        return fit(job, ranks, lambda report: None)

    return train_and_suffer


@pytest.mark.parametrize(
    ("signal_number", "said"), [(signal.SIGKILL, "ended without a word"), (signal.SIGSTOP, "was silent")]
)
def test_a_rank_that_dies_or_hangs_is_named_and_the_training_goes_on(
    prepared, tmp_path, monkeypatch, signal_number, said
):
    endless = {"epochs": 400, "patience": 400, "checkpoint_minutes": 0.0, "silence_seconds": 15.0}
    job, log = with_settings(training_job(prepared, tmp_path / "run"), **endless), tmp_path / "ranks.log"
    with monkeypatch.context() as patched:
        patched.setattr(distributed, "fit", harmed(signal_number))
        # the first rank may have been ended by the launcher before it could say a word, and is then named too
        named = rf"a training rank died: got .*rank 1 \(process \d+ on .*{said}.*--resume run"
        with pytest.raises(DeadRankError, match=named):
            train_on_ranks(job, 2, print, 2, log)
    stood = Checkpoints(Path(job.folder), 2, 0).newest().step
    wanted = stood // STEPS + 1
    resumed = train_on_ranks(with_settings(job, epochs=wanted), 2, lambda report: None, 2, log)
    assert stood > 0 and resumed.epochs == wanted and resumed.digests[0] == resumed.digests[1]
