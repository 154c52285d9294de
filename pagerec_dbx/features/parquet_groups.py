"""Row groups straight from the Parquet files, by PyArrow: the way to train without Petastorm."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq

from pagerec_dbx.features.packing import IDS, ROWS

_AHEAD = 3  # row groups decoded before they are asked for


class ParquetGroups:
    """Row groups of some files, one a file, in the order of the files, decoded by several threads."""

    def __init__(self, paths: Sequence[Path], threads: int):
        self._left, self._ahead = deque(paths), deque[Future]()
        self._threads = ThreadPoolExecutor(threads)

    def next(self) -> list[tuple[bytes, bytes]]:
        """The blocks of the next row group: ids and rows of each."""
        while self._left and len(self._ahead) <= _AHEAD:
            self._ahead.append(self._threads.submit(_blocks, self._left.popleft()))
        return self._ahead.popleft().result()

    def close(self) -> None:
        """Stop reading ahead, and let go of what was read."""
        self._threads.shutdown(cancel_futures=True)
        self._ahead.clear()


def _blocks(path: Path) -> list[tuple[bytes, bytes]]:
    with pq.ParquetFile(path) as file:
        table = file.read(columns=[IDS, ROWS], use_threads=False)
    return list(zip(*(table.column(name).to_pylist() for name in (IDS, ROWS)), strict=True))
