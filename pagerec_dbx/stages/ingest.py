"""`pagerec ingest`: raw lines -> bronze -> silver, file by file, each exactly once.

A run writes down which files it is going to read, streams them into bronze, holds what bronze then has against the
folder's listing, file by file, and takes what the stream passed over. `ingested_files` is written last: until then the
next run does the same run again, and everything that it repeats gives the same records. A run that is stopped after
that has still to say whether too many lines were refused: the next one says it, before it reads anything.
"""

import dataclasses
import datetime as dt
from collections.abc import Iterable
from pathlib import Path

from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.config import IngestSettings, parse_time
from pagerec_dbx.errors import LogsError, QuarantineError
from pagerec_dbx.hashing import HashingKey, fingerprint
from pagerec_dbx.home import mark_simulated, plain_path, require_same_key
from pagerec_dbx.pipelines import bronze, silver, streams
from pagerec_dbx.pipelines.files import LogFile, list_log_files, read_lines, require_unchanged
from pagerec_dbx.pipelines.forgotten import forgotten_hashes, refuse_forgotten
from pagerec_dbx.pipelines.lines import Reading
from pagerec_dbx.pipelines.mapping import Mapping
from pagerec_dbx.pipelines.parsing import Plausible
from pagerec_dbx.progress import say, watch_spark
from pagerec_dbx.schemas import (
    BRONZE_ATTRIBUTES,
    BRONZE_EVENTS,
    BRONZE_PAGE_VIEWS,
    FORGOTTEN,
    INGESTED_FILES,
    JOIN_HEALTH,
    QUARANTINE,
    ROWS,
    TITLES,
)
from pagerec_dbx.spark import on_databricks
from pagerec_dbx.stages.ingest_run import (
    CountedFile,
    Recorded,
    Run,
    forget_checkpoint,
    forget_note,
    planned_run,
    recorded,
    require_unchanged_files,
    unreported_run,
    without_vanished,
)
from pagerec_dbx.stages.refused_lines import expire_quarantine, forgotten_lines, to_quarantine
from pagerec_dbx.stages.silver_days import rewrite_days_of_another_rule, rewrite_touched_days
from pagerec_dbx.tables import Tables, spark_schema, union_all

_RUNS_TO_COMPACT = 8  # to ask a table for its files takes a second or more
# `join` adds small files to `join_health` and does not count its runs. The tables partitioned by day have a few
# files a day, which cannot be put together across days, and preparations name the version of one of them.
_COMPACTED = (
    (BRONZE_PAGE_VIEWS, "day"), (BRONZE_EVENTS, "day"), (QUARANTINE, None), (INGESTED_FILES, None), (JOIN_HEALTH, None),
)  # fmt: skip
Kept = dict[str, tuple[int, int]]  # path -> good and quarantined lines that bronze holds of it


@dataclasses.dataclass(frozen=True)
class IngestResult:
    """What one run read; read = good + quarantined."""

    read: int
    good: int
    quarantined: int
    files: int
    forgotten: int = 0  # of the quarantined: lines of viewers who were forgotten


def ingest(
    tables: Tables,
    logs: Path,
    key: HashingKey,
    settings: IngestSettings,
    now: dt.datetime,
    mapping: Mapping = Mapping(),  # noqa: B008 - frozen
    new_checkpoints: bool = False,
) -> IngestResult:
    """Read the files that are new, finish what an earlier run began, and bring silver up to date.

    Args:
        logs: a folder with `service_logs/` and its like.
        now: the end of what is plausible lies one day after it.
        mapping: where the lines have the fields.
        new_checkpoints: begin new streams where one is lost; what the tables hold is not read again.

    Raises:
        HomeError: the ledger of days is missing.
        LogsError: no logs, a file that changed after it was read, lines that were read and are in no table, or another
            mapping than the one of a stopped run.
        KeyFileError: the tables hold ids that were hashed by another key.
        CheckpointError: the checkpoint of a stream is not the one that read the files of the tables.
        QuarantineError: too large a share of the lines was refused, in this run or in one that was stopped before it
            said so; everything of that run is written, and nothing else was read.
    """
    listed = list_log_files(logs)
    require_same_key(tables.home, fingerprint(key))
    # Not read; it is what tells a simulated world from a service.
    if (plain_path(logs) / "truth" / "world.json").exists():
        mark_simulated(tables.home)
    known = recorded(tables)
    require_unchanged_files(tables, listed, known)
    for folder in sorted({file.folder for file in listed}):
        _require_checkpoint(tables, folder, known, new_checkpoints)
    unreported = unreported_run(tables, known)
    if unreported is not None:
        _judge(tables, _recorded_result(tables, unreported), settings)
    run, begun = planned_run(tables, listed, known, mapping)
    if run is None:
        rewrite_days_of_another_rule(tables, settings.repeat_seconds)
        expire_quarantine(tables, settings, now)
        return IngestResult(0, 0, 0, 0)
    if begun:
        say(f"Finishing run {run.number}, which was stopped")
    plausible, forgotten = _plausible(settings, now), forgotten_hashes(tables)
    reading = Reading(run.number, key, plausible, settings.max_line_bytes, mapping, forgotten)
    result = _run(tables, run, begun, listed, reading, settings, now)
    _judge(tables, result, settings)
    return result


