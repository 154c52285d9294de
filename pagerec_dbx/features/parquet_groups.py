"""Row groups straight from the Parquet files, by PyArrow: the way to train without Petastorm."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from pagerec_dbx.features.packing import IDS, ROWS

_AHEAD = 3  # row groups decoded before they are asked for


class ParquetGroups:
    """Row groups of some files, one a file, each once, in the order that Petastorm draws from the same seed."""

    def __init__(self, paths: Sequence[Path], seed: int):
        self._left = deque(paths[number] for number in np.random.default_rng(seed).permutation(len(paths)))
        self._ahead: deque[Future] = deque()
        self._thread = ThreadPoolExecutor(1)

    def next(self) -> list[tuple[bytes, bytes]]:
        """The blocks of the next row group: ids and rows of each."""
        while self._left and len(self._ahead) <= _AHEAD:
            self._ahead.append(self._thread.submit(_blocks, self._left.popleft()))
        return self._ahead.popleft().result()

    def close(self) -> None:
        """Stop reading ahead."""
        self._thread.shutdown(cancel_futures=True)


def _blocks(path: Path) -> list[tuple[bytes, bytes]]:
    with pq.ParquetFile(path) as file:
        table = file.read(columns=[IDS, ROWS], use_threads=False)
    return list(zip(*(table.column(name).to_pylist() for name in (IDS, ROWS)), strict=True))
