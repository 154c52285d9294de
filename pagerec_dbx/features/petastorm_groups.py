"""Row groups through Petastorm: the only door to it."""

import warnings
from collections.abc import Sequence
from pathlib import Path

from pagerec_dbx.features.packing import IDS, ROWS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it imports what later versions of its own dependencies have dropped
    from petastorm import make_batch_reader
    from petastorm.reader import Reader

# Petastorm 0.13 opens Parquet through an interface that PyArrow 14 calls deprecated, once for every file it touches.
warnings.filterwarnings("ignore", category=FutureWarning, module=r"petastorm(\..*)?")


_AHEAD = 3  # row groups decoded before they are asked for, of all readers together


class PetastormGroups:
    """Row groups of some files, one a file, in the order of the files, round after round until it is closed.

    Each thread is a reader of its own, of every so many-th file; they are asked in turn, which keeps the order.
    """

    def __init__(self, paths: Sequence[Path], threads: int):
        threads = min(threads, len(paths))
        self._readers: list[Reader] = []
        self._count, self._next = len(paths), 0
        try:
            for first in range(threads):
                self._readers.append(_reader(paths[first::threads], -(-_AHEAD // threads)))
        except BaseException:  # the threads of those before would wait for ever
            self.close()
            raise

    def next(self) -> list[tuple[bytes, bytes]]:
        """The blocks of the next row group: ids and rows of each."""
        group = next(self._readers[self._next % len(self._readers)])._asdict()
        self._next = (self._next + 1) % self._count
        return list(zip(group[IDS], group[ROWS], strict=True))

    def close(self) -> None:
        """Stop its threads, and let go of what they read ahead: TensorFlow keeps what made a dataset for as long as
        the process lives, and with it each epoch's last row groups.

        Petastorm's own context manager is not used: that prints on the standard output.
        """
        for reader in self._readers:
            reader.stop()
        for reader in self._readers:
            reader.join()
        self._readers.clear()


def _reader(paths: Sequence[Path], ahead: int) -> Reader:
    return make_batch_reader(
        [f"file://{path.absolute()}" for path in paths],
        schema_fields=[f"^{name}$" for name in (IDS, ROWS)],
        shuffle_row_groups=False,
        # Not 1: at the end of its epochs Petastorm asks first whether all was delivered, then whether all was asked
        # for, and on a busy machine row groups slip in between and are lost. So it goes on, and the stream counts.
        num_epochs=None,
        reader_pool_type="thread",
        # Not 2: they take turns, but a turn is passed over while nothing is asked of a worker, so that row groups
        # come in another order than that of the files, and one of the next round in place of this one's last.
        workers_count=1,
        results_queue_size=ahead,
    )
