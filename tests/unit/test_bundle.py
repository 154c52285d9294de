"""What `databricks bundle validate --strict` would say, as far as it can be said without a workspace."""

import re
from pathlib import Path

import click
import pytest

from pagerec_dbx.cli import cli
from tests.bundle import ROOT, STRICT, TARGETS, Bundle, faults, job_of, load_bundle, strings, task_parameters
from tests.job_runner import cluster_environment


@pytest.fixture
def bundle() -> Bundle:
    return load_bundle()


@pytest.mark.parametrize("target", TARGETS)
def test_bundle_resources_pass_the_strict_classes(bundle, target):
    for kind, items in bundle.resources(target).items():
        for resource in items.values():
            STRICT[kind].from_dict(resource)


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("jobs", "max_concurent_runs"),
        ("schemas", "catalog"),
        ("volumes", "type"),
        ("experiments", "description"),
        ("registered_models", "description"),
    ],
)
def test_bundle_strict_classes_refuse_a_misspelled_field(bundle, kind, field):
    resource = next(iter(bundle.resources("dev")[kind].values()))
    with pytest.raises(ValueError, match=field):
        STRICT[kind].from_dict({**resource, field: "x"})


def test_bundle_strict_classes_refuse_a_misspelled_field_of_a_task(bundle):
    job = job_of(bundle)
    job["tasks"][0]["spark_python_task"]["python_files"] = "x"
    with pytest.raises(ValueError, match="python_files"):
        STRICT["jobs"].from_dict(job)


def test_bundle_has_no_fault(bundle):
    assert faults(bundle) == []


def test_bundle_has_the_targets_that_are_tested(bundle):
    assert tuple(bundle.top["targets"]) == TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_bundle_s_files_that_jobs_name_exist(bundle, target):
    """`${workspace.file_path}` is where this tree lies once it is deployed."""
    files = {Path(text) for text in strings(bundle.resources(target)) if text.startswith(f"{ROOT}/")}
    assert {file.name for file in files} == {"legacy-study.json"}
    assert all(file.is_file() for file in files)


def test_runbook_has_a_row_for_each_task_and_no_other(bundle):
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8").partition("## When an alert comes")[2]
    rows = [line for line in text.partition("\n## ")[0].splitlines() if line.startswith("| ")][1:]
    named = {name for row in rows for name in re.findall("`([^`]*)`", row.split("|")[1])} - {"is held by"}
    jobs = bundle.resources("prod")["jobs"]
    assert named == {task["task_key"] for job in jobs.values() for task in job["tasks"]}


def test_bundle_has_a_resource_of_each_kind_in_a_file_of_its_name(bundle):
    kinds = []
    for name, content in bundle.files.items():
        ((kind, items),) = content["resources"].items()
        ((key, _),) = items.items()
        assert name == f"{key}.{kind.removesuffix('s')}.yml"
        kinds.append(kind)
    assert set(kinds) == set(STRICT)


def test_bundle_has_a_task_for_each_script(bundle):
    jobs = bundle.resources("dev")["jobs"].values()
    scripts = {script_of(task) for job in jobs for task in job["tasks"] if "run_job_task" not in task}
    assert scripts == {script.stem for script in (ROOT / "jobs").glob("*.py")}


def script_of(task: dict) -> str:
    return Path(task["spark_python_task"]["python_file"]).stem


@pytest.mark.parametrize("target", TARGETS)
def test_bundle_tells_of_every_failure_but_a_missing_approval(bundle, target):
    jobs = bundle.resources(target)["jobs"]
    for key, job in jobs.items():
        assert job["email_notifications"]["on_duration_warning_threshold_exceeded"] == ["pagerec-alerts@example.com"]
        assert job["health"]["rules"][0]["value"] < job["timeout_seconds"]
        assert job["max_concurrent_runs"] == 1 and job["queue"]["enabled"]
        assert all(task["timeout_seconds"] <= job["timeout_seconds"] for task in job["tasks"])
        assert ("on_failure" in job["email_notifications"]) == (key != "deployment")
    alerts = {task["task_key"]: "email_notifications" in task for task in jobs["deployment"]["tasks"]}
    assert alerts == {"evaluation": True, "approval": False, "deployment": True}
    retries = {task["task_key"]: task["max_retries"] for task in jobs["deployment"]["tasks"]}
    assert retries["approval"] == 0 < retries["evaluation"]


