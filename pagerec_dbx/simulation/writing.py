"""A simulated world on the disk: logs as files of lines, the truth beside them."""

import contextlib
import datetime as dt
import gzip
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from pyspark.sql import DataFrame

from pagerec_dbx.errors import LogsError
from pagerec_dbx.simulation.faults import FILE, ORDER_IN_FILE


@contextlib.contextmanager
def written_aside(out: Path) -> Iterator[Path]:
    """A folder beside `out` that takes its place when the block ends without an error, and vanishes otherwise.

    Raises:
        LogsError: `out` holds something already.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise LogsError(
            f"{out} is not empty", wanted="a new or empty folder", fix="Choose another --out, or delete it first"
        )
    out = out.absolute()
    aside = out.with_name(f".{out.name}.simulated.{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        yield aside
        if out.exists():
            out.rmdir()
        aside.rename(out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def in_files(places: DataFrame, partitions: int) -> DataFrame:
    """The lines as they stand in the files: those of one file in one partition, in the order of their writing."""
    return places.repartition(partitions, *FILE).sortWithinPartitions(*FILE, *ORDER_IN_FILE)


def write_lines(lines: DataFrame, folder: Path, first_day: dt.date, zipped: bool) -> None:
    """Write the `text` of lines that are `in_files` as FOLDER/LOG/DAY-PART.jsonl."""
    heap = folder / "heap"
    writer = lines.select(*FILE, "text").write.partitionBy(*FILE).option("compression", "gzip" if zipped else "none")
    writer.text(str(heap))
    for file in heap.glob("log=*/file_day=*/file_part=*/part-*"):
        log, day, part = (level.split("=")[1] for level in file.parts[-4:-1])
        name = f"{first_day + dt.timedelta(days=int(day))}-{int(part):04d}.jsonl{'.gz' if zipped else ''}"
        (folder / log).mkdir(exist_ok=True)
        file.rename(folder / log / name)
    shutil.rmtree(heap)


def write_objects(objects: Iterable[dict], file: Path, zipped: bool) -> None:
    """A few objects, one a line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(json.dumps(one) + "\n" for one in objects).encode()
    if zipped:
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(data, mtime=0))
    else:
        file.write_bytes(data)


def write_truth(frame: DataFrame, folder: Path) -> DataFrame:
    """A frame as Parquet, and read back: what follows is computed from the files."""
    frame.write.parquet(str(folder))
    return frame.sparkSession.read.parquet(str(folder))