def _run(
    tables: Tables,
    run: Run,
    begun: bool,
    listed: list[LogFile],
    reading: Reading,
    settings: IngestSettings,
    now: dt.datetime,
) -> IngestResult:
    with watch_spark(tables.spark, "reading logs"):
        for table in (*bronze.BRONZE_TABLES, QUARANTINE):
            tables.create(table)
        held = _held(tables, run) if begun else {}
        run = without_vanished(run, held)
        _stream(tables, [file for file in run.readable if file.path not in held], listed, reading)
        kept = _with_passed_over(tables, run, reading)
        records = [_record(tables, one, kept, run.number, now) for one in run.counted]
        if begun or any(record[7] for record in records):
            to_quarantine(tables, run, now)
        expire_quarantine(tables, settings, now)
    with watch_spark(tables.spark, "reducing repeats"):
        rewrite_touched_days(tables, run.number, settings.repeat_seconds)
        files = tables.spark.createDataFrame(records, spark_schema(INGESTED_FILES)).coalesce(1)
        _to_attributes(tables, run, files)
    tables.append(INGESTED_FILES, files)
    if run.number % _RUNS_TO_COMPACT == 0:
        for table, by in _COMPACTED:
            if tables.exists(table):
                tables.compact(table, by)
    forgotten = forgotten_lines(tables, run.number) if reading.forgotten else 0
    good, quarantined = sum(record[6] for record in records), sum(record[7] for record in records)
    return IngestResult(good + quarantined, good, quarantined, len(records), forgotten)


def _require_checkpoint(tables: Tables, folder: Path, known: Recorded, new_ones: bool) -> None:
    """The stream that read a folder so far is there, or a new one may begin; a sound one is kept in any case."""
    checkpoint, wanted = _checkpoint(tables, folder), known.checkpoints.get(folder)
    if new_ones and not streams.is_sound(checkpoint, wanted):
        streams.drop_checkpoint(checkpoint)
        forget_checkpoint(tables, folder)
    else:
        streams.require_checkpoint(checkpoint, folder.name, wanted)


def _checkpoint(tables: Tables, folder: Path) -> Path:
    """Where the stream of a folder remembers what it has read: a stream has one folder for its whole life."""
    return tables.home.folder / "checkpoints" / streams.checkpoint_name(folder)


def _plausible(settings: IngestSettings, now: dt.datetime) -> Plausible:
    return Plausible(parse_time("earliest_time", settings.earliest_time), now + dt.timedelta(days=1))


# --- bronze -----------------------------------------------------------------------------------------------------------


def _stream(tables: Tables, files: list[LogFile], listed: list[LogFile], reading: Reading) -> None:
    """One stream a folder, side by side; each ends when it has read the files that are there."""
    for file in files:
        require_unchanged(file)
    queries = []
    for folder, of_folder in _by_folder(files).items():
        if not streams.can_stream([file for file in listed if file.folder == folder]):
            continue
        source = of_folder[0].source
        typed = _typed(tables, streams.streamed_lines(tables.spark, of_folder, on_databricks()), source, reading)
        queries.append(tables.append_stream(bronze.table_of(source), typed, _checkpoint(tables, folder)))
    try:
        for query in queries:
            query.awaitTermination()
    except StreamingQueryException as error:
        raise LogsError(
            "reading the logs was interrupted",
            got=_cause(error),
            fix="Remove the cause and run `pagerec ingest` again: it goes on where this run stopped",
        ) from error
    finally:
        for query in queries:
            query.stop()


