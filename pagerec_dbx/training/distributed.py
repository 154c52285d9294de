"""Several ranks through Horovod on Spark: how they are launched, and what is said when one dies."""

import contextlib
import functools
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO, TypeVar

from pagerec_dbx.errors import GO_ON, DeadRankError, PagerecError, TrainingError, in_one_line
from pagerec_dbx.features.snapshot import open_snapshot, require_undamaged
from pagerec_dbx.features.stream import Shard, shard_records
from pagerec_dbx.progress import say
from pagerec_dbx.training.heartbeats import (
    DRIVER,
    beating,
    clear,
    is_driver,
    rank_name,
    where_ranks_are,
    who_failed,
    who_just_ended,
    who_was_missed,
)
from pagerec_dbx.training.horovod_ranks import Beats, HorovodRanks, Place
from pagerec_dbx.training.job import OnEpoch, OneRank, Ranks, TrainingJob, TrainingResult
from pagerec_dbx.training.loop import fit, require_steps
from pagerec_dbx.training.rank_output import CONSEQUENCES, RankOutput, added_to
from pagerec_dbx.training.words import listening

T = TypeVar("T")


def train_on_ranks(
    job: TrainingJob, ranks: int, on_epoch: OnEpoch, slots: int, log_file: Path, cancel: Callable[[str], None]
) -> TrainingResult:
    """Train on one rank in this process, or on several through Spark; the same loop either way.

    Args:
        slots: tasks that Spark can run at once.
        log_file: where the ranks' own chatter goes.
        cancel: has Spark end the jobs of a group, and so the ranks, those on machines that cannot be reached too.

    Raises:
        TrainingError: fewer slots than ranks.
        SnapshotError: a file is not what was written.
        DeadRankError: a rank died, or was not heard of for `silence_seconds`.
        PagerecError: what all ranks met alike.
    """
    if ranks == 1:
        return fit(job, OneRank(), on_epoch)
    for snapshot in (open_snapshot(Path(folder)) for folder in (job.train_snapshot, job.validation_snapshot)):
        require_undamaged(snapshot, range(len(snapshot.paths)))  # ranks do too, but one that ends is a dead rank to all
    clear(job.beats)
    heard = [rank_name(rank) for rank in range(ranks)]
    silence = job.settings.silence_seconds
    where = functools.partial(where_ranks_are, job.beats, before="launching the ranks")
    with beating(job.beats, DRIVER, heard, where, silence, on_missed=lambda: cancel(_job_group())):
        try:
            beats = Beats(job.beats, silence)
            with listening(job.beats):
                results = run_on_ranks(lambda group: fit(job, group, on_epoch), ranks, slots, log_file, beats=beats)
        except DeadRankError as error:
            failed, missed = who_failed(job.beats, CONSEQUENCES), who_was_missed(job.beats)
            raise DeadRankError(
                "the ranks ended because they heard nothing of the driver" if is_driver(missed) else error.what,
                got=missed
                or failed
                or error.got
                or who_just_ended(job.beats)
                or who_failed(job.beats, ())
                or in_one_line(error.__cause__ or error),
                fix=f"Read the ranks' own words in {log_file}, then {GO_ON} {Path(job.folder).name}",
            ) from error
    return results[0]


def run_on_ranks(
    work: Callable[[Ranks], T],
    ranks: int,
    slots: int,
    log_file: Path,
    threads: int | None = None,
    beats: Beats | None = None,
) -> list[T]:
    """Run a function on several ranks and return what each returned, in rank order.

    Args:
        slots: tasks that Spark can run at once.
        log_file: where the ranks' own chatter goes.
        threads: of each rank; the processors of its machine divided between the ranks there unless given.
        beats: where the ranks hear each other and the driver; without them they do not listen.

    Raises:
        TrainingError: fewer slots than ranks.
        DeadRankError: a rank died; `got` is empty where none said why.
        PagerecError: an error of our own on a rank is raised here again.
        KeyboardInterrupt: Ctrl-C, after the ranks have ended.
    """
    import horovod.spark

    _require_slots(ranks, slots)
    say(f"  launching {ranks} ranks (20 to 40 s)")
    with added_to(log_file) as log:
        output = RankOutput(log)
        try:
            # Horovod's threads print Java's whole trace when a rank dies: that belongs in the log file.
            with (
                signals_heeded(),
                _threads_last_words(log),
                contextlib.redirect_stderr(log),
                contextlib.redirect_stdout(log),
            ):
                results = horovod.spark.run(
                    _on_one_rank, args=(work, threads, beats), num_proc=ranks, use_gloo=True, verbose=0,
                    stdout=output, stderr=output, env={**os.environ, **_RANK_ENVIRONMENT},
                )  # fmt: skip
        except Exception as error:  # Horovod raises bare Exceptions and py4j's
            traceback.print_exception(error, file=log)
            raise DeadRankError(
                "a training rank died",
                got=output.cause,
                fix=f"Read the ranks' own words in {log_file} and train again",
            ) from error
    for result in results:
        if isinstance(result, PagerecError):
            raise result
    return results


