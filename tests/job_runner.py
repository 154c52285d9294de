"""Runs the bundle's jobs task by task, each script with the parameters the bundle gives it, on a local cluster."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path

from tests.bundle import ROOT, load_bundle, task_parameters
from tests.wheel import WheelEnvironment

WELL, SKIPPED = "well", "skipped"

# The driver of a cluster: one Spark session for all tasks, as a job cluster has, each script run from its first line.
# A task is successful if its script returns; a runtime may take even `sys.exit(0)` for a failure.
_DRIVER = """
import contextlib, io, json, os, runpy, sys, traceback
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what engines print is no answer
for line in sys.stdin:
    script, *parameters = json.loads(line)
    sys.argv, said, failed = [script, *parameters], io.StringIO(), True
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            runpy.run_path(script, run_name="__main__")
            failed = False
        except SystemExit as end:
            print(end)
        except BaseException:
            traceback.print_exc()
    print(json.dumps([failed, said.getvalue()]), file=answers, flush=True)
"""


@dataclasses.dataclass(frozen=True)
class Deployment:
    """What `databricks bundle deploy` leaves where tasks run: the wheel, installed, and the bundle's files.

    Attributes:
        environment: in it the wheel; nothing of the source tree but the scripts lies there.
        cluster: the process that runs the tasks.
        chosen: parameters other than the jobs' defaults, for every run.
    """

    environment: WheelEnvironment
    cluster: subprocess.Popen
    chosen: Mapping[str, str]

    @property
    def files(self) -> Path:
        """Where the bundle's files are."""
        return self.environment.folder / "files"

    def run(
        self,
        key: str,
        before: Mapping[str, str] | None = None,
        only: Collection[str] | None = None,
        **chosen: str,
    ) -> dict[str, str]:
        """Task -> how it ended: well, skipped after a task that did not, or what it said on standard error.

        Args:
            key: of the job.
            before: how the tasks of a failed run ended; what went well is not run again, as in a repair run.
            only: the tasks to run, as `bundle run --only` takes them; all by default.
            chosen: parameters of this run.
        """
        job = load_bundle().resources("dev")["jobs"][key]
        parameters = {parameter["name"] for parameter in job["parameters"]}
        values = {name: value for name, value in {**self.chosen, **chosen}.items() if name in parameters}
        ends: dict[str, str] = {}
        for task in job["tasks"]:
            name = task["task_key"]
            waits_for = [one["task_key"] for one in task.get("depends_on", [])]
            if only is not None and name not in only:
                continue
            if (before or {}).get(name) == WELL:
                ends[name] = WELL
            elif any(ends.get(one, WELL) != WELL for one in waits_for):
                ends[name] = SKIPPED
            elif "run_job_task" in task:
                ends[name] = self._started(task["run_job_task"])
            else:
                ends[name] = self._ended(task["spark_python_task"], task_parameters(task, job, **values))
        return ends

    def _started(self, task: dict) -> str:
        """A job that a task starts, with its own defaults: well if all its tasks were."""
        key = re.fullmatch(r"\$\{resources\.jobs\.(\w+)\.id\}", task["job_id"])[1]
        return "; ".join(end for end in self.run(key).values() if end != WELL) or WELL

    def _ended(self, task: dict, parameters: list[str]) -> str:
        """WELL, or what the task said."""
        script = (self.files / "bundles" / task["python_file"]).resolve()
        self.cluster.stdin.write(json.dumps([str(script), *parameters]) + "\n")
        self.cluster.stdin.flush()
        answer = self.cluster.stdout.readline()
        assert answer, f"the cluster died of {script.name} {parameters}"
        failed, said = json.loads(answer)
        return said if failed else WELL


def cluster_environment() -> dict[str, str]:
    """What the bundle's clusters set that means the same here: no secret, and no name that a workspace gives.

    One process runs the tasks of all clusters, so none may set a variable to something else than another does.
    """
    jobs = load_bundle().resources("dev")["jobs"].values()
    clusters = [cluster["new_cluster"]["spark_env_vars"] for job in jobs for cluster in job["job_clusters"]]
    together: dict[str, str] = {}
    for variables in clusters:
        plain = {name: value for name, value in variables.items() if not re.search(r"\$\{|\{\{", value)}
        assert all(together.get(name, value) == value for name, value in plain.items()), (together, plain)
        together |= plain
    return together


def deploy(environment: WheelEnvironment, variables: Mapping[str, str], chosen: Mapping[str, str]) -> Deployment:
    """Install the wheel, copy what the jobs name of the bundle's files, and start the driver that runs the tasks.

    Args:
        variables: of the driver's environment, and so of its executors', beside those that the clusters set.
        chosen: parameters other than the jobs' defaults, for every run.
    """
    installed = environment.pip("install", "--no-deps", environment.wheel)
    assert installed.returncode == 0, installed.stderr
    files, legacy = environment.folder / "files", Path("pagerec_dbx/examples/legacy-study.json")
    (files / "bundles").mkdir(parents=True)
    shutil.copytree(ROOT / "jobs", files / "jobs")
    (files / legacy).parent.mkdir(parents=True)
    shutil.copy(ROOT / legacy, files / legacy)
    cluster = environment.start("-c", _DRIVER, **{**cluster_environment(), **variables})
    return Deployment(environment, cluster, {"legacy": str(files / legacy), **chosen})


def no_tree_on(environment: WheelEnvironment) -> bool:
    """Whether a task imports the package from the wheel, and finds nothing of the source tree on its path."""
    shown = environment.run("-c", "import pagerec_dbx, sys; print(pagerec_dbx.__file__, *sys.path, sep='\\n')")
    package, *path = shown.stdout.split("\n")
    return package.startswith(str(environment.folder)) and not any(
        entry and os.path.exists(os.path.join(entry, "databricks.yml")) for entry in path
    )
