"""What one run of `ingest` is going to read, written down before it reads, so that the next finishes a killed one.

The note holds the run's number, each file as it was listed, the lines that it had, and by which mapping they are read.
A run that finds a note goes on under its number, with the files that have come since. The note stays until the run has
said how many lines it refused: where the files are recorded and the note is there, that is all that is left to do.
"""

import dataclasses
import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from pyspark.sql import functions as F

from pagerec_dbx.errors import ForgetError, LogsError
from pagerec_dbx.home import Home, write_atomically
from pagerec_dbx.ledger import Ledger
from pagerec_dbx.pipelines import bronze
from pagerec_dbx.pipelines.files import LogFile, changed_file, inspected
from pagerec_dbx.pipelines.mapping import Mapping as Forms
from pagerec_dbx.schemas import BRONZE_PAGE_VIEWS, INGESTED_FILES, PAGE_VIEWS, Table
from pagerec_dbx.tables import Tables

NOTE = "ingest-pending.json"


@dataclasses.dataclass(frozen=True)
class CountedFile:
    """A log file and its lines that are not blank; None where it cannot be decompressed."""

    file: LogFile
    lines: int | None


@dataclasses.dataclass(frozen=True)
class Run:
    """One run: its number stands in every record that it adds to bronze, the quarantine and `ingested_files`."""

    number: int
    counted: tuple[CountedFile, ...]

    @property
    def readable(self) -> list[LogFile]:
        return [one.file for one in self.counted if one.lines is not None]

    @property
    def unreadable(self) -> list[LogFile]:
        return [one.file for one in self.counted if one.lines is None]

    @property
    def sources(self) -> set[str]:
        return {one.file.source for one in self.counted}

    @property
    def bronze_tables(self) -> list[Table]:
        """The tables that hold its lines; all, if the files of a stopped run are gone and no source is left."""
        of_sources = set(map(bronze.table_of, self.sources)) or bronze.BRONZE_TABLES
        return [table for table in bronze.BRONZE_TABLES if table in of_sources]


@dataclasses.dataclass(frozen=True)
class Recorded:
    """What `ingested_files` says: the files that were read, the last run's number, each folder's last checkpoint."""

    files: Mapping[str, tuple[int, int]]  # path -> bytes, time of modification
    last: int
    checkpoints: Mapping[Path, str]


def recorded(tables: Tables) -> Recorded:
    """The files of all finished runs.

    Raises:
        LogsError: the record is missing beside lines that were read.
        HomeError: the ledger of days is missing beside page views.
    """
    if not tables.exists(INGESTED_FILES) and tables.exists(BRONZE_PAGE_VIEWS) and _note(tables) is None:
        raise LogsError(
            "table `ingested_files` is missing beside the lines that were read",
            fix="Restore it, or start a new home: without it every file would be read again",
        )
    tables.create(INGESTED_FILES)
    records = tables.read(INGESTED_FILES).select("file", "source", "bytes", "modified_ns", "batch", "checkpoint")
    rows = records.orderBy("batch").collect()  # one a file
    ledger = Ledger(tables.home)
    if rows and not ledger.exists and _note(tables) is None and not tables.read(PAGE_VIEWS).isEmpty():
        ledger.require()
    return Recorded(
        files={row["file"]: (row["bytes"], row["modified_ns"]) for row in rows},
        last=max((row["batch"] for row in rows), default=0),
        checkpoints={Path(row["file"]).parent: row["checkpoint"] for row in rows if row["checkpoint"] is not None},
    )


def require_unchanged_files(tables: Tables, listed: Iterable[LogFile], known: Recorded) -> None:
    """Refuse files that are not what they were when they were read, or listed by a run that was stopped.

    Raises:
        LogsError: one of them changed.
    """
    seen = {**_begun(tables, known), **known.files}
    for file in listed:
        was = seen.get(file.path, (file.bytes, file.modified_ns))
        if was != (file.bytes, file.modified_ns):
            raise changed_file(file, *was)


