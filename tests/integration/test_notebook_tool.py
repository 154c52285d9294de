"""tools/notebooks.py: notebooks made Jupyter's, executed in kernels with chosen widget values, and opened."""

import runpy
import sys
from types import SimpleNamespace

import pytest

from tests.bundle import ROOT

pytest.importorskip("nbclient", reason="the runtime's environment has no Jupyter; `make test` runs this")
SOURCE = """# Databricks notebook source
from pagerec_dbx.notebooks.desk import open_desk

desk = open_desk(globals())
desk.widgets.text("home", "nowhere", "Home")
desk.offer("metric", ["ndcg", "hit_at_1"], "Metric")
desk.offer_several("rows", ["(none)", "a, b", "c"], "Rows")

# COMMAND ----------

desk.make_widgets()

# COMMAND ----------

desk.display(f"{desk.widgets.get('home')} {desk.chosen('metric')} {desk.selected('rows')}")
"""
FAILING = "# Databricks notebook source\nraise KeyError('one of ours')\n"


@pytest.fixture
def tool(tmp_path, monkeypatch) -> SimpleNamespace:
    """The tool, with sources of its own."""
    monkeypatch.setenv("PATH", "/usr/bin")  # which it puts this environment before
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "choose.py").write_text(SOURCE)
    found = runpy.run_path(str(ROOT / "tools/notebooks.py"))
    found["convert_all"].__globals__["SOURCES"] = sources
    return SimpleNamespace(**found)


def shown(notebook) -> list[str]:
    """The sentences that a notebook displayed."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return [output.data["text/markdown"] for output in outputs if "text/markdown" in output.get("data", {})]


def test_a_kernel_s_controls_take_the_values_that_are_given(tool):
    notebook = tool.converted(SOURCE)
    given = tool.executed(notebook, home="demo", metric="hit_at_1", rows="a%2C b,c")
    assert shown(given) == ["demo hit_at_1 ['a, b', 'c']"]
    assert shown(tool.executed(notebook)) == ["nowhere ndcg []"]  # the control: its defaults


def test_all_are_executed_in_place_and_one_that_fails_is_named(tool, tmp_path, monkeypatch, capsys):
    (tmp_path / "sources/fail.py").write_text(FAILING)
    folder = tmp_path / "made"
    monkeypatch.setattr(sys, "argv", ["notebooks.py", "--folder", str(folder), "--execute"])
    assert tool.main() == 1
    told = capsys.readouterr()
    assert told.out.startswith("choose.ipynb: ") and "fail.ipynb failed" in told.err and "one of ours" in told.err
    assert shown(tool.nbformat.read(folder / "choose.ipynb", as_version=4)) == ["nowhere ndcg []"]


def test_they_are_opened_in_this_environment_s_jupyterlab(tool, tmp_path, monkeypatch):
    started: list = []
    monkeypatch.setattr("os.execv", lambda *call: started.append(call))
    monkeypatch.setattr("shutil.which", lambda name: f"/env/{name}")
    monkeypatch.setattr(sys, "argv", ["notebooks.py", "--folder", str(tmp_path / "made")])
    tool.main()
    ((program, arguments),) = started
    assert program == "/env/jupyter-lab" and f"--ServerApp.root_dir={tmp_path / 'made'}" in arguments
    assert [file.name for file in (tmp_path / "made").iterdir()] == ["choose.ipynb"]
