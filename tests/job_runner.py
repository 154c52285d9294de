"""Runs the bundle's jobs task by task, each script in this process with the parameters that the bundle gives it."""

import runpy
from collections.abc import Mapping

import pytest

from tests.bundle import ROOT, load_bundle, task_parameters

WELL, SKIPPED = "well", "skipped"


def run_job(key: str, chosen: Mapping[str, str], before: Mapping[str, str] | None = None) -> dict[str, str]:
    """Task -> how it ended: well, skipped after a task that did not, or what it said.

    Args:
        chosen: parameters other than the job's defaults; a job that a task starts gets its own defaults and these too.
        before: how the tasks of a failed run ended; what went well is not run again, as in a repair run.
    """
    jobs = load_bundle().resources("dev")["jobs"]
    ends: dict[str, str] = {}
    for task in jobs[key]["tasks"]:
        name = task["task_key"]
        if (before or {}).get(name) == WELL:
            ends[name] = WELL
        elif any(ends[one["task_key"]] != WELL for one in task.get("depends_on", [])):
            ends[name] = SKIPPED
        elif "run_job_task" in task:
            started = task["run_job_task"]["job_id"].removeprefix("${resources.jobs.").removesuffix(".id}")
            faults = {one: end for one, end in run_job(started, chosen).items() if end != WELL}
            ends[name] = "; ".join(faults.values()) or WELL
        else:
            ends[name] = _ended(task, task_parameters(task, jobs[key], **chosen))
    return ends


def _ended(task: dict, parameters: list[str]) -> str:
    """`well` where a runtime would call the task successful: the script returned, without even a `sys.exit(0)`."""
    script = str((ROOT / "bundles" / task["spark_python_task"]["python_file"]).resolve())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", [script, *parameters])
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as end:
            return str(end)
    return WELL
