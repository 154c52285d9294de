"""Homes that benchmarks measure in: made by the package's own commands, once."""

from collections.abc import Sequence
from pathlib import Path

from pagerec_dbx.cli import run_command


def run(*command: str) -> None:
    """One command of the package; where it fails the benchmark ends."""
    if run_command(list(command)):
        raise SystemExit(f"{command[0]} failed; the line above says why")


def prepared_home(logs: Path, home: Path, make_logs: Sequence[str], prepare: Sequence[str] = ()) -> str:
    """Make logs, ingest, join and prepare, unless it was all done before; the home's name.

    Args:
        logs, home: folders.
        make_logs: the command that makes the logs, without `--out` and `--home`.
        prepare: settings of the preparation.
    """
    name = str(home)
    if not (home / "snapshots").exists():
        run(*make_logs, "--out", str(logs), "--home", name)
        run("ingest", "--logs", str(logs), "--home", name)
        run("join", "--home", name)
        run("prepare", "--home", name, *prepare)
    return name
