"""Which log files there are, what each holds, and whether it can be read."""

import dataclasses
import os
import re
import stat
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from pagerec_dbx.errors import LogsError
from pagerec_dbx.home import plain_path
from pagerec_dbx.progress import say

SOURCES = ("service_logs", "hashed_payloads", "click_logs", "page_events", "titles", "rows")
ENDINGS = (".jsonl", ".jsonl.gz")
_CHUNK = 1 << 22  # bytes read at a time


@dataclasses.dataclass(frozen=True)
class LogFile:
    """One file of a log folder, as it was when it was listed."""

    source: str
    path: str  # absolute
    bytes: int
    modified_ns: int

    @property
    def folder(self) -> Path:
        return Path(self.path).parent


def list_log_files(logs: Path) -> list[LogFile]:
    """The files of the known folders, in order of source and path. Names that begin with a dot are still being written.

    Raises:
        LogsError: no such folder, none of the known folders in it, or a name that Spark cannot read or would pass over
            in silence.
    """
    folders = require_logs(logs)
    return [_described(source, path) for source, folder in folders for path in _log_paths(folder)]


def require_logs(logs: Path) -> list[tuple[str, Path]]:
    """The folders of logs that are there, with their sources.

    Raises:
        LogsError: no such folder, or none of the known folders in it.
    """
    folders = [(source, plain_path(logs) / source) for source in SOURCES]
    if not any(folder.is_dir() for _, folder in folders):
        raise LogsError(
            f"{logs} holds no logs" if logs.is_dir() else f"logs folder {logs} does not exist",
            wanted="a folder with one or more of " + ", ".join(f"{source}/" for source in SOURCES),
            fix="Check --logs",
        )
    return [(source, folder) for source, folder in folders if folder.is_dir()]


def _log_paths(folder: Path) -> list[Path]:
    there = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    paths = [path for path in there if path.name.endswith(ENDINGS)]
    if len(paths) < len(there):
        others = (
            f"{len(there) - len(paths)} names in {folder}, such as {next(p.name for p in there if p not in paths)},"
        )
        say(f"  {others} end in neither {' nor '.join(ENDINGS)} and are left alone")
    with_colon = [path for path in paths if ":" in path.name]
    if with_colon:
        raise LogsError(f"{with_colon[0]} has a colon in its name, and Spark cannot read such a file", fix="Rename it")
    hidden = [path for path in paths if path.name.startswith("_")]
    if hidden:
        raise LogsError(f"{hidden[0]} begins with an underscore, and Spark reads no such file", fix="Rename it")
    return paths


def _described(source: str, path: Path) -> LogFile:
    try:
        status = path.stat()
    except OSError as error:
        raise LogsError(f"{path} cannot be read", got=str(error.strerror), fix="Restore it") from error
    if not stat.S_ISREG(status.st_mode) or not os.access(path, os.R_OK):
        raise LogsError(f"{path} cannot be read", wanted="a file that you may read", fix="Check its permissions")
    return LogFile(source, str(path), status.st_size, status.st_mtime_ns)


def require_unchanged(file: LogFile) -> None:
    """Raise LogsError unless the file is still as it was when it was listed."""
    now = _described(file.source, Path(file.path))
    if now != file:
        raise changed_file(now, file.bytes, file.modified_ns)


def changed_file(file: LogFile, wanted_bytes: int, wanted_modified_ns: int) -> LogsError:
    """The error for a file that is not what was read before."""
    what = "size" if file.bytes != wanted_bytes else "modification time"
    wanted, got = (
        (f"{wanted_bytes} bytes", f"{file.bytes} bytes")
        if what == "size"
        else (f"{wanted_modified_ns} ns", f"{file.modified_ns} ns")
    )
    return LogsError(
        f"{file.path} changed its {what} after it was read",
        wanted=wanted,
        got=got,
        fix="Restore it as it was and put new lines into a new file; or remove it and give what is left another name",
    )