def _job_group() -> str:
    """The group of the Spark job that Horovod began last: whoever shares the session keeps theirs.

    The driver misses nobody before a rank has spoken, so that the job has begun by then.
    """
    from horovod.spark.driver import job_id

    return f"horovod.spark.run.{job_id.JOB_ID}"


def require_ranks(job: TrainingJob, ranks: int, slots: int) -> None:
    """Refuse ranks that cannot train this job, before anything is launched.

    Raises:
        TrainingError: fewer slots than ranks.
        SnapshotError: a snapshot is incomplete, or the ranks do not divide its row groups.
        NoExamplesError: an epoch would have no step.
    """
    if ranks > 1:
        _require_slots(ranks, slots)
    shard_records(open_snapshot(Path(job.validation_snapshot)).manifest, Shard(0, ranks))
    require_steps(open_snapshot(Path(job.train_snapshot)), ranks, job.settings.batch_size)


def _require_slots(ranks: int, slots: int) -> None:
    if slots < ranks:
        raise TrainingError(
            f"{ranks} ranks cannot run at once", wanted=f"{ranks} Spark task slots", got=str(slots), fix="Lower --ranks"
        )


@contextlib.contextmanager
def signals_heeded() -> Iterator[None]:
    """Horovod takes Ctrl-C and SIGTERM for itself: it ends its ranks, says nothing, and keeps the signals for good.

    Here they are done as they were meant once it has come back, and are heard as before from then on.
    """
    from horovod.runner import gloo_run

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {number: handler for number, handler in handlers.items() if handler is not None}  # none: not Python's
    register, heard = gloo_run.register_shutdown_event, []

    def register_and_note():
        event = register()
        for number in before:
            ends_ranks = signal.getsignal(number)
            signal.signal(number, lambda got, frame, then=ends_ranks: (heard.append(got), then(got, frame)))
        return event

    gloo_run.register_shutdown_event = register_and_note
    try:
        yield
    finally:
        gloo_run.register_shutdown_event = register
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in heard[:1]:
            if before[number] == signal.SIG_DFL:  # which would end the process before it has put anything away
                raise SystemExit(128 + number)
            signal.raise_signal(number)


@contextlib.contextmanager
def _threads_last_words(log: TextIO) -> Iterator[None]:
    """Horovod waits for its threads in `run` and raises what they died of: their own traces belong in the log file."""
    kept = threading.excepthook

    def write(died: threading.ExceptHookArgs) -> None:
        traceback.print_exception(died.exc_type, died.exc_value, died.exc_traceback, file=log)

    threading.excepthook = write
    try:
        yield
    finally:
        threading.excepthook = kept


_RANK_ENVIRONMENT = {
    "TF_USE_LEGACY_KERAS": "1",  # the Keras that Horovod can reduce
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "HOROVOD_GLOO_TIMEOUT_SECONDS": "180",  # 30 by default: a rank that a busy machine holds up is not dead
}


def _on_one_rank(work: Callable[[Ranks], T], threads: int | None, beats: Beats | None) -> T | PagerecError:
    """Errors that all ranks meet alike (a bad snapshot) travel home as values, so that their words are not lost.

    Where only one rank meets it the others die of its absence and no value comes home: so it is printed too. The rank
    is heard of from before it first waits for another.
    """
    place = Place(lambda: "joining the other ranks")
    try:
        with _heard(beats, place):
            return work(HorovodRanks(place, threads, beats))
    except PagerecError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return error


def _heard(beats: Beats | None, place: Place) -> contextlib.AbstractContextManager[None]:
    if beats is None:
        return contextlib.nullcontext()
    own, size = (int(os.environ[f"HOROVOD_{name}"]) for name in ("RANK", "SIZE"))  # its launcher tells each rank
    others = [rank_name(rank) for rank in range(size) if rank != own]
    return beating(beats.folder, rank_name(own), [DRIVER, *others], lambda: place.where(), beats.silence_seconds)
