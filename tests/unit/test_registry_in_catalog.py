"""The registry of a home in Unity Catalog: the same code, asked of a client that writes down what it is told."""

import shutil
import types

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, RESOURCE_DOES_NOT_EXIST

from pagerec_dbx.home import Home
from pagerec_dbx.models.build import build
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.export import load_ranker, save_ranker
from pagerec_dbx.promotions import Serving
from pagerec_dbx.registry import runs
from pagerec_dbx.registry.store import Registry

CONFIG = ModelConfig("two_tower_softmax", title_count=4, row_count=4, embedding_size=2, hidden_sizes=(2,))
VOCABULARIES = {"titles": ["t1", "t2"], "rows": ["r1", "r2"], "devices": [], "locations": []}
NAME = "main.pagerec.pagerec"


class RecordingClient:
    """Answers as a catalog that holds version 1, and keeps every call with its arguments."""

    def __init__(self, folder):
        self.folder, self.calls, self.aliases = folder, [], {}

    def __getattr__(self, method):
        def call(*arguments, **named):
            self.calls.append((method, arguments, named))
            answer = getattr(type(self), f"answer_{method}", None)
            return answer and answer(self, *arguments, **named)

        return call

    def called(self, method):
        return [arguments for name, arguments, _ in self.calls if name == method]

    def answer_log_artifacts(self, run_id, folder, path):
        shutil.copytree(folder, self.folder / path)

    def answer_get_run(self, run_id):
        return types.SimpleNamespace(info=types.SimpleNamespace(artifact_uri="dbfs:/runs/r1"))

    def answer_create_model_version(self, name, source, run_id, tags):
        return types.SimpleNamespace(version="1")

    def answer_set_registered_model_alias(self, name, alias, version):
        self.aliases[alias] = version

    def answer_delete_registered_model_alias(self, name, alias):
        del self.aliases[alias]

    def answer_get_model_version_by_alias(self, name, alias):
        if alias not in self.aliases:
            raise MlflowException("no such alias", error_code=RESOURCE_DOES_NOT_EXIST)
        return types.SimpleNamespace(version=self.aliases[alias], run_id="r1", source="s", tags={})


@pytest.fixture
def client(tmp_path, monkeypatch):
    """Of a home `main.pagerec`, as the runtime would have it; MLflow's own addresses are restored."""
    made, asked = RecordingClient(tmp_path), []
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "15.4")
    monkeypatch.delenv("PAGEREC_MODEL", raising=False)
    monkeypatch.setattr(runs, "client_of", lambda *addresses: asked.append(addresses) or made)
    monkeypatch.setattr(mlflow, "set_tracking_uri", lambda address: asked.append(address))
    monkeypatch.setattr(mlflow, "set_registry_uri", lambda address: asked.append(address))
    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", lambda uri: str(tmp_path / "model"))
    yield made
    assert set(asked) <= {("databricks", "databricks-uc"), "databricks", "databricks-uc"}
    assert ("databricks", "databricks-uc") in asked


@pytest.fixture(scope="module")
def ranker_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("catalog") / "ranker"
    save_ranker(build(CONFIG, seed=1), CONFIG, VOCABULARIES, folder)
    return folder


def test_a_version_in_a_catalog_has_a_signature_a_name_of_three_levels_and_an_alias(client, ranker_folder, tmp_path):
    registry = Registry(Home("main.pagerec"))
    assert (registry.tracking_uri, registry.registry_uri, registry.model_name) == ("databricks", "databricks-uc", NAME)
    seen = []
    assert registry.register("r1", ranker_folder, {"model": "two_tower_softmax"}, seen.append) == "1"
    assert client.called("create_model_version") == [(NAME, "dbfs:/runs/r1/model", "r1")]
    assert client.called("set_registered_model_alias") == [(NAME, "challenger", "1")]
    assert load_ranker(seen[0], "checked").config == CONFIG

    signature = Model.load(str(tmp_path / "model")).signature
    assert signature.inputs.input_names() == [
        "history", "history_age", "menu", "hour", "weekday", "device", "location",
    ]  # fmt: skip
    assert signature.outputs.input_names() == ["row_id", "score"]


def test_a_decision_moves_aliases_in_a_catalog_and_no_stages(client):
    registry = Registry(Home("main.pagerec"))
    client.aliases["previous"] = "9"  # of nobody, as the table of decisions says
    registry.follow(Serving("1", None, 1, changed=1))
    assert client.aliases == {"champion": "1"}
    registry.follow(Serving("1", None, 1, changed=1))
    assert len(client.called("set_registered_model_alias")) == 1  # the control: nothing to move
    assert {arguments[0] for _, arguments, _ in client.calls} == {NAME}
    assert not [name for name, _, _ in client.calls if "stage" in name]


def test_a_bundle_s_model_name_stands_in_the_same_schema(client, monkeypatch):
    monkeypatch.setenv("PAGEREC_MODEL", "dev_ann_pagerec")
    registry = Registry(Home("main.pagerec"))
    assert registry.model_name == "main.pagerec.dev_ann_pagerec"
    registry.follow(Serving("1", None, 1, changed=1))
    assert client.called("set_registered_model_alias") == [("main.pagerec.dev_ann_pagerec", "champion", "1")]


def test_a_model_that_is_named_goes_before_the_environment_s(client, monkeypatch):
    monkeypatch.setenv("PAGEREC_MODEL", "dev_ann_pagerec")
    registry = Registry(Home("main.pagerec"), "dev_bob_pagerec")
    registry.follow(Serving("1", None, 1, changed=1))
    assert client.called("set_registered_model_alias") == [("main.pagerec.dev_bob_pagerec", "champion", "1")]


def test_a_model_that_a_catalog_does_not_have_has_no_versions(client, monkeypatch):
    def search(self, condition, page_token):
        raise MlflowException("PERMISSION_DENIED: no EXECUTE" if refused else "no such model", error_code=code)

    monkeypatch.setattr(RecordingClient, "answer_search_model_versions", search, raising=False)
    refused, code = False, RESOURCE_DOES_NOT_EXIST
    registry = Registry(Home("main.pagerec"))
    assert registry.numbers() == [] and registry.version_of("r1") is None
    refused, code = True, PERMISSION_DENIED
    with pytest.raises(MlflowException, match="EXECUTE"):  # which is no answer
        registry.numbers()
