"""`ingest` holds bronze against its files: a file that the stream passed over, took in part or twice is there once.

One home. In its second run the stream does so to one file each; in the third too, but nobody holds bronze against the
files, and so that run ends with an error and the next has to finish it.
"""

import collections
import contextlib
import dataclasses
import io
import os
from pathlib import Path

import pytest
from pyspark.sql import functions as F

from pagerec_dbx.config import IngestSettings
from pagerec_dbx.errors import LogsError
from pagerec_dbx.hashing import ensure_key
from pagerec_dbx.home import open_home
from pagerec_dbx.pipelines.files import LogFile
from pagerec_dbx.schemas import BRONZE_PAGE_VIEWS, INGESTED_FILES, PAGE_VIEWS, QUARANTINE
from pagerec_dbx.stages import ingest as stage
from pagerec_dbx.stages.ingest import IngestResult, ingest
from pagerec_dbx.stages.ingest_run import CountedFile, Run
from pagerec_dbx.tables import Tables
from tests.log_lines import NOW, payload, write

# Spark's file source says nothing when it passes over a file that is older by `maxFileAge`, here a hundred years, than
# the newest that it has seen.
YEAR_2191, YEAR_2160, YEAR_2023 = 7e9, 6e9, 1.7e9  # seconds since 1970
KINDS = ("passed-over", "in-part", "twice", "sound")
LINES = ("good", "other", "refused")  # of each file; their viewers are called so
REAL_STREAM = stage._stream


def _deliver(logs: Path, run: str) -> None:
    """A file of each kind, three lines each."""
    for number, kind in enumerate(KINDS):
        lines = [payload(f"{run} {kind} {who}", 600 * number) for who in LINES[:2]]
        refused = payload(f"{run} {kind} refused", candidates=[])
        path = write(logs, "hashed_payloads", [*lines, refused], f"{run}-{kind}.jsonl")
        modified = YEAR_2023 if kind == "passed-over" else YEAR_2160
        os.utime(path, (modified, modified))


def _stream_badly(tables: Tables, files: list[LogFile], listed, reading) -> None:
    """The stream as it is; then one file of bronze loses a line, and another has its refused line a second time."""
    REAL_STREAM(tables, files, listed, reading)
    of_part, of_twice = (F.col("file").endswith(f"-{kind}.jsonl") for kind in ("in-part", "twice"))
    of_run = F.col("batch") == reading.batch
    tables.append(BRONZE_PAGE_VIEWS, tables.read(BRONZE_PAGE_VIEWS).where(of_run & of_twice & F.col("refused")))
    tables.delete(BRONZE_PAGE_VIEWS, of_run & of_part & F.col("user_hash").endswith("other"))


@dataclasses.dataclass(frozen=True)
class World:
    """A home and its logs."""

    tables: Tables
    logs: Path

    def ingest(self) -> IngestResult:
        return ingest(self.tables, self.logs, ensure_key(self.tables.home)[0], IngestSettings(), NOW)

    def lines(self, run: str) -> dict[str, collections.Counter]:
        """By kind of file, how often bronze holds which line."""
        found = {kind: collections.Counter() for kind in KINDS}
        for row in self.tables.read(BRONZE_PAGE_VIEWS).where(F.col("file").contains(f"/{run}-")).collect():
            found[Path(row["file"]).stem.removeprefix(f"{run}-")][row["user_hash"].split()[-1]] += 1
        return found

    def viewers(self, table, run: str) -> list[str]:
        of_run = self.tables.read(table).where(F.col("user_hash").startswith(run))
        return sorted(row["user_hash"].removeprefix(f"{run} ") for row in of_run.collect())

    def streamed(self, run: str) -> set[str]:
        """The kinds of files that the stream has read: its checkpoint lists them."""
        logs = (self.tables.home.folder / "checkpoints").glob("*/sources/0/*")
        text = "".join(path.read_text(encoding="utf-8") for path in logs if not path.name.startswith("."))
        return {kind for kind in KINDS if f"/{run}-{kind}.jsonl" in text}


GOOD = sorted(f"{kind} {who}" for kind in KINDS for who in LINES[:2])
REFUSED = sorted(f"{kind} refused" for kind in KINDS)


@pytest.fixture(scope="module")
def world(spark, tmp_path_factory) -> World:
    """A home whose stream has seen a file from far ahead."""
    folder = tmp_path_factory.mktemp("reconciliation")
    world = World(Tables(spark, open_home(str(folder / "home"))), folder / "logs")
    ensure_key(world.tables.home, derived_from_seed=1)
    os.utime(write(world.logs, "hashed_payloads", [payload("first good")], "first.jsonl"), (YEAR_2191, YEAR_2191))
    world.ingest()
    return world