def test_bundle_s_variables_are_set_for_the_tasks_that_tests_run():
    """What is left out: the key, and the names of model and experiment, which a workspace gives."""
    threads = {"TF_NUM_INTRAOP_THREADS": "4", "TF_NUM_INTEROP_THREADS": "2"}
    assert cluster_environment() == {"TF_USE_LEGACY_KERAS": "1", **threads}


def test_bundle_has_a_deployment_job_in_mlflow_s_shape(bundle):
    job = bundle.resources("prod")["jobs"]["deployment"]
    assert {"model_name", "model_version"} <= {parameter["name"] for parameter in job["parameters"]}
    assert [task["task_key"] for task in job["tasks"]] == ["evaluation", "approval", "deployment"]
    approval = job["tasks"][1]
    assert task_parameters(approval, job, model_version="7")[-3:] == ["7", "--tag", "approval"]


def test_bundle_runs_production_as_the_principal_from_one_path(bundle):
    for target in ("staging", "prod"):
        settings = bundle.top["targets"][target]
        assert settings["mode"] == "production"
        assert settings["run_as"] == {"service_principal_name": "${var.service_principal}"}
        assert settings["workspace"]["root_path"].startswith("/Workspace/Users/${var.service_principal}/")
    assert bundle.top["targets"]["dev"] | {"variables": {}} == {"mode": "development", "default": True, "variables": {}}


@pytest.mark.parametrize("target", ["staging", "prod"])
def test_bundle_lets_the_principal_manage_and_the_analysts_read(bundle, target):
    resources, principal = bundle.resources(target), bundle.values(target)["service_principal"]
    granted = {kind: {grant["principal"]: grant["privileges"] for grant in resources[kind]["pagerec"]["grants"]}
               for kind in ("schemas", "registered_models")}  # fmt: skip
    assert granted == {
        "schemas": {principal: ["ALL_PRIVILEGES"], "pagerec-analysts": ["USE_SCHEMA", "SELECT"]},
        "registered_models": {principal: ["ALL_PRIVILEGES", "MANAGE"], "pagerec-analysts": ["EXECUTE"]},
    }
    assert "grants" not in resources["volumes"]["files"]  # of its own: page views lie there on their way to training


def test_bundle_puts_the_targets_schemas_apart(bundle):
    names = [bundle.resources(target)["schemas"]["pagerec"]["name"] for target in TARGETS]
    assert len(set(names)) == len(TARGETS)


def parse(command: str, parameters: list[str]) -> None:
    """What the command line would say to these parameters, without running anything."""
    cli.commands[command].make_context(command, list(parameters)).close()


def test_bundle_parameters_are_understood_by_the_commands(bundle):
    for job in bundle.resources("dev")["jobs"].values():
        for task in job["tasks"]:
            if "run_job_task" not in task:
                parse(script_of(task), task_parameters(task, job))


def test_bundle_deletes_what_is_due_every_night(bundle):
    job = bundle.resources("prod")["jobs"]["forget"]
    assert job["schedule"]["quartz_cron_expression"] == "0 30 3 * * ?"
    assert [task_parameters(task, job)[-1] for task in job["tasks"]] == ["--vacuum"]


@pytest.mark.parametrize(
    ("key", "chosen", "given"),
    [
        ("rollback", {}, []),
        ("forget_viewers", {"ids": "/Volumes/a/b/ids.txt"}, ["--user-id-file", "/Volumes/a/b/ids.txt"]),
        (
            "scoring",
            {"version": "7", "from": "2024-01-01", "to": "2024-02-01"},
            ["--version", "7", "--from", "2024-01-01", "--to", "2024-02-01"],
        ),
    ],
)
def test_bundle_has_a_job_for_what_is_done_by_hand(bundle, key, chosen, given):
    job = bundle.resources("prod")["jobs"][key]
    assert "schedule" not in job
    assert task_parameters(job["tasks"][0], job, **chosen)[2:] == given


def test_bundle_parameter_that_no_command_knows_is_refused():
    with pytest.raises(click.UsageError, match="--hom2"):
        parse("ingest", ["--hom2", "h", "--logs", "l"])