def _begun(tables: Tables, known: Recorded) -> dict[str, tuple[int, int]]:
    noted = [one.file for one in _note(tables) or () if one.file.path not in known.files]
    return {file.path: (file.bytes, file.modified_ns) for file in noted}


def unreported_run(tables: Tables, known: Recorded) -> int | None:
    """The number of a run that recorded all its files and was stopped before it said how it went; None without one."""
    path = _note_path(tables)
    number = json.loads(path.read_text(encoding="utf-8"))["run"] if path.exists() else None
    return number if number is not None and number <= known.last else None


def forget_checkpoint(tables: Tables, folder: Path) -> None:
    """The stream of a folder is lost: another one may go on."""
    of_folder = F.col("file").startswith(f"{folder}/")
    tables.update(INGESTED_FILES, of_folder & F.col("checkpoint").isNotNull(), {"checkpoint": F.lit(None)})


def planned_run(tables: Tables, listed: Iterable[LogFile], known: Recorded, forms: Forms) -> tuple[Run | None, bool]:
    """The run to do, None if there is nothing to read; and whether an earlier run began it.

    Raises:
        LogsError: that run read lines by another mapping.
    """
    begun = [one for one in _note(tables) or () if one.file.path not in known.files]
    if begun:
        _require_same_forms(tables, forms)
    seen = known.files.keys() | {one.file.path for one in begun}
    new = [file for file in listed if file.path not in seen]
    if not begun and not new:
        return None, False
    run = Run(known.last + 1, (*begun, *_counted(tables, new)))
    write_atomically(_note_path(tables), _as_json(run, forms))
    return run, bool(begun)


def _require_same_forms(tables: Tables, forms: Forms) -> None:
    if json.loads(_note_path(tables).read_text(encoding="utf-8"))["mapping"] != _digest(forms):
        raise LogsError(
            "an `ingest` that was stopped had another mapping",
            wanted="the mapping file that it began with, or none where it had none: one run reads by one mapping",
            fix="Run it again with that --mapping; files that come later may have another",
        )


def _digest(forms: Forms) -> str:
    return hashlib.sha256(repr(forms).encode("utf-8")).hexdigest()


def require_no_run(home: Home) -> None:
    """Refuse to remove lines that a stopped run will hold against its files.

    Raises:
        ForgetError: a run was stopped and not finished.
    """
    if (home.folder / NOTE).exists():
        raise ForgetError(
            "an `ingest` of this home was stopped on its way",
            wanted="each line of its files in bronze before some go",
            got=f"{NOTE}, which names them",
            fix="Run `pagerec ingest`, which finishes that run, then this again",
        )


def forget_note(tables: Tables) -> None:
    """The run is finished, recorded and judged."""
    _note_path(tables).unlink(missing_ok=True)


def without_vanished(run: Run, held: Collection[str]) -> Run:
    """The run without files of an earlier attempt that are gone and of which bronze holds nothing."""
    here = [one for one in run.counted if one.file.path in held or Path(one.file.path).exists()]
    return Run(run.number, tuple(here))


def _counted(tables: Tables, files: list[LogFile]) -> list[CountedFile]:
    if not files:
        return []
    lines = {row["file"]: row["lines"] for row in inspected(tables.spark, files).collect()}  # one a file
    return [CountedFile(file, lines[file.path]) for file in files]


def _note_path(tables: Tables) -> Path:
    return tables.home.folder / NOTE


def _note(tables: Tables) -> list[CountedFile] | None:
    path = _note_path(tables)
    if not path.exists():
        return None
    records = json.loads(path.read_text(encoding="utf-8"))["files"]
    return [CountedFile(LogFile(**record["file"]), record["lines"]) for record in records]


def _as_json(run: Run, forms: Forms) -> str:
    files = [dataclasses.asdict(one) for one in run.counted]
    return json.dumps({"run": run.number, "mapping": _digest(forms), "files": files})
