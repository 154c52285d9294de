"""`pagerec ingest`: raw lines -> bronze -> silver, file by file, each exactly once.

A run first writes down, in one small file, the batch it is going to do: its number, its files as they are, its clock
and settings. Every append to a table carries that batch, so a run that is killed at any moment is finished by the next
one without a record lost or doubled; the batch's files enter `ingested_files` after everything else of bronze, and the
note goes away last.
"""

import dataclasses
import datetime as dt
import hashlib
import json
from pathlib import Path

from pyspark.sql import functions as F

from pagerec_dbx.config import IngestSettings, parse_time
from pagerec_dbx.errors import LogsError, QuarantineError
from pagerec_dbx.hashing import HashingKey
from pagerec_dbx.home import write_atomically
from pagerec_dbx.pipelines import bronze, silver
from pagerec_dbx.pipelines.files import LogFile, changed_file, inspected, list_log_files, require_unchanged
from pagerec_dbx.pipelines.lines import Reading
from pagerec_dbx.pipelines.mapping import Mapping
from pagerec_dbx.pipelines.mapping_file import mapping_content, mapping_from
from pagerec_dbx.pipelines.parsing import Plausible
from pagerec_dbx.progress import say, watch_spark
from pagerec_dbx.schemas import (
    BRONZE_ATTRIBUTES,
    BRONZE_EVENTS,
    BRONZE_PAGE_VIEWS,
    CLICKS,
    INGESTED_FILES,
    PAGE_VIEWS,
    QUARANTINE,
    REDUCTIONS,
    ROWS,
    TITLES,
)
from pagerec_dbx.tables import Tables, union_all

PENDING = "ingest-pending.json"
_PAGES_AND_CLICKS = ("service_logs", "hashed_payloads", "click_logs", "page_events")


@dataclasses.dataclass(frozen=True)
class IngestResult:
    """What one run read; read = good + quarantined."""

    read: int
    good: int
    quarantined: int
    files: int


@dataclasses.dataclass(frozen=True)
class Batch:
    """What one run is going to do, fixed before it begins."""

    number: int
    now: dt.datetime
    settings: IngestSettings
    files: tuple[LogFile, ...]
    mapping: Mapping = Mapping()

    @property
    def application(self) -> str:
        """A name that another home's batch of the same number does not have."""
        listing = json.dumps([dataclasses.astuple(file) for file in self.files])
        return f"ingest-{hashlib.sha256(listing.encode()).hexdigest()[:16]}"

    @property
    def name(self) -> tuple[str, int]:
        return self.application, self.number

    def as_json(self) -> str:
        return json.dumps(
            dataclasses.asdict(self) | {"now": self.now.isoformat(), "mapping": mapping_content(self.mapping)}
        )

    @staticmethod
    def from_json(text: str) -> "Batch":
        content = json.loads(text)
        return Batch(
            number=content["number"],
            now=dt.datetime.fromisoformat(content["now"]),
            settings=IngestSettings(**content["settings"]),
            files=tuple(LogFile(**file) for file in content["files"]),
            mapping=mapping_from(content.get("mapping", {})),
        )


def ingest(
    tables: Tables,
    logs: Path,
    key: HashingKey,
    settings: IngestSettings,
    now: dt.datetime,
    mapping: Mapping = Mapping(),  # noqa: B008 - frozen
) -> IngestResult:
    """Read the files that are new, finish what an earlier run began, and bring silver up to date.

    Args:
        logs: a folder with `service_logs/` and its like.
        now: the end of what is plausible lies one day after it.
        mapping: where the lines have the fields; a batch that an earlier run began keeps the one it began with.

    Raises:
        LogsError: no logs, a file that changed after it was read, or lines that were read and are in no table.
        QuarantineError: too large a share of the lines was refused; everything is written.
    """
    results = []
    unfinished = _pending(tables)
    if unfinished is not None:
        say(f"Finishing batch {unfinished.number}, which an earlier run began")
        results.append(_run(tables, unfinished, key))
    batch = _next_batch(tables, logs, settings, now, mapping)
    if batch is not None:
        results.append(_run(tables, batch, key))
    for result in results:
        _require_few_refused(result, settings)
    total = (sum(getattr(result, field.name) for result in results) for field in dataclasses.fields(IngestResult))
    return IngestResult(*total)


def _pending_path(tables: Tables) -> Path:
    return tables.home.folder / PENDING


def _pending(tables: Tables) -> Batch | None:
    path = _pending_path(tables)
    return Batch.from_json(path.read_text(encoding="utf-8")) if path.exists() else None


def _next_batch(
    tables: Tables, logs: Path, settings: IngestSettings, now: dt.datetime, mapping: Mapping
) -> Batch | None:
    """The batch of the files that are new, written down before anything else is."""
    listed = list_log_files(logs)
    _require_record_of_files(tables)
    tables.create(INGESTED_FILES)
    known = {
        row.file: row for row in tables.read(INGESTED_FILES).select("file", "bytes", "modified_ns", "batch").collect()
    }
    for file in listed:
        was = known.get(file.path)
        if was is not None and (was.bytes, was.modified_ns) != (file.bytes, file.modified_ns):
            raise changed_file(file, was.bytes, was.modified_ns)
    new = tuple(file for file in listed if file.path not in known)
    if not new:
        return None
    batch = Batch(1 + max((row.batch for row in known.values()), default=0), now, settings, new, mapping)
    write_atomically(_pending_path(tables), batch.as_json())
    return batch


