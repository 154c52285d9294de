"""Runs the bundle's jobs task by task, each script in a process of its own, with the parameters the bundle gives it."""

import dataclasses
import os
import re
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from tests.bundle import ROOT, load_bundle, task_parameters
from tests.wheel import WheelEnvironment

WELL, SKIPPED = "well", "skipped"


@dataclasses.dataclass(frozen=True)
class Deployment:
    """What `databricks bundle deploy` leaves where tasks run: the wheel, installed, and the bundle's files.

    Attributes:
        environment: in it the wheel; nothing of the source tree but the scripts lies there.
        variables: of the environment of every task.
        chosen: parameters other than the jobs' defaults, for every run.
    """

    environment: WheelEnvironment
    variables: Mapping[str, str]
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
        """`well` where a runtime would call the task successful: the script returned, without even `sys.exit(0)`."""
        script = (self.files / "bundles" / task["python_file"]).resolve()
        # A runtime runs the script in a process that goes on: SystemExit of any kind is a failure there.
        code = f"import runpy, sys\nsys.argv = {[str(script), *parameters]!r}\n"
        code += f"try:\n    runpy.run_path({str(script)!r}, run_name='__main__')\n"
        code += "except SystemExit as end:\n    print(end, file=sys.stderr)\n    sys.exit(77)\n"
        ended = self.environment.run("-c", code, **self.variables)
        return WELL if ended.returncode == 0 else ended.stderr or f"exit code {ended.returncode}, no word"


def deploy(environment: WheelEnvironment, variables: Mapping[str, str], chosen: Mapping[str, str]) -> Deployment:
    """Install the wheel, and copy what the jobs name of the bundle's files: scripts and the legacy's figures."""
    installed = environment.pip("install", "--no-deps", environment.wheel)
    assert installed.returncode == 0, installed.stderr
    deployment = Deployment(environment, variables, chosen)
    legacy = Path("pagerec_dbx/examples/legacy-study.json")
    (deployment.files / "bundles").mkdir(parents=True)
    shutil.copytree(ROOT / "jobs", deployment.files / "jobs")
    (deployment.files / legacy).parent.mkdir(parents=True)
    shutil.copy(ROOT / legacy, deployment.files / legacy)
    return dataclasses.replace(deployment, chosen={"legacy": str(deployment.files / legacy), **chosen})


def no_tree_on(environment: WheelEnvironment) -> bool:
    """Whether a task imports the package from the wheel, and finds nothing of the source tree on its path."""
    shown = environment.run("-c", "import pagerec_dbx, sys; print(pagerec_dbx.__file__, *sys.path, sep='\\n')")
    package, *path = shown.stdout.split("\n")
    return package.startswith(str(environment.folder)) and not any(
        entry and os.path.exists(os.path.join(entry, "databricks.yml")) for entry in path
    )
