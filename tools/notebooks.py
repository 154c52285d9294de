"""Turns the notebooks under jobs/notebooks/ into Jupyter's form, and opens them in JupyterLab or executes them all.

Usage: notebooks.py [--folder FOLDER] [--execute]
"""

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from pagerec_dbx.errors import UsageError

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "jobs/notebooks"
_MARK, _CUT, _MAGIC = "# Databricks notebook source\n", "# COMMAND ----------\n", "# MAGIC"


def converted(source: str) -> nbformat.NotebookNode:
    """A notebook in Databricks' source format as one of Jupyter's.

    Raises:
        UsageError: it does not begin as one, or uses a magic other than %md.
    """
    if not source.startswith(_MARK):
        raise UsageError(
            "no notebook in source format",
            wanted=f"{_MARK.strip()!r} first",
            got=repr(source[:40]),
            fix="Export it from Databricks as a source file",
        )
    parts = (part.strip("\n") for part in source.removeprefix(_MARK).split(_CUT))
    cells = [_cell(part) for part in parts if part]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"  # the same each time
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def _cell(part: str) -> nbformat.NotebookNode:
    if not part.startswith(_MAGIC):
        return nbformat.v4.new_code_cell(part)
    lines = [line.removeprefix(_MAGIC).removeprefix(" ") for line in part.split("\n")]
    if lines[0] != "%md":
        raise UsageError(
            "a cell has a magic that Jupyter has not", wanted="%md", got=lines[0], fix="Write the cell in Python"
        )
    return nbformat.v4.new_markdown_cell("\n".join(lines[1:]))


def convert_all(folder: Path) -> list[Path]:
    """Every notebook, written anew into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for source in sorted(SOURCES.glob("*.py")):
        written.append(folder / f"{source.stem}.ipynb")
        nbformat.write(converted(source.read_text(encoding="utf-8")), written[-1])
    return written


def executed(notebook: nbformat.NotebookNode, **choices: str) -> nbformat.NotebookNode:
    """A notebook with what its cells showed, its widgets at some values other than their defaults.

    Raises:
        CellExecutionError: a cell failed.
    """
    given = f"import sys\nsys.argv[1:] = {[f'{name}={value}' for name, value in choices.items()]!r}"
    first = nbformat.v4.new_code_cell(given, id="choices")
    run = nbformat.v4.new_notebook(cells=[first, *notebook.cells], metadata=notebook.metadata)
    NotebookClient(run, timeout=600, kernel_name="python3").execute()
    return run


def _execute_all(files: list[Path]) -> int:
    failed = 0
    for file in files:
        started = time.perf_counter()
        try:
            nbformat.write(executed(nbformat.read(file, as_version=4)), file)
            print(f"{file.name}: {time.perf_counter() - started:.0f} s")
        except CellExecutionError as error:
            failed += 1
            print(f"{file.name} failed: {error}", file=sys.stderr)
    return 1 if failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=ROOT / "notebooks", help="where they are written; made anew")
    parser.add_argument("--execute", action="store_true", help="run them all, without a browser")
    options = parser.parse_args()
    files = convert_all(options.folder)
    # The kernel is this environment's, whatever else is installed for the user.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    if options.execute:
        return _execute_all(files)
    lab = shutil.which("jupyter-lab")
    print(f"pagerec: JupyterLab on {options.folder}; Ctrl-C ends it", file=sys.stderr)
    os.execv(lab, [lab, "--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={options.folder}"])


if __name__ == "__main__":
    sys.exit(main())
