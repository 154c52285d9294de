"""Each of the bundle's own checks finds what it is there for: negative controls, one fault a time."""

import pytest

from tests.bundle import Bundle, faults, job_of, load_bundle


@pytest.fixture
def bundle() -> Bundle:
    return load_bundle()


def rename_variable(bundle):
    bundle.top["variables"]["katalog"] = bundle.top["variables"].pop("catalog")
    bundle.top["variables"]["catalog"] = {"description": "x", "default": "y"}


def misspell_variable(bundle):
    job_of(bundle)["job_clusters"][0]["new_cluster"]["node_type_id"] = "${var.data_node}"


def set_unknown_variable_in_target(bundle):
    bundle.top["targets"]["dev"]["variables"]["worker"] = 1


def misspell_target_field(bundle):
    bundle.top["targets"]["dev"]["modus"] = "development"


def misspell_resource(bundle):
    bundle.files["files.volume.yml"]["resources"]["volumes"]["files"]["schema_name"] = "${resources.schemas.page.name}"


def misspell_script(bundle):
    job_of(bundle)["tasks"][0]["spark_python_task"]["python_file"] = "../jobs/ingestion.py"


def swap_scripts(bundle):
    job_of(bundle)["tasks"][0]["spark_python_task"]["python_file"] = "../jobs/join.py"


def misspell_cluster(bundle):
    job_of(bundle)["tasks"][0]["job_cluster_key"] = "dat"


def depend_on_unknown(bundle):
    job_of(bundle)["tasks"][1]["depends_on"] = [{"task_key": "ingestion"}]


def depend_in_a_circle(bundle):
    job_of(bundle)["tasks"][0]["depends_on"] = [{"task_key": "join"}]


def start_an_unknown_job(bundle):
    job_of(bundle)["tasks"][-1]["run_job_task"]["job_id"] = "${resources.jobs.score.id}"


def misspell_job_parameter(bundle):
    job_of(bundle)["tasks"][0]["spark_python_task"]["parameters"][1] = "{{job.parameters.hom}}"


def declare_unused_job_parameter(bundle):
    job_of(bundle)["parameters"].append({"name": "speed", "default": "1"})


def misspell_braces(bundle):
    job_of(bundle)["tasks"][0]["spark_python_task"]["parameters"][1] = "{{job.parameter.home}}"


def repeat_a_task(bundle):
    job_of(bundle)["tasks"].append(job_of(bundle)["tasks"][-1])


def forget_the_wheel(bundle):
    job_of(bundle)["tasks"][0]["libraries"] = []


def take_an_old_runtime(bundle):
    bundle.top["variables"]["train_runtime"]["default"] = "16.4.x-gpu-ml-scala2.12"


def take_no_worker(bundle):
    bundle.top["variables"]["data_workers"]["default"] = 0


def take_five_ranks(bundle):
    bundle.top["variables"]["ranks"]["default"] = "5"


def forget_legacy_keras(bundle):
    del job_of(bundle, "training")["job_clusters"][1]["new_cluster"]["spark_env_vars"]["TF_USE_LEGACY_KERAS"]


def unpause_a_schedule(bundle):
    job_of(bundle)["schedule"]["pause_status"] = "UNPAUSED"


def unpause_a_trigger(bundle):
    job_of(bundle)["trigger"] = {"pause_status": "UNPAUSED", "file_arrival": {"url": "/Volumes/a/b/c/"}}


def leave_retries_open(bundle):
    del job_of(bundle, "scoring")["tasks"][1]["max_retries"]


def tell_of_every_attempt(bundle):
    del job_of(bundle, "deployment")["tasks"][0]["notification_settings"]


def hand_the_key_to_all(bundle):
    environment = job_of(bundle, "scoring")["job_clusters"][0]["new_cluster"]["spark_env_vars"]
    environment["PAGEREC_KEY"] = "{{secrets/${var.secret_scope}/pagerec-key}}"


def forget_the_key(bundle):
    del job_of(bundle)["job_clusters"][0]["new_cluster"]["spark_env_vars"]["PAGEREC_KEY"]


def misspell_top_field(bundle):
    bundle.top["artefacts"] = {}


def misspell_bundle_field(bundle):
    bundle.top["bundle"]["nme"] = "pagerec"


def misspell_artifact_field(bundle):
    bundle.top["artifacts"]["wheel"]["dynamic_versions"] = True


def misspell_variable_field(bundle):
    bundle.top["variables"]["ranks"]["descripton"] = "x"


def misspell_principal(bundle):
    bundle.top["targets"]["prod"]["run_as"]["service_principal"] = "x"


def misspell_permission_field(bundle):
    bundle.top["targets"]["prod"]["permissions"][1]["group"] = "x"


def misspell_permission_level(bundle):
    bundle.top["targets"]["prod"]["permissions"][1]["level"] = "CAN_READ"


def misspell_preset(bundle):
    bundle.top["targets"]["staging"]["presets"]["tag"] = {}


def misspell_path(bundle):
    bundle.top["targets"]["staging"]["workspace"]["rootpath"] = "/x"


def leave_out_a_description(bundle):
    del bundle.top["variables"]["ranks"]["description"]


def leave_out_a_default(bundle):
    del bundle.top["variables"]["schedule"]["default"]


def declare_unused_cluster(bundle):
    clusters = job_of(bundle)["job_clusters"]
    clusters.append({**clusters[0], "job_cluster_key": "spare"})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (misspell_top_field, "databricks.yml has an unknown field artefacts"),
        (misspell_bundle_field, "databricks.yml: bundle has an unknown field nme"),
        (misspell_artifact_field, "artifact wheel has an unknown field dynamic_versions"),
        (misspell_variable_field, "variable ranks has an unknown field descripton"),
        (misspell_principal, "target prod: run_as has an unknown field service_principal"),
        (misspell_permission_field, "target prod: permissions has an unknown field group"),
        (misspell_permission_level, "target prod: permissions has the level CAN_READ"),
        (misspell_preset, "target staging: presets has an unknown field tag"),
        (misspell_path, "target staging: workspace has an unknown field rootpath"),
        (leave_out_a_description, "variable ranks lacks a description"),
        (leave_out_a_default, "variable schedule lacks a default"),
        (declare_unused_cluster, "cluster spare is not used"),
        (hand_the_key_to_all, "cluster data: PAGEREC_KEY is for the tasks that hash user ids"),
        (forget_the_key, "cluster data: PAGEREC_KEY is for the tasks that hash user ids"),
        (leave_retries_open, "task monitor does not say max_retries"),
        (tell_of_every_attempt, "task evaluation tells of every attempt"),
        (unpause_a_schedule, "the schedule sets pause_status"),
        (unpause_a_trigger, "the trigger sets pause_status"),
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
