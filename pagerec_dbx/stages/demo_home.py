"""A demo's home holds a demo's logs and no others: its hashing key is derived from a number that anyone can read."""

from pathlib import Path

from pyspark.sql import functions as F

from pagerec_dbx.errors import UsageError
from pagerec_dbx.home import Home
from pagerec_dbx.schemas import INGESTED_FILES
from pagerec_dbx.tables import Tables

FOLDER = "logs-raw"


def demo_logs(home: Home) -> Path:
    """The folder in which a demo keeps its raw logs; only a demo's home has it."""
    return home.folder / FOLDER


def require_no_demo(home: Home, logs: Path) -> None:
    """Refuse to ingest logs from elsewhere into a demo's home.

    Raises:
        UsageError: the home is a demo's, and the logs are not its own.
    """
    own = demo_logs(home).resolve()
    if own.is_dir() and logs.is_dir() and own not in logs.resolve().parents:
        raise UsageError(
            f"home {home.name} belongs to a demo, whose hashing key is no secret",
            wanted=f"logs in {own}",
            got=str(logs),
            fix="Choose another --home for logs of your own",
        )


def require_demo(tables: Tables) -> None:
    """Refuse to run a demo where other logs were ingested: its page views would be mixed with those.

    Raises:
        UsageError: the home holds a file that is not among the demo's logs.
    """
    if not tables.exists(INGESTED_FILES):
        return
    # By the folder's name alone: the home may be named by another path today, or have been moved.
    foreign = tables.read(INGESTED_FILES).where(~F.col("file").contains(f"/{FOLDER}/")).first()
    if foreign is not None:
        raise UsageError(
            f"home {tables.home.name} holds logs that are no demo's",
            wanted=f"files of {demo_logs(tables.home)}",
            got=foreign["file"],
            fix="Choose another --home for the demo",
        )
