"""Reads the Databricks bundle as the command line would, as far as that can be done without a workspace.

`faults` names what the strict classes of `databricks-bundles` do not see: references to what does not exist.
"""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import yaml
from databricks.bundles.experiments import MlflowExperiment
from databricks.bundles.jobs import Job
from databricks.bundles.registered_models import RegisteredModel
from databricks.bundles.schemas import Schema
from databricks.bundles.volumes import Volume

from tests.bundle_fields import field_faults

ROOT = Path(__file__).parents[1]
STRICT = {
    "jobs": Job,
    "schemas": Schema,
    "volumes": Volume,
    "experiments": MlflowExperiment,
    "registered_models": RegisteredModel,
}
TARGETS = ("dev", "staging", "prod")
KNOWN_ELSEWHERE = {"bundle.name", "bundle.target", "workspace.current_user.userName", "workspace.file_path"}
# Tasks that are named otherwise than the command they run, and the script of each.
SCRIPTS = {"evaluation": "compare", "deployment": "promote", "forget_viewers": "forget"}
HASHING = {"ingest", "forget_viewers"}  # tasks that read user ids and make hashes of them
RUNTIMES = {"15.4.x-cpu-ml-scala2.12", "15.4.x-gpu-ml-scala2.12"}


@dataclasses.dataclass
class Bundle:
    """The files as they stand: `top` is databricks.yml, `files` maps a name under bundles/ to its content."""

    top: dict
    files: dict[str, dict]

    def resources(self, target: str) -> dict[str, dict[str, dict]]:
        """Kind -> key -> resource of a target, its overrides merged in, its variables put in place."""
        merged: dict = {}
        for content in (*self.files.values(), self.top["targets"][target]):
            merged = _merged(merged, content.get("resources", {}))
        return _substituted(merged, self.values(target), target)

    def values(self, target: str) -> dict[str, object]:
        """Every variable's value in a target."""
        defaults = {name: variable.get("default") for name, variable in self.top["variables"].items()}
        return {**defaults, **self.top["targets"][target].get("variables", {})}


def load_bundle() -> Bundle:
    """The bundle of this repository, a fresh copy each time."""
    (pattern,) = load_yaml(ROOT / "databricks.yml")["include"]
    return Bundle(load_yaml(ROOT / "databricks.yml"), {file.name: load_yaml(file) for file in ROOT.glob(pattern)})


def job_of(bundle: Bundle, key: str = "data") -> dict:
    """A job as its file has it, to be looked at or spoilt."""
    return bundle.files[f"{key}.job.yml"]["resources"]["jobs"][key]


def load_yaml(file: Path) -> dict:
    """A YAML file without shared parts, so that a test may change one of them."""
    return _unshared(yaml.safe_load(file.read_text(encoding="utf-8")))


def _unshared(value):
    if isinstance(value, dict):
        return {name: _unshared(part) for name, part in value.items()}
    return [_unshared(part) for part in value] if isinstance(value, list) else value


def _merged(left: dict, right: dict) -> dict:
    both = {
        name: _merged(left[name], right[name]) for name in left.keys() & right.keys() if _are_dicts(left, right, name)
    }
    return {**left, **right, **both}


def _are_dicts(left: dict, right: dict, name: str) -> bool:
    return isinstance(left[name], dict) and isinstance(right[name], dict)


def _substituted(value, values: dict[str, object], target: str):
    if isinstance(value, dict):
        return {name: _substituted(part, values, target) for name, part in value.items()}
    if isinstance(value, list):
        return [_substituted(part, values, target) for part in value]
    if not isinstance(value, str):
        return value
    whole = re.fullmatch(r"\$\{var\.(\w+)\}", value)
    if whole:
        return _substituted(values.get(whole[1]), values, target)
    text = re.sub(r"\$\{var\.(\w+)\}", lambda match: str(_substituted(values.get(match[1]), values, target)), value)
    text = text.replace("${bundle.target}", target).replace("${bundle.name}", "pagerec")
    return text.replace("${workspace.file_path}", str(ROOT))  # where the bundle's files lie once deployed