# --- a look into every file -------------------------------------------------------------------------------------------


def inspected(spark: SparkSession, files: Iterable[LogFile]) -> DataFrame:
    """One record per file: file, readable, lines that are not blank (null if it is not readable).

    The lines are counted in the bytes, without Spark's reader, so that the count can hold the reader to account.
    """
    paths = [(file.path,) for file in files]
    slices = max(1, min(len(paths), 2 * spark.sparkContext.defaultParallelism))
    listed = spark.createDataFrame(spark.sparkContext.parallelize(paths, slices), "file string")
    return listed.mapInPandas(_inspect_all, "file string, readable boolean, lines bigint")


def _inspect_all(batches):
    import pandas as pd

    for batch in batches:
        counts = [inspect(Path(path)) for path in batch["file"]]
        lines = pd.array(counts, dtype="Int64")
        yield pd.DataFrame({"file": batch["file"], "readable": ~pd.isna(lines), "lines": lines})


def inspect(path: Path) -> int | None:
    """The number of lines that are not blank; None where a gz file cannot be decompressed to its end."""
    try:
        return count_lines(_unpacked(_chunks(path)) if path.name.endswith(".gz") else _chunks(path))
    except (zlib.error, EOFError):
        return None


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _unpacked(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes of one or more gzip members; anything after the last is an error, as it is to Spark's reader.

    Raises:
        zlib.error: not gzip. EOFError: cut short.
    """
    member = None
    for chunk in chunks:
        rest = chunk
        while rest:
            member = member or zlib.decompressobj(wbits=31)
            yield from _bounded(member, rest)
            rest = member.unused_data
            if member.eof:
                member = None
    if member is not None:
        raise EOFError("gzip member without its end")


def _bounded(member, packed: bytes) -> Iterator[bytes]:
    """What one chunk unpacks to, in pieces: a few bytes can stand for gigabytes of zeros."""
    while piece := member.decompress(packed, _CHUNK):
        yield piece
        packed = member.unconsumed_tail


def count_lines(chunks: Iterable[bytes]) -> int:
    """The number of lines that hold more than white space; lines end with a line feed, the last may do without."""
    lines, open_line, first = 0, False, True
    for chunk in chunks:
        head, *others = (chunk.removeprefix(b"\xef\xbb\xbf") if first else chunk).split(b"\n")
        open_line, first = open_line or bool(head.strip()), False
        if others:
            *whole, tail = others
            lines += open_line + sum(map(bool, map(bytes.strip, whole)))
            open_line = bool(tail.strip())
    return lines + open_line


# --- the lines --------------------------------------------------------------------------------------------------------


def read_lines(spark: SparkSession, files: Iterable[LogFile]) -> DataFrame:
    """One record per line that is not blank: file, value. The bytes of `value` are those of the file."""
    paths = [_without_glob(file.path) for file in files]
    return lines_of(spark.read.option("lineSep", LINE_END).text(paths))


def lines_of(text: DataFrame) -> DataFrame:
    """What Spark's text reader gives, a stream or not, as file and value, blank lines left out."""
    return text.select(path_of_line().alias("file"), "value").where(F.col("value").rlike(r"\S"))


LINE_END = "\n"  # Spark's default would split at a bare carriage return


def path_of_line() -> Column:
    """The path of the file that a line stands in.

    It comes as a `file:` or `dbfs:` address, in which Spark encodes what is special in addresses.
    """
    without_scheme = F.regexp_replace(F.col("_metadata.file_path"), "^(file|dbfs):/+", "/")
    return F.url_decode(F.regexp_replace(without_scheme, r"\+", "%2B"))


_GLOB = re.compile(r"[*?\[\]{}\\]")


def is_pattern(path: str) -> bool:
    """True for a path that Spark takes for a pattern of paths unless it is escaped."""
    return _GLOB.search(path) is not None


def _without_glob(path: str) -> str:
    return _GLOB.sub(r"\\\g<0>", path)
