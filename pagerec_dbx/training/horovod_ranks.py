"""One rank among several, seen from inside: how it meets the others, and the threads and the GPU that it takes."""

import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from pagerec_dbx.errors import TrainingError
from pagerec_dbx.progress import Words
from pagerec_dbx.training.reduction import REDUCTION, mean_over_ranks, whole_rows_of
from pagerec_dbx.training.words import RankWords

# TensorFlow reads them itself where nobody has told it otherwise: threads of one operation, and operations at once.
THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


@dataclasses.dataclass(frozen=True)
class Beats:
    """Where the ranks of a job hear each other, and how long one may be silent."""

    folder: Path
    silence_seconds: float


@dataclasses.dataclass
class Place:
    """What a rank tells the others of where it stands."""

    where: Callable[[], str]


class HorovodRanks:
    """The ranks of one Horovod job, seen from one of them; exists only inside `run_on_ranks`."""

    def __init__(self, place: Place, threads: int | None = None, beats: Beats | None = None):
        """Where no number of threads is given, see `work_with`."""
        import horovod.tensorflow as hvd

        self._place = place
        self.words: Words = RankWords(beats.folder) if beats else sys.stderr
        with _threads_that_give_way():
            hvd.init()
        self._hvd = hvd
        self.rank, self.size = hvd.rank(), hvd.size()
        work_with(threads, hvd.local_size())
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


def work_with(threads: int | None, local_size: int) -> None:
    """Take so many threads; where no number is given what TensorFlow's own variables say, else this rank's share.

    Its share: the processors of its machine divided between the ranks there. `OMP_NUM_THREADS` is not looked at: Spark
    sets it to 1 for whatever its workers start.
    """
    from tensorflow.config import threading

    share = max(1, (os.cpu_count() or 1) // local_size)
    take_both = threading.set_intra_op_parallelism_threads, threading.set_inter_op_parallelism_threads
    for variable, take in zip(THREADS, take_both, strict=True):
        if threads is not None or not os.environ.get(variable):
            take(threads or share)


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
