"""Homes that benchmarks measure in: made by the package's own commands, once."""

from collections.abc import Sequence
from pathlib import Path

from pagerec_dbx.cli import run_command
from pagerec_dbx.home import write_atomically


def run(*command: str) -> None:
    """One command of the package; where it fails the benchmark ends."""
    if run_command(list(command)):
        raise SystemExit(f"{command[0]} failed; the line above says why")


def prepared_home(logs: Path, home: Path, make_logs: Sequence[str], prepare: Sequence[str] = ()) -> str:
    """Make logs, ingest, join and prepare, unless all of it was done before in the same way; the home's name.

    Beside the home lies a note of how it was made, written last: what was stopped halfway is not taken for done.

    Args:
        logs, home: folders.
        make_logs: the command that makes the logs, without `--out` and `--home`.
        prepare: settings of the preparation.
    """
    name, note = str(home), home.with_name(f"{home.name} made.txt")
    made = " ".join([*make_logs, "prepare", *prepare])
    if note.exists() and note.read_text() == made:
        return name
    if home.exists():
        raise SystemExit(f"{home} was not finished, or made otherwise: wanted {made}. Remove it, or use another folder")
    run(*make_logs, "--out", str(logs), "--home", name)
    run("ingest", "--logs", str(logs), "--home", name)
    run("join", "--home", name)
    run("prepare", "--home", name, *prepare)
    write_atomically(note, made)
    return name