def _typed(tables: Tables, lines: DataFrame, source: str, reading: Reading) -> DataFrame:
    """The lines in the columns of bronze; where nobody was forgotten yet nothing is looked up."""
    typed = bronze.typed_lines(lines, source, reading)
    return refuse_forgotten(typed, tables.read(FORGOTTEN)) if reading.forgotten else typed


def _cause(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith("Caused by")]
    return (causes or lines)[-1][:300] if lines else type(error).__name__


def _with_passed_over(tables: Tables, run: Run, reading: Reading) -> Kept:
    """Hold bronze against the files, and read those anew of which it has not every line once; what it then holds."""
    kept = _held(tables, run)
    wrong = [
        one.file for one in run.counted if one.lines is not None and sum(kept.get(one.file.path, (0,))) != one.lines
    ]
    for folder, of_folder in _by_folder(wrong).items():
        say(f"  {len(of_folder)} files of {folder.name} are read without the stream, which does not take them")
        source = of_folder[0].source
        table = bronze.table_of(source)
        begun = [file.path for file in of_folder if file.path in kept]
        if begun:
            tables.delete(table, (F.col("batch") == run.number) & F.col("file").isin(begun))
        # One append is one commit, and where it was made no file is wrong any more.
        tables.append(table, _typed(tables, read_lines(tables.spark, of_folder), source, reading))
    return _held(tables, run) if wrong else kept


def _by_folder(files: Iterable[LogFile]) -> dict[Path, list[LogFile]]:
    found: dict[Path, list[LogFile]] = {}
    for file in files:
        found.setdefault(file.folder, []).append(file)
    return found


def _held(tables: Tables, run: Run) -> Kept:
    """What bronze holds of this run's files."""
    counts = union_all([bronze.counted(tables.read(table), run.number) for table in run.bronze_tables])
    return {row["file"]: (row["good"], row["quarantined"]) for row in counts.collect()}  # one a file


def _record(tables: Tables, one: CountedFile, kept: Kept, batch: int, now: dt.datetime) -> tuple:
    """One record of `ingested_files`, if the file is still as it was listed and each of its lines is accounted for."""
    file = one.file
    if Path(file.path).exists():
        require_unchanged(file)
    good, quarantined = (0, 1) if one.lines is None else kept.get(file.path, (0, 0))
    read = 1 if one.lines is None else one.lines
    if good + quarantined != read:
        raise LogsError(
            f"{file.path} has lines that are in no table",
            wanted=f"{read} lines, good or quarantined",
            got=f"{good} good and {quarantined} quarantined",
            fix="Report this, with the file if you may; nothing of silver was changed",
        )
    checkpoint = streams.checkpoint_id(_checkpoint(tables, file.folder))
    return file.path, file.source, file.bytes, file.modified_ns, batch, read, good, quarantined, checkpoint, now


# --- attributes and the result ----------------------------------------------------------------------------------------


def _to_attributes(tables: Tables, run: Run, files: DataFrame) -> None:
    """Titles and rows, made anew if the run has read a file of theirs; they are small."""
    everything = tables.read(INGESTED_FILES).unionByName(files).select("file", "modified_ns")
    for table in (TITLES, ROWS):
        if table.name not in run.sources:
            tables.create(table)
        else:
            frame = silver.attributes(tables.read(BRONZE_ATTRIBUTES), everything, table.name, *table.key)
            tables.replace(table, frame)


def _judge(tables: Tables, result: IngestResult, settings: IngestSettings) -> None:
    """Say of a recorded run whether too many lines were refused, and be done with it: it is said once."""
    try:
        _require_few_refused(result, settings)
    finally:
        forget_note(tables)


def _recorded_result(tables: Tables, number: int) -> IngestResult:
    """What a recorded run read."""
    files = tables.read(INGESTED_FILES).where(F.col("batch") == number)
    sums = files.agg(F.sum("lines"), F.sum("good"), F.sum("quarantined"), F.count("*"))
    read, good, quarantined, count = sums.first()
    return IngestResult(read, good, quarantined, count, forgotten_lines(tables, number))


def _require_few_refused(result: IngestResult, settings: IngestSettings) -> None:
    refused = result.quarantined - result.forgotten
    share = refused / max(1, result.read)
    if result.read >= settings.min_lines_for_share and share > settings.max_quarantined_share:
        raise QuarantineError(
            f"{refused:,} of {result.read:,} lines were refused; all is written, nothing will be read again",
            wanted=f"at most {settings.max_quarantined_share:.1%}",
            got=f"{share:.1%}",
            fix="Look at table `quarantine`, which holds each line with its reason",
        )
