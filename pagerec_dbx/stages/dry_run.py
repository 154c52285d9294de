"""`pagerec ingest --dry-run`: the first lines of every source as they would arrive in bronze. It writes nothing."""

import dataclasses
import datetime as dt
import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pagerec_dbx.config import IngestSettings, parse_time
from pagerec_dbx.hashing import HashingKey, ThrowAwayKey
from pagerec_dbx.pipelines.bronze import typed_lines
from pagerec_dbx.pipelines.files import LogFile, list_log_files
from pagerec_dbx.pipelines.lines import Reading
from pagerec_dbx.pipelines.mapping import Mapping
from pagerec_dbx.pipelines.parsing import Plausible

RECORDS = 10  # shown of each source
_NOT_SHOWN = ("source", "batch", "refused")
_JSON = {"ignoreNullFields": "false", "timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"}
_BOM = b"\xef\xbb\xbf"


@dataclasses.dataclass(frozen=True)
class SourceSample:
    """The first records of one source."""

    source: str
    files: int  # in its folder, read or not
    mapped: bool  # False where the source has the default form
    records: tuple[dict, ...]  # bronze columns, as JSON has them

    @property
    def refused(self) -> int:
        return sum(record["reason"] is not None for record in self.records)


@dataclasses.dataclass(frozen=True)
class DryRunResult:
    """What an ingest would make of the first lines."""

    samples: tuple[SourceSample, ...]
    throw_away_key: bool  # True where the home has no hashing key yet: its hashes will be others

    def to_json(self) -> dict:
        samples = {sample.source: dataclasses.asdict(sample) | {"refused": sample.refused} for sample in self.samples}
        return {"throw_away_key": self.throw_away_key, "sources": samples}

    def to_text(self) -> str:
        lines = ["Nothing was written. The first records of each source, as they would arrive:"]
        if self.throw_away_key:
            lines.append("There is no hashing key yet: each user_hash is made with a throw-away key and will differ.")
        for sample in self.samples:
            lines += ["", *_sample_text(sample)]
        return "\n".join(lines)


def dry_run(
    spark: SparkSession, logs: Path, key: HashingKey, settings: IngestSettings, now: dt.datetime, mapping: Mapping
) -> DryRunResult:
    """The first ten lines of each source that has files, parsed, checked and hashed as `ingest` does.

    Args:
        now: the end of what is plausible lies one day after it.

    Raises:
        LogsError: no logs.
    """
    plausible = Plausible(parse_time("earliest_time", settings.earliest_time), now + dt.timedelta(days=1))
    reading = Reading(0, key, plausible, settings.max_line_bytes, mapping)
    by_source: dict[str, list[LogFile]] = {}
    for file in list_log_files(logs):
        by_source.setdefault(file.source, []).append(file)
    samples = [_sample(spark, source, files, reading) for source, files in by_source.items()]
    return DryRunResult(tuple(samples), isinstance(key, ThrowAwayKey))


def _sample(spark: SparkSession, source: str, files: Sequence[LogFile], reading: Reading) -> SourceSample:
    first = list(_first_lines(files, reading.max_line_bytes))
    broken = [_unreadable(path) for path, line in first if line is None]
    numbered = [(str(number), bytearray(line)) for number, (_, line) in enumerate(first) if line is not None]
    frame = spark.createDataFrame(numbered, "file string, value binary")
    parsed = typed_lines(frame.selectExpr("file", "cast(value as string) value"), source, reading)
    records = [_record(text, first) for text in _as_json(parsed)] if numbered else []
    return SourceSample(source, len(files), not reading.mapping.of(source).keeps(), (*records, *broken))


def _as_json(parsed: DataFrame) -> list[str]:
    """The records in order of their lines, nulls included."""
    text = F.to_json(F.struct(*(name for name in parsed.columns if name not in _NOT_SHOWN)), _JSON)
    texts = parsed.select(F.col("file").cast("int").alias("number"), text.alias("text")).collect()
    return [row.text for row in sorted(texts, key=lambda row: row.number)]


def _record(text: str, first: Sequence[tuple[str, bytes]]) -> dict:
    record = json.loads(text)
    path, _ = first[int(record["file"])]
    kept = ("file", "reason", "raw", "user_hash") if record["reason"] else [name for name in record if name != "raw"]
    return {name: record[name] for name in kept} | {"file": path}


def _unreadable(path: str) -> dict:
    return {"file": path, "reason": "unreadable_file", "raw": None, "user_hash": None}


# --- the first lines --------------------------------------------------------------------------------------------------


def _first_lines(files: Sequence[LogFile], longest: int) -> Iterator[tuple[str, bytes | None]]:
    """Ten pairs of path and line, blank ones skipped; None for what a gz file cannot be decompressed to."""
    left = RECORDS
    for file in files:
        for line in _lines(Path(file.path), longest):
            if left == 0:
                return
            left -= 1
            yield file.path, line


def _lines(path: Path, longest: int) -> Iterator[bytes | None]:
    """The lines that are not blank, none read much farther than it may be long."""
    try:
        with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as file:
            first = True
            while line := file.readline(longest + 2):
                whole = line.removeprefix(_BOM) if first else line
                first = False
                while not line.endswith(b"\n") and (line := file.readline(1 << 20)):
                    pass  # the rest of a line that is too long anyway
                if whole.strip():
                    yield whole.removesuffix(b"\n")
    except (zlib.error, EOFError, gzip.BadGzipFile):
        yield None


# --- text -------------------------------------------------------------------------------------------------------------


def _sample_text(sample: SourceSample) -> list[str]:
    form = "mapped" if sample.mapped else "default field names"
    counts = f"{len(sample.records)} records, {sample.refused} refused"
    lines = [f"{sample.source}/ ({sample.files} files, {form}): {counts}"]
    for number, record in enumerate(sample.records, 1):
        lines.append(f"  {number}. " + (f"REFUSED: {record['reason']}" if record["reason"] else "good"))
        lines += [f"       {name}: {_short(name, value)}" for name, value in record.items() if name != "reason"]
    return lines


def _short(name: str, value: object) -> str:
    """A value on one line; of a list no more than fits."""
    if isinstance(value, list):
        shown = ", ".join(_element(one) for one in value[:5])
        more = f", and {len(value) - 5} more" if len(value) > 5 else ""
        return f"{len(value)}" + (f": {shown}{more}" if value else "")
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 300 else text[:300] + "..."


def _element(value: object) -> str:
    if not isinstance(value, dict):
        return json.dumps(value)
    return "(" + ", ".join(json.dumps(one) for one in value.values()) + ")"
