"""Row groups through Petastorm: the only door to it."""

import warnings
from collections.abc import Sequence
from pathlib import Path

from pagerec_dbx.features.packing import IDS, ROWS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it imports what later versions of its own dependencies have dropped
    from petastorm import make_batch_reader

# Petastorm 0.13 opens Parquet through an interface that PyArrow 14 calls deprecated, once for every file it touches.
warnings.filterwarnings("ignore", category=FutureWarning, module=r"petastorm(\..*)?")


class PetastormGroups:
    """Row groups of some files, in an order drawn from a seed, round after round until it is closed."""

    def __init__(self, paths: Sequence[Path], seed: int):
        self._reader = make_batch_reader(
            [f"file://{path.absolute()}" for path in paths],
            schema_fields=[f"^{name}$" for name in (IDS, ROWS)],
            shuffle_row_groups=True,
            seed=seed,
            # Not 1: at the end of its epochs Petastorm asks first whether all was delivered, then whether all was asked
            # for, and on a busy machine row groups slip in between and are lost. So it goes on, and the stream counts.
            num_epochs=None,
            reader_pool_type="thread",
            # Not 2: they take turns, but a turn is passed over while nothing is asked of a worker, so that row groups
            # come in another order than the seed's, and one of the next epoch in place of this one's last.
            workers_count=1,
            results_queue_size=3,  # row groups decoded ahead; it asks for no more than four
        )

    def next(self) -> list[tuple[bytes, bytes]]:
        """The blocks of the next row group: ids and rows of each."""
        group = next(self._reader)._asdict()
        return list(zip(group[IDS], group[ROWS], strict=True))

    def close(self) -> None:
        """Stop its threads. Its own context manager is not used: that prints on the standard output."""
        self._reader.stop()
        self._reader.join()
