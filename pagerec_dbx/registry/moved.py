"""A home that was moved or copied takes its registry along, though MLflow's database holds absolute addresses."""

import contextlib
import functools
import sqlite3
from pathlib import Path

from pagerec_dbx.errors import RegistryError

ARTIFACTS = "mlartifacts"  # the folder of a home in which MLflow keeps files
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


@functools.cache
def follow_home(database: Path, artifacts: str) -> None:
    """Have a registry look for its files beside its database, wherever they were when it was written.

    Once a process; nothing is written where nothing has moved.

    Args:
        database: MLflow's SQLite file; one that is not there yet is fine.
        artifacts: URI of the folder of files beside it.

    Raises:
        RegistryError: it was moved, and the database cannot be written or is none.
    """
    if not database.exists():
        return
    try:
        # All of it or nothing: a connection as a context commits.
        with contextlib.closing(sqlite3.connect(database, timeout=30)) as connection, connection:
            for before in _elsewhere(connection, artifacts):
                for table, column in _PLACES:
                    connection.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                        (artifacts, len(before) + 1, len(before), before),
                    )
    except sqlite3.Error as error:
        raise RegistryError(
            f"the registry {database} cannot be opened",
            wanted="one that may be written, for its home was moved or is being made",
            got=str(error),
            fix="Check its permissions and the disk",
        ) from error


def _elsewhere(connection: sqlite3.Connection, artifacts: str) -> list[str]:
    """Folders of files that belong to this home and lie elsewhere."""
    tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'experiments'").fetchone()
    if not tables[0]:
        return []  # it is just being made
    places = connection.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
    return [place for (place,) in places if place != artifacts and place.endswith(f"/{ARTIFACTS}")]
