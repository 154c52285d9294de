"""What `databricks bundle validate --strict` would say, as far as it can be said without a workspace."""

import runpy
from pathlib import Path

import click
import pytest

from pagerec_dbx.cli import cli
from pagerec_dbx.task import run_task, run_task_that_may_refuse
from tests.bundle import ROOT, STRICT, TARGETS, Bundle, faults, load_bundle, task_parameters


@pytest.fixture
def bundle() -> Bundle:
    return load_bundle()


def the_job(bundle: Bundle, key: str = "data") -> dict:
    return bundle.files[f"{key}.job.yml"]["resources"]["jobs"][key]


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
    job = the_job(bundle)
    job["tasks"][0]["spark_python_task"]["python_files"] = "x"
    with pytest.raises(ValueError, match="python_files"):
        STRICT["jobs"].from_dict(job)


def test_bundle_has_no_fault(bundle):
    assert faults(bundle) == []


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
    retries = {task["task_key"]: task.get("max_retries", 0) for task in jobs["deployment"]["tasks"]}
    assert retries["approval"] == 0 < retries["evaluation"]


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


def test_bundle_puts_the_targets_schemas_apart(bundle):
    names = [bundle.resources(target)["schemas"]["pagerec"]["name"] for target in TARGETS]
    assert len(set(names)) == len(TARGETS)


def rename_variable(bundle):
    bundle.top["variables"]["katalog"] = bundle.top["variables"].pop("catalog")
    bundle.top["variables"]["catalog"] = {"description": "x", "default": "y"}


def misspell_variable(bundle):
    the_job(bundle)["job_clusters"][0]["new_cluster"]["node_type_id"] = "${var.data_node}"


def set_unknown_variable_in_target(bundle):
    bundle.top["targets"]["dev"]["variables"]["worker"] = 1


def misspell_target_field(bundle):
    bundle.top["targets"]["dev"]["modus"] = "development"


def misspell_resource(bundle):
    bundle.files["files.volume.yml"]["resources"]["volumes"]["files"]["schema_name"] = "${resources.schemas.page.name}"


def misspell_script(bundle):
    the_job(bundle)["tasks"][0]["spark_python_task"]["python_file"] = "../jobs/ingestion.py"


def swap_scripts(bundle):
    the_job(bundle)["tasks"][0]["spark_python_task"]["python_file"] = "../jobs/join.py"


def misspell_cluster(bundle):
    the_job(bundle)["tasks"][0]["job_cluster_key"] = "dat"


def depend_on_unknown(bundle):
    the_job(bundle)["tasks"][1]["depends_on"] = [{"task_key": "ingestion"}]


def depend_in_a_circle(bundle):
    the_job(bundle)["tasks"][0]["depends_on"] = [{"task_key": "join"}]


def start_an_unknown_job(bundle):
    the_job(bundle)["tasks"][-1]["run_job_task"]["job_id"] = "${resources.jobs.score.id}"


def misspell_job_parameter(bundle):
    the_job(bundle)["tasks"][0]["spark_python_task"]["parameters"][1] = "{{job.parameters.hom}}"


def declare_unused_job_parameter(bundle):
    the_job(bundle)["parameters"].append({"name": "speed", "default": "1"})


def misspell_braces(bundle):
    the_job(bundle)["tasks"][0]["spark_python_task"]["parameters"][1] = "{{job.parameter.home}}"


def repeat_a_task(bundle):
    the_job(bundle)["tasks"].append(the_job(bundle)["tasks"][-1])


def forget_the_wheel(bundle):
    the_job(bundle)["tasks"][0]["libraries"] = []


def take_an_old_runtime(bundle):
    bundle.top["variables"]["train_runtime"]["default"] = "16.4.x-gpu-ml-scala2.12"


def take_no_worker(bundle):
    bundle.top["variables"]["data_workers"]["default"] = 0


def take_five_ranks(bundle):
    bundle.top["variables"]["ranks"]["default"] = "5"


def forget_legacy_keras(bundle):
    del the_job(bundle, "training")["job_clusters"][1]["new_cluster"]["spark_env_vars"]["TF_USE_LEGACY_KERAS"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (rename_variable, "${var.katalog} is declared and not used"),
        (misspell_variable, "${var.data_node} is used and not known"),
        (set_unknown_variable_in_target, "target dev sets an undeclared variable worker"),
        (misspell_target_field, "target dev has an unknown field modus"),
        (misspell_resource, "${resources.schemas.page.name} is used and not known"),
        (misspell_script, "ingestion.py does not exist"),
        (swap_scripts, "task ingest runs join.py"),
        (misspell_cluster, "task ingest: no cluster dat"),
        (depend_on_unknown, "task join depends on ingestion"),
        (depend_in_a_circle, "task ingest depends on join"),
        (start_an_unknown_job, "${resources.jobs.score.id} is used and not known"),
        (misspell_job_parameter, "job parameter hom is used and not declared"),
        (declare_unused_job_parameter, "job parameter speed is declared and not used"),
        (misspell_braces, "{{job.parameter.home}} is no job parameter"),
        (repeat_a_task, "two tasks scoring"),
        (forget_the_wheel, "task ingest does not install the wheel"),
        (take_an_old_runtime, "runtime 16.4.x-gpu-ml-scala2.12"),
        (take_no_worker, "num_workers 0"),
        (take_five_ranks, "5 ranks do not divide"),
        (forget_legacy_keras, "cluster training does not set TF_USE_LEGACY_KERAS=1"),
    ],
)
def test_bundle_names_a_fault(bundle, spoil, said):
    spoil(bundle)
    assert any(said in fault for fault in faults(bundle))


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


def test_bundle_parameter_that_no_command_knows_is_refused():
    with pytest.raises(click.UsageError, match="--hom2"):
        parse("ingest", ["--hom2", "h", "--logs", "l"])


@pytest.mark.parametrize("script", sorted((ROOT / "jobs").glob("*.py")), ids=lambda script: script.stem)
def test_script_runs_the_command_of_its_name(script, monkeypatch, capsys):
    calls = []

    def run_command(arguments):
        calls.append(arguments)
        print('{"promoted": true}')
        return 0

    monkeypatch.setattr("pagerec_dbx.task.run_command", run_command)
    monkeypatch.setattr("sys.argv", [str(script), "--home", "h"])
    runpy.run_path(str(script), run_name="__main__")
    assert calls[0][:3] == [script.stem, "--home", "h"]


def test_task_that_fails_ends_with_an_error(capsys):
    with pytest.raises(SystemExit, match="task `evaluate` failed with exit code 2"):
        run_task("evaluate", ["--no-such-option"])
    assert "no-such-option" in capsys.readouterr().err


def test_task_that_may_refuse_ends_well_when_refused(monkeypatch, capsys):
    def refuse(arguments):
        assert arguments[-1] == "--json"
        print('{"version": "2", "promoted": false, "reasons": ["gain too small"]}')
        return 1

    monkeypatch.setattr("pagerec_dbx.task.run_command", refuse)
    run_task_that_may_refuse("promote", ["--version", "2"])
    captured = capsys.readouterr()
    assert "promote refused, which is recorded: gain too small" in captured.err
    assert '"promoted": false' in captured.out


def test_task_that_may_refuse_fails_where_there_was_an_error(monkeypatch):
    monkeypatch.setattr("pagerec_dbx.task.run_command", lambda arguments: 1)  # an error prints nothing
    with pytest.raises(SystemExit, match="task `promote` failed with exit code 1"):
        run_task_that_may_refuse("promote", ["--version", "9"])