def strings(value) -> Iterator[str]:
    """Every text inside a value, names of fields included."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield name
            yield from strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from strings(part)
    elif isinstance(value, str):
        yield value


def faults(bundle: Bundle) -> list[str]:
    """What does not exist or makes no sense, one sentence each."""
    found = [*field_faults(bundle.top), *_variable_faults(bundle)]
    for name, content in bundle.files.items():
        for job in content["resources"].get("jobs", {}).values():
            found += [f"{name}: {fault}" for fault in _job_faults(job)]
    for target in TARGETS:
        for job in bundle.resources(target)["jobs"].values():
            found += [f"{target}: {fault}" for fault in _cluster_faults(job)]
    return found


def _variable_faults(bundle: Bundle) -> Iterator[str]:
    texts = [*strings(bundle.top), *strings(list(bundle.files.values()))]
    used = {reference for text in texts for reference in re.findall(r"\$\{([^}]*)\}", text)}
    declared = {f"var.{name}" for name in bundle.top["variables"]}
    made = {
        f"resources.{kind}.{key}.{'id' if kind == 'jobs' else 'name'}"
        for content in bundle.files.values()
        for kind, items in content["resources"].items()
        for key in items
    }
    yield from (f"${{{name}}} is used and not known" for name in sorted(used - declared - made - KNOWN_ELSEWHERE))
    yield from (f"${{{name}}} is declared and not used" for name in sorted(declared - used))
    for name, target in bundle.top["targets"].items():
        unknown = target.get("variables", {}).keys() - bundle.top["variables"].keys()
        yield from (f"target {name} sets an undeclared variable {variable}" for variable in sorted(unknown))


def _job_faults(job: dict) -> Iterator[str]:
    for start in ("schedule", "trigger", "continuous"):
        if "pause_status" in job.get(start, {}):
            yield f"the {start} sets pause_status, so that development mode does not pause it"
    keys = [task["task_key"] for task in job["tasks"]]
    clusters = {cluster["job_cluster_key"] for cluster in job["job_clusters"]}
    seen: set[str] = set()
    for task in job["tasks"]:
        key = task["task_key"]
        yield from _order_faults(task, seen)
        seen.add(key)
        yield from _retry_faults(task)
        if "run_job_task" in task:  # another job, by a reference that is checked as all are
            continue
        script = (ROOT / "bundles" / task["spark_python_task"]["python_file"]).resolve()
        if not script.is_file():
            yield f"task {key}: {task['spark_python_task']['python_file']} does not exist"
        elif script.stem != SCRIPTS.get(key, key):
            yield f"task {key} runs {script.name}"
        if task["job_cluster_key"] not in clusters:
            yield f"task {key}: no cluster {task['job_cluster_key']}"
        if [library.get("whl") for library in task["libraries"]] != ["../dist/*.whl"]:
            yield f"task {key} does not install the wheel"
    yield from (f"two tasks {key}" for key in sorted({key for key in keys if keys.count(key) > 1}))
    yield from _reference_faults(job, clusters)


def _retry_faults(task: dict) -> Iterator[str]:
    """A mail of the task itself goes out at each attempt unless it says otherwise; a job's goes out at the end."""
    if "max_retries" not in task:
        yield f"task {task['task_key']} does not say max_retries"
    told_last = task.get("notification_settings", {}).get("alert_on_last_attempt", False)
    if task.get("max_retries") and "on_failure" in task.get("email_notifications", {}) and not told_last:
        yield f"task {task['task_key']} tells of every attempt"


def _order_faults(task: dict, earlier: set[str]) -> Iterator[str]:
    for dependency in task.get("depends_on", []):
        if dependency["task_key"] not in earlier:  # unknown, itself, or later: a job file reads in order
            yield f"task {task['task_key']} depends on {dependency['task_key']}, which is no earlier task"


def _reference_faults(job: dict, clusters: set[str]) -> Iterator[str]:
    unused = clusters - {task.get("job_cluster_key") for task in job["tasks"]}
    yield from (f"cluster {name} is not used" for name in sorted(unused))
    declared = {parameter["name"] for parameter in job["parameters"]}
    used = {name for text in strings(job["tasks"]) for name in re.findall(r"\{\{job\.parameters\.(\w+)\}\}", text)}
    braces = {inner for text in strings(job) for inner in re.findall(r"\{\{(.*?)\}\}", text)}
    yield from (f"job parameter {name} is used and not declared" for name in sorted(used - declared))
    yield from (f"job parameter {name} is declared and not used" for name in sorted(declared - used))
    for inner in sorted(braces):
        if not re.fullmatch(r"job\.parameters\.\w+|task\.name|secrets/[^/]+/[\w-]+", inner):
            yield f"{{{{{inner}}}}} is no job parameter and no secret"


def _cluster_faults(job: dict) -> Iterator[str]:
    for cluster in job["job_clusters"]:
        key, made = cluster["job_cluster_key"], cluster["new_cluster"]
        if made["spark_version"] not in RUNTIMES:
            yield f"cluster {key}: runtime {made['spark_version']} does not ship Horovod and TensorFlow"
        if not (isinstance(made["num_workers"], int) and made["num_workers"] >= 1):
            yield f"cluster {key}: num_workers {made['num_workers']}"
        if made["spark_env_vars"].get("TF_USE_LEGACY_KERAS") != "1":
            yield f"cluster {key} does not set TF_USE_LEGACY_KERAS=1"
        tasks = {task["task_key"] for task in job["tasks"] if task.get("job_cluster_key") == key}
        if ("PAGEREC_KEY" in made["spark_env_vars"]) != bool(tasks & HASHING):
            yield f"cluster {key}: PAGEREC_KEY is for the tasks that hash user ids, and only for them"
    ranks = next((int(parameter["default"]) for parameter in job["parameters"] if parameter["name"] == "ranks"), 1)
    if 24 % ranks:
        yield f"{ranks} ranks do not divide the 24 row groups"


def task_parameters(task: dict, job: dict, **chosen: str) -> list[str]:
    """What a task's script gets when its job is run with some parameters other than their defaults."""
    values = {parameter["name"]: str(parameter["default"]) for parameter in job["parameters"]} | chosen
    return [
        re.sub(r"\{\{job\.parameters\.(\w+)\}\}", lambda match: values[match[1]], text).replace(
            "{{task.name}}", task["task_key"]
        )
        for text in task["spark_python_task"]["parameters"]
    ]
