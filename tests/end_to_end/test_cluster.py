"""The same thread where executors are processes of their own, as on a cluster."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pagerec_dbx import schemas
from pagerec_dbx.features.snapshot import MANIFEST, Snapshot, manifest_from_json, read_batches
from pagerec_dbx.hashing import VARIABLE
from pagerec_dbx.home import Home
from pagerec_dbx.tables import Tables
from tests.viewer_world import content

CLUSTER, ONE_PROCESS = "local-cluster[2,1,2048]", "local[2]"
CLI = [sys.executable, "-m", "pagerec_dbx.cli"]
# One process for all steps, as a session is started once; at its end the processes that did the work are counted.
STEPS = """
import sys
from pyspark.sql import SparkSession
from pagerec_dbx.cli import run_command
logs, home = sys.argv[1:]
for step in (["ingest", "--logs", logs], ["join"], ["prepare"]):
    if run_command([*step, "--home", home]):
        sys.exit(1)
print(SparkSession.getActiveSession().sparkContext._jsc.sc().getExecutorMemoryStatus().size())
"""
# What differs between any two homes: when something was done, ids that are drawn, and names that are made of them.
OF_A_HOME = {
    schemas.QUARANTINE.name: {"ingested_at"},
    schemas.INGESTED_FILES.name: {"ingested_at", "checkpoint"},
    schemas.PREPARATIONS.name: {
        "preparation_id", "prepared_at", "labelled_table", "examples_table",
        "train_snapshot", "validation_snapshot", "holdout_snapshot",
    },
}  # fmt: skip
MADE = {
    "bronze_page_views", "bronze_events", "bronze_attributes", "ingested_files", "quarantine", "titles", "rows",
    "page_views", "clicks", "click_matches", "labelled_page_views", "join_health", "vocabularies", "examples",
    "preparations", "train", "validation", "holdout",
}  # fmt: skip


def _run(command: list[str], master: str, key: str | None) -> str:
    environment = {**os.environ, "PAGEREC_MASTER": master}
    environment.pop(VARIABLE, None)
    if key is not None:
        environment[VARIABLE] = key
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert ended.returncode == 0, ended.stderr[-3_000:]
    assert "Traceback" not in ended.stderr and "\tat " not in ended.stderr
    return ended.stdout


@pytest.mark.slow  # two more Java processes beside this one: several minutes on 2 cores
def test_demo_runs_on_a_local_cluster(tmp_path):
    options = ["--home", str(tmp_path / "home"), "--page-views", "2000", "--json", "epochs=2"]
    result = json.loads(_run([*CLI, "demo", *options], CLUSTER, None))
    assert result["trained"]["ranks"] == 2
    assert result["scored_page_views"] == 2_000


# --- the same tables --------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Ran:
    """What the steps left in a home, by table and part of the snapshot, and how many processes they ran in."""

    records: dict[str, list[str]]
    processes: int


def _steps(logs: Path, home: Path, master: str) -> Ran:
    said = _run([sys.executable, "-c", STEPS, str(logs), str(home)], master, "a key of its own")
    return Ran(_tables(home) | _snapshots(home), int(said.splitlines()[-1]))


def _tables(home: Path) -> dict[str, list[str]]:
    """Every record of every table, in an order that is its own."""
    found = content(Tables(None, Home(str(home))))  # read without Spark
    return {name: sorted(_comparable(name, json.loads(record)) for record in found[name]) for name in found}


def _comparable(table: str, record: dict) -> str:
    left_out = OF_A_HOME.get(table, set())
    if table == schemas.JOIN_HEALTH.name and record["measure"].startswith("quarantined"):
        left_out = {"day"}  # that of ingestion
    return json.dumps({name: value for name, value in record.items() if name not in left_out}, sort_keys=True)


def _snapshots(home: Path) -> dict[str, list[str]]:
    """Every record of the three parts as it stands in its row group: ranks read them in this order."""
    return {part: _records(home, part) for part in ("train", "validation", "holdout")}


def _records(home: Path, part: str) -> list[str]:
    (folder,) = (home / "snapshots").glob(f"{part}-v*")
    snapshot = Snapshot(folder, manifest_from_json((folder / MANIFEST).read_text()))
    records = []
    for batch in read_batches(snapshot, max(snapshot.manifest.row_groups)):  # a batch is a row group
        lists = [values.tolist() for values in batch.values()]
        records += [f"{dict(zip(batch, record, strict=True))}" for record in zip(*lists, strict=True)]
    return [f"row groups {snapshot.manifest.row_groups}", *records]


def _different(one: dict[str, list[str]], other: dict[str, list[str]]) -> set[str]:
    return {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="module")
def both(folder) -> tuple[Ran, Ran]:
    """One log by the cluster, and by one process."""
    logs = folder / "logs"
    options = ["--out", str(logs), "--page-views", "1500", "--days", "3", "--seed", "5", "--home", str(folder / "key")]
    faults = ["lines_per_file=400", "broken_rate=0.01", "hostile_rate=0.01", "repeated_page_rate=0.05"]
    _run([*CLI, "simulate", *options, *faults], ONE_PROCESS, "a key of its own")
    return _steps(logs, folder / "cluster", CLUSTER), _steps(logs, folder / "one", ONE_PROCESS)


@pytest.mark.slow
def test_a_local_cluster_leaves_the_tables_and_snapshots_of_one_process(both):
    on_cluster, in_one = both
    assert (on_cluster.processes, in_one.processes) == (3, 1)  # the driver, and two executors beside it
    assert in_one.records.keys() >= MADE and all(in_one.records[name] for name in MADE)
    assert _different(on_cluster.records, in_one.records) == set()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(MADE))
def test_one_value_that_is_changed_on_the_disk_is_seen(both, folder, name, tmp_path):
    _, in_one = both
    home = shutil.copytree(folder / "one", tmp_path / "home")
    _change_one_value(home, name)
    assert _different(_tables(home) | _snapshots(home), in_one.records) == {name}


def _change_one_value(home: Path, name: str) -> None:
    """In the newest file of a table, or of a part of the snapshots, with records."""
    files = [*(home / "tables" / name).rglob("part-*.parquet"), *(home / "snapshots").glob(f"{name}-v*/*/*.parquet")]
    file = max((file for file in files if pq.read_metadata(file).num_rows), key=lambda file: file.stat().st_mtime_ns)
    records = pq.ParquetFile(file).read()
    column = next(
        column
        for column in records.column_names
        if column not in OF_A_HOME.get(name, set())
        and column != "records"  # of a block
        and type(records[column][0].as_py()) in (int, str, bytes)
    )
    first, *others = records[column].to_pylist()
    changed = {int: lambda: first ^ 1, str: lambda: first + "?", bytes: lambda: bytes([first[0] ^ 1]) + first[1:]}
    values = pa.array([changed[type(first)](), *others], records.schema.field(column).type)
    pq.write_table(records.set_column(records.column_names.index(column), column, values), file)