@pytest.fixture(scope="module")
def reconciled(world) -> tuple[IngestResult, str]:
    """What the second run came to and said."""
    _deliver(world.logs, "second")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(io.StringIO()) as said:
        patch.setattr(stage, "_stream", _stream_badly)
        result = world.ingest()
    return result, said.getvalue()


@pytest.mark.slow
def test_the_stream_ran_and_passed_over_a_file_in_silence(world, reconciled):
    assert world.streamed("second") == {"in-part", "twice", "sound"}
    assert "3 files of hashed_payloads are read without the stream" in reconciled[1]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_bronze_holds_every_line_of_the_file_once(world, reconciled, kind):
    assert world.lines("second")[kind] == dict.fromkeys(LINES, 1)


@pytest.mark.slow
def test_every_line_is_counted_once_and_goes_where_it_belongs(world, reconciled):
    assert reconciled[0] == IngestResult(read=12, good=8, quarantined=4, files=4)
    assert world.viewers(PAGE_VIEWS, "second") == GOOD
    assert world.viewers(QUARANTINE, "second") == REFUSED


# --- without the reconciliation ---------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Unreconciled:
    """The third run: the error that ended it, what bronze then held, and the versions of what is made from bronze."""

    error: LogsError
    run: Run
    held: dict[str, tuple[int, int]]  # path -> good and quarantined lines
    before: dict[str, int]  # table -> version, when the run began
    after: dict[str, int]


@pytest.fixture(scope="module")
def unreconciled(world, reconciled) -> Unreconciled:
    """A run with the same disturbances, in which bronze is looked at and nothing is read anew."""
    _deliver(world.logs, "third")
    seen = []

    def only_look(tables, run, _):
        seen.append((run, stage._held(tables, run)))
        return seen[0][1]

    before = _versions(world)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "_stream", _stream_badly)
        patch.setattr(stage, "_with_passed_over", only_look)
        with pytest.raises(LogsError) as raised:
            world.ingest()
    return Unreconciled(raised.value, *seen[0], before, _versions(world))


def _versions(world: World) -> dict[str, int]:
    return {table.name: world.tables.version(table) for table in (PAGE_VIEWS, QUARANTINE, INGESTED_FILES)}


@pytest.mark.slow
def test_without_it_the_run_fails_and_leaves_silver_as_it_was(unreconciled):
    assert "has lines that are in no table" in str(unreconciled.error)
    assert unreconciled.after == unreconciled.before


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "held"), [("passed-over", None), ("in-part", (1, 1)), ("twice", (2, 2))])
def test_without_it_bronze_has_not_every_line_once_and_each_such_file_is_an_error(world, unreconciled, kind, held):
    (one,) = (one for one in unreconciled.run.counted if kind in one.file.path)
    assert unreconciled.held.get(one.file.path) == held
    with pytest.raises(LogsError, match="has lines that are in no table"):
        stage._record(world.tables, one, unreconciled.held, unreconciled.run.number, NOW)


@pytest.mark.slow
def test_the_next_run_finishes_one_that_failed_so(world, unreconciled):
    assert world.ingest() == IngestResult(read=12, good=8, quarantined=4, files=4)
    assert world.lines("third") == dict.fromkeys(KINDS, dict.fromkeys(LINES, 1))
    assert world.viewers(PAGE_VIEWS, "third") == GOOD
    assert world.viewers(QUARANTINE, "third") == REFUSED


@pytest.mark.parametrize("held", [(0, 0), (1, 1), (2, 2)], ids=["none", "some", "too many"])
def test_a_file_is_not_recorded_while_bronze_has_not_every_line_once(home, held):
    one = CountedFile(LogFile("rows", "/logs/rows/gone.jsonl", 1, 1), lines=3)
    tables = Tables(None, home)  # no table is needed
    with pytest.raises(LogsError) as refused:
        stage._record(tables, one, {one.file.path: held}, 1, NOW)
    assert str(refused.value) == (
        "/logs/rows/gone.jsonl has lines that are in no table: wanted 3 lines, good or quarantined, "
        f"got {held[0]} good and {held[1]} quarantined. "
        "Report this, with the file if you may; nothing of silver was changed."
    )
    record = stage._record(tables, one, {one.file.path: (2, 1)}, 1, NOW)
    assert record[5:8] == (3, 2, 1)
