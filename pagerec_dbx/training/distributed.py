"""Several ranks through Horovod on Spark: the only door to Horovod."""

import contextlib
import dataclasses
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TextIO, TypeVar

import numpy as np

from pagerec_dbx.errors import DeadRankError, PagerecError, TrainingError
from pagerec_dbx.features.snapshot import open_snapshot
from pagerec_dbx.features.stream import Shard, shard_records
from pagerec_dbx.progress import Words, say
from pagerec_dbx.training.heartbeats import (
    DRIVER,
    beating,
    clear,
    rank_name,
    who_failed,
    who_just_ended,
    who_was_missed,
)
from pagerec_dbx.training.job import OnEpoch, OneRank, Ranks, TrainingJob, TrainingResult
from pagerec_dbx.training.loop import fit, require_steps
from pagerec_dbx.training.reduction import REDUCTION, mean_over_ranks, whole_rows_of
from pagerec_dbx.training.words import RankWords, listening

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Beats:
    """Where the ranks of a job hear each other, and how long one may be silent."""

    folder: Path
    silence_seconds: float


class HorovodRanks:
    """The ranks of one Horovod job, seen from one of them; exists only inside `run_on_ranks`."""

    def __init__(self, place: "Place", threads: int | None = None, beats: Beats | None = None):
        """With no number of threads the ranks of a machine divide its processors."""
        import horovod.tensorflow as hvd

        self._place = place
        self.words: Words = RankWords(beats.folder) if beats else sys.stderr
        with _threads_that_give_way():
            hvd.init()
        self._hvd = hvd
        self.rank, self.size = hvd.rank(), hvd.size()
        _work_with(threads or max(1, (os.cpu_count() or 1) // hvd.local_size()))
        lacking = _take_one_gpu(hvd.local_rank(), hvd.local_size())
        require_gpus(self.gather(np.array([lacking]))[:, 0])

    def stand(self, where: Callable[[], str]) -> None:
        """From now on the others are told this."""
        self._place.where = where

    def mean(self, gradients, variables, whole_table_rows):
        """The gradients' means over all ranks."""
        if self.size == 1:
            return gradients
        import tensorflow as tf

        with tf.name_scope(REDUCTION):
            limit = whole_rows_of(whole_table_rows, self.size)
            return mean_over_ranks(gradients, variables, limit, self._hvd.allreduce)

    def gather(self, values: np.ndarray) -> np.ndarray:
        """Every rank's [k] values as [ranks, k]."""
        import tensorflow as tf

        return self._hvd.allgather(tf.constant(values, tf.float64)[None, :]).numpy()

    def broadcast(self, variables) -> None:
        """Give every rank the first one's values."""
        self._hvd.broadcast_variables(variables, root_rank=0)


def train_on_ranks(
    job: TrainingJob, ranks: int, on_epoch: OnEpoch, slots: int, log_file: Path, cancel: Callable[[], None]
) -> TrainingResult:
    """Train on one rank in this process, or on several through Spark; the same loop either way.

    Args:
        slots: tasks that Spark can run at once.
        log_file: where the ranks' own chatter goes.
        cancel: has Spark end its jobs, and so the ranks, those on machines that cannot be reached too.

    Raises:
        TrainingError: fewer slots than ranks.
        DeadRankError: a rank died, or was not heard of for `silence_seconds`.
        PagerecError: what all ranks met alike.
    """
    if ranks == 1:
        return fit(job, OneRank(), on_epoch)
    clear(job.beats)
    heard = [rank_name(rank) for rank in range(ranks)]
    silence = job.settings.silence_seconds
    with beating(job.beats, DRIVER, heard, lambda: "launching the ranks", silence, on_missed=cancel):
        try:
            beats = Beats(job.beats, silence)
            with listening(job.beats):
                results = run_on_ranks(lambda group: fit(job, group, on_epoch), ranks, slots, log_file, beats=beats)
        except DeadRankError as error:
            failed = who_failed(job.beats, _CONSEQUENCES)
            raise DeadRankError(
                error.what,
                got=who_was_missed(job.beats) or failed or error.got or who_just_ended(job.beats) or "no word",
                fix=f"Read the ranks' own words in {log_file}, then go on with --resume {Path(job.folder).name}",
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
    """
    import horovod.spark

    _require_slots(ranks, slots)
    say(f"  launching {ranks} ranks (20 to 40 s)")
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with open(log_file, "a", encoding="utf-8") as log:
        output = _RankOutput(log)
        try:
            # Horovod's threads print Java's whole trace when a rank dies: that belongs in the log file.
            with _threads_last_words(log), contextlib.redirect_stderr(log), contextlib.redirect_stdout(log):
                results = horovod.spark.run(
                    _on_one_rank, args=(work, threads, beats), num_proc=ranks, use_gloo=True, verbose=0,
                    stdout=output, stderr=output, env={**os.environ, **_RANK_ENVIRONMENT},
                )  # fmt: skip
        except Exception as error:  # Horovod raises bare Exceptions and py4j's
            raise DeadRankError(
                "a training rank died",
                got=output.cause,
                fix=f"Read the ranks' own words in {log_file} and train again",
            ) from error
    for result in results:
        if isinstance(result, PagerecError):
            raise result
    return results


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


_NICE = 10


@contextlib.contextmanager
def _threads_that_give_way() -> Iterator[None]:
    """Threads that begin in the block leave the processor to those that compute.

    Gloo's polls without a pause while another rank's message lies there that nobody has asked for yet: at the same
    priority that takes a sixth of the steps of two ranks on two processors (docs/benchmarks.md).
    """
    tasks = Path("/proc/self/task")
    before = set(os.listdir(tasks)) if tasks.is_dir() else set()
    yield
    for thread in set(os.listdir(tasks)) - before if tasks.is_dir() else ():
        with contextlib.suppress(OSError):  # it has ended
            os.setpriority(os.PRIO_PROCESS, int(thread), _NICE)


def _work_with(threads: int) -> None:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def _take_one_gpu(local_rank: int, local_size: int) -> int:
    """Each rank of a machine works on a GPU of its own; how many this machine lacks, 0 where there are none at all."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return 0
    tf.config.set_visible_devices(gpus[local_rank % len(gpus)], "GPU")
    return max(0, local_size - len(gpus))


def require_gpus(lacking: Sequence[float] | np.ndarray) -> None:
    """Refuse ranks that would share a GPU; called on every rank with the same figures, so that none waits for another.

    Args:
        lacking: of each rank, how many GPUs its machine has less than ranks.

    Raises:
        TrainingError: a machine has fewer GPUs than ranks.
    """
    worst = int(max(lacking))
    if worst:
        raise TrainingError(
            f"{len(lacking)} ranks have no GPU each",
            wanted="one rank a GPU",
            got=f"a machine with {worst} GPU{'s' if worst > 1 else ''} less than ranks",
            fix="Lower --ranks, or take more workers",
        )


@dataclasses.dataclass
class Place:
    """What a rank tells the others of where it stands."""

    where: Callable[[], str]


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


# What the error of a rank says that comes of another one's end.
_CONSEQUENCES = ("orovod", "gloo", "by peer", "timed out", "Broken pipe")


class _RankOutput:
    """Horovod's stream of all ranks' lines, which comes late: into the log file, and what a rank died of is kept."""

    _LINE = re.compile(r"^\[(\d+)\]<(?:stdout|stderr)>:(.*)$")
    _ERROR = re.compile(r"^[\w.]*(?:Error|Exception)\b.*")
    _NO_CAUSE = (*_CONSEQUENCES, "Graph execution error")  # TensorFlow's headline says nothing

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
