"""The job's tasks, run in their order with the parameters that the bundle gives them, on a small simulated log."""

import json
import runpy

import pytest

from pagerec_dbx.cli import run_command
from pagerec_dbx.home import Home
from pagerec_dbx.schemas import COMPARISONS, PROMOTIONS, RANKED_MENUS
from pagerec_dbx.tables import Tables
from tests.bundle import ROOT, load_bundle, task_parameters

# One rank runs in this process; launches of several are tested elsewhere.
SMALL = {"ranks": "1", "epochs": "2", "batch_size": "16"}


@pytest.fixture(scope="module")
def finished(spark, tmp_path_factory) -> dict[str, str]:
    """Task -> how it ended (`well`, or what it said), after one run of the job; `home` -> the home it ran on."""
    folder = tmp_path_factory.mktemp("job")
    home, logs = str(folder / "home"), str(folder / "logs")
    simulated = ["simulate", "--home", home, "--out", logs, "--page-views", "1500", "--days", "3", "--seed", "5"]
    assert run_command(simulated) == 0
    job = load_bundle().resources("dev")["jobs"]["pagerec"]
    ends = {"home": home}
    with pytest.MonkeyPatch.context() as patch:
        for task in job["tasks"]:
            script = (ROOT / "bundles" / task["spark_python_task"]["python_file"]).resolve()
            parameters = task_parameters(task, job, home=home, logs=logs, **SMALL)
            patch.setattr("sys.argv", [str(script), *parameters])
            ends[task["task_key"]] = run_script(str(script))
    return ends


def run_script(script: str) -> str:
    """`well` where a runtime would call the task successful: the script returned, without even a `sys.exit(0)`."""
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        return str(end)
    return "well"


@pytest.mark.parametrize("task", ["ingest", "join", "prepare", "train", "evaluate", "compare", "promote", "report"])
def test_task_ends_well(finished, task):
    assert finished[task] == "well"


def test_task_score_ends_well_if_there_is_a_champion_and_says_so_if_not(finished, spark):
    tables = Tables(spark, Home(finished["home"]))
    (decision,) = tables.read(PROMOTIONS).collect()
    if decision["promoted"]:
        assert finished["score"] == "well"
        assert tables.read(RANKED_MENUS).count() > 0
    else:
        assert decision["reasons"]
        assert "task `score` failed with exit code 1" in finished["score"]


def test_tasks_leave_what_the_notebook_shows(finished, spark):
    stored = tables_of(finished, spark).read(COMPARISONS).select("challenger", "baseline").distinct().collect()
    baselines = {record["baseline"] for record in stored}
    assert {"floor:random", "floor:page_order", "floor:popularity", "legacy:imported"} <= baselines
    assert {record["challenger"] for record in stored} == {"1"}


def test_tasks_leave_a_report(finished):
    assert list(Home(finished["home"]).reports.glob("*.html"))


def tables_of(finished, spark) -> Tables:
    return Tables(spark, Home(finished["home"]))


def test_task_repeated_gives_the_same_tables(finished, spark, capsys):
    """Ingest takes nothing twice: good and quarantined lines of the second run are none."""
    logs = str(Home(finished["home"]).folder.parent / "logs")
    assert run_command(["ingest", "--home", finished["home"], "--logs", logs, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["read"] == 0
