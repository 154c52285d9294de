"""What `prepare` leaves in a home, without what differs between two homes: the clock, Delta's ids and versions."""

import dataclasses
import json

from pagerec_dbx.features.preparation import latest_preparation
from pagerec_dbx.features.snapshot import File, Snapshot, open_snapshot, read_batches
from pagerec_dbx.pipelines.cuts import SPLITS
from pagerec_dbx.schemas import EXAMPLES, PREPARATIONS, VOCABULARIES
from pagerec_dbx.tables import Tables

# A run that is killed and repeated may have written `examples` twice, and names of snapshots follow the versions.
_OF_ITS_HOME = (
    "prepared_at", "preparation_id", "labelled_table", "labelled_version", "examples_table", "examples_version",
    "train_snapshot", "validation_snapshot", "holdout_snapshot",
)  # fmt: skip
_OF_ITS_FOLDER = ("name", "table_version", "created_at", "files")


def prepared_content(tables: Tables) -> dict[str, list[str]]:
    """Vocabularies, examples, preparations and the three snapshots as sorted text, by name."""
    of_tables = {table.name: sorted(map(str, tables.read(table).collect())) for table in (VOCABULARIES, EXAMPLES)}
    snapshots = {f"snapshot of {split}": _snapshot(tables, split) for split in SPLITS}
    return {**of_tables, "preparations": preparations(tables), "snapshots": _folders(tables), **snapshots}


def preparations(tables: Tables) -> list[str]:
    """The preparations; a run that is killed at its end and repeated adds the same once more, which is shown once."""
    records = tables.read(PREPARATIONS).drop(*_OF_ITS_HOME).collect()
    return sorted({json.dumps(record.asDict(recursive=True), sort_keys=True, default=str) for record in records})


def _snapshot(tables: Tables, split: str) -> list[str]:
    """The manifest, then the records of each file in their order."""
    snapshot = open_snapshot(latest_preparation(tables).folder(tables.home, split))
    facts = dataclasses.asdict(snapshot.manifest)
    for name in _OF_ITS_FOLDER:
        facts.pop(name)
    return [
        json.dumps(facts, sort_keys=True, default=str),
        *(_records(snapshot, file) for file in snapshot.manifest.files),
    ]


def _records(snapshot: Snapshot, file: File) -> str:
    """One file's records in their order, wherever a packed one divides its blocks."""
    one = Snapshot(snapshot.folder, dataclasses.replace(snapshot.manifest, files=(file,)))
    (records,) = read_batches(one, snapshot.manifest.records)
    return str({name: values.tolist() for name, values in records.items()})


def _folders(tables: Tables) -> list[str]:
    """Which folders of snapshots are there, and whether the newest preparation names them."""
    newest = latest_preparation(tables)
    names = {newest.folder_name(split): split for split in SPLITS}
    folders = [folder.name for folder in tables.home.snapshots.iterdir() if not folder.name.startswith(".")]
    return sorted(names.get(name, f"{name.partition('-')[0]} of another time") for name in folders)