def _require_record_of_files(tables: Tables) -> None:
    if not tables.exists(INGESTED_FILES) and tables.exists(BRONZE_PAGE_VIEWS):
        raise LogsError(
            "table `ingested_files` is missing beside the lines that were read",
            fix="Restore it, or start a new home: without it every file would be read again",
        )


def _run(tables: Tables, batch: Batch, key: HashingKey) -> IngestResult:
    ingested = tables.read(INGESTED_FILES).where(F.col("batch") == batch.number)
    if ingested.isEmpty():  # else bronze is complete, and its files may be gone
        for file in batch.files:
            require_unchanged(file)
        with watch_spark(tables.spark, "reading logs"):
            _to_bronze(tables, batch, key)
    with watch_spark(tables.spark, "reducing repeats"):
        _to_silver(tables, batch)
    sums = ingested.agg(F.sum("lines"), F.sum("good"), F.sum("quarantined"), F.count("*")).first()
    _pending_path(tables).unlink()
    return IngestResult(*sums)


def _to_bronze(tables: Tables, batch: Batch, key: HashingKey) -> None:
    lines = {row.file: row.lines for row in inspected(tables.spark, batch.files).collect()}
    readable = [file for file in batch.files if lines[file.path] is not None]
    unreadable = [file for file in batch.files if lines[file.path] is None]
    plausible = Plausible(parse_time("earliest_time", batch.settings.earliest_time), batch.now + dt.timedelta(days=1))
    reading = Reading(batch.number, key, plausible, batch.settings.max_line_bytes, batch.mapping)
    frames = bronze.bronze_frames(tables.spark, readable, reading)
    for table in bronze.BRONZE_TABLES:
        tables.create(table)
    for table, frame in frames.items():
        tables.append(table, frame, batch=batch.name)
    refused = [bronze.refused(tables.read(table), batch.number) for table in frames]
    refused.append(bronze.unreadable(tables.spark, unreadable, batch.number))
    stamped = union_all(refused).withColumn("ingested_at", F.lit(batch.now))
    tables.append(QUARANTINE, stamped, batch=batch.name)
    counts = union_all([bronze.counted(tables.read(table), batch.number) for table in bronze.BRONZE_TABLES]).collect()
    kept = {row.file: (row.good, row.quarantined) for row in counts} | {file.path: (0, 1) for file in unreadable}
    records = [_record(file, lines[file.path], kept.get(file.path, (0, 0)), batch) for file in batch.files]
    frame = tables.spark.createDataFrame(records, tables.read(INGESTED_FILES).schema)
    tables.append(INGESTED_FILES, frame, batch=batch.name)


def _record(file: LogFile, lines: int | None, kept: tuple[int, int], batch: Batch) -> tuple:
    """One record of `ingested_files`, if the file is still as it was listed and each of its lines is accounted for."""
    require_unchanged(file)
    good, quarantined = kept
    read = 1 if lines is None else lines
    if good + quarantined != read:
        raise LogsError(
            f"{file.path} has lines that are in no table",
            wanted=f"{read} lines, good or quarantined",
            got=f"{good} good and {quarantined} quarantined",
            fix="Report this, with the file if you may; nothing of silver was changed",
        )
    return file.path, file.source, file.bytes, file.modified_ns, batch.number, read, good, quarantined, batch.now


def _to_silver(tables: Tables, batch: Batch) -> None:
    """Silver from all of bronze, as far as the batch's files can have changed it."""
    sources = {file.source for file in batch.files}
    if sources & set(_PAGES_AND_CLICKS) or not tables.exists(REDUCTIONS):
        _replace_pages_and_clicks(tables, batch.settings)
    for table in (TITLES, ROWS):
        if table.name in sources or not tables.exists(table):
            frame = silver.attributes(
                tables.read(BRONZE_ATTRIBUTES), tables.read(INGESTED_FILES), table.name, *table.key
            )
            tables.replace(table, frame)


def _replace_pages_and_clicks(tables: Tables, settings: IngestSettings) -> None:
    views = tables.read(BRONZE_PAGE_VIEWS)
    tables.replace(PAGE_VIEWS, silver.page_views(views))
    clicks = silver.clicks(tables.read(BRONZE_EVENTS), settings.repeat_seconds).persist()
    tables.replace(CLICKS, clicks)
    tables.replace(REDUCTIONS, silver.reductions(views, clicks))
    clicks.unpersist()


def _require_few_refused(result: IngestResult, settings: IngestSettings) -> None:
    share = result.quarantined / max(1, result.read)
    if result.read >= settings.min_lines_for_share and share > settings.max_quarantined_share:
        raise QuarantineError(
            f"{result.quarantined:,} of {result.read:,} lines were refused; all is written, nothing will be read again",
            wanted=f"at most {settings.max_quarantined_share:.1%}",
            got=f"{share:.1%}",
            fix="Look at table `quarantine`, which holds each line with its reason",
        )
