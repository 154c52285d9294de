"""Runs, versions and aliases of one home."""

import dataclasses
import datetime as dt
import functools
import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pagerec_dbx import promotions
from pagerec_dbx.errors import RegistryError, UnknownVersionError
from pagerec_dbx.evaluation.gate import Verdict
from pagerec_dbx.home import Home
from pagerec_dbx.promotions import Decision, Serving
from pagerec_dbx.registry.client import EPOCH_FIGURES, client_of, driver_credentials, log_epoch
from pagerec_dbx.registry.packaging import save_pyfunc
from pagerec_dbx.tables import Tables

if TYPE_CHECKING:  # TensorFlow takes seconds to import, and most commands only need names and tags
    from pagerec_dbx.models.export import Ranker

CHALLENGER, CHAMPION, PREVIOUS = "challenger", "champion", "previous"
ALIASES = (CHALLENGER, CHAMPION, PREVIOUS)


@dataclasses.dataclass(frozen=True)
class Version:
    """One registered model version; tags are what training knew of it."""

    version: str
    run_id: str
    source: str
    tags: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Registry:
    """The runs and versions of one home: SQLite in a folder, Unity Catalog on Databricks."""

    home: Home

    @property
    def tracking_uri(self) -> str:
        return "databricks" if self.home.in_catalog else f"sqlite:///{self.home.folder / 'mlflow.db'}"

    @property
    def registry_uri(self) -> str:
        return "databricks-uc" if self.home.in_catalog else self.tracking_uri

    @property
    def model_name(self) -> str:
        """The registered model; a bundle's development mode gives it a name of its own by PAGEREC_MODEL."""
        name = os.environ.get("PAGEREC_MODEL", "pagerec")
        return f"{self.home.name}.{name}" if self.home.in_catalog else name

    # --- runs ---------------------------------------------------------------------------------------------------------

    def start_run(
        self, name: str, parameters: Mapping[str, object], tags: Mapping[str, str], inputs: Mapping[str, int]
    ) -> str:
        """Open a run and return its id.

        Args:
            inputs: Delta tables read, by name, with the version that was read.
        """
        client = self._client()
        run_id = client.create_run(self._experiment(client), run_name=name, tags=dict(tags)).info.run_id
        for key, value in parameters.items():
            client.log_param(run_id, key, value)
        client.log_inputs(run_id, datasets=[self._input(table, version) for table, version in inputs.items()])
        return run_id

    def epoch_logger(self, run_id: str) -> Callable[[object], None]:
        """A function for rank 0, wherever it runs: it writes an epoch's report into the run."""
        return functools.partial(log_epoch, self.tracking_uri, run_id, driver_credentials(self.tracking_uri))

    def end_run(self, run_id: str, succeeded: bool) -> None:
        self._client().set_terminated(run_id, "FINISHED" if succeeded else "FAILED")

    def log_metrics(self, version: str, metrics: Mapping[str, float]) -> None:
        """Add figures to the run that made a version."""
        client, run_id = self._client(), self.version(version).run_id
        for name, value in metrics.items():
            client.log_metric(run_id, _metric_name(name), value)

    def log_file(self, version: str, file: Path, folder: str) -> None:
        """Add a file to the artifacts of the run that made a version."""
        self._client().log_artifact(self.version(version).run_id, str(file), folder)

    def curves(self, version: str) -> list[dict[str, float]]:
        """One dictionary an epoch: `epoch` and every figure that training reported for it."""
        client, run_id = self._client(), self.version(version).run_id
        epochs: dict[int, dict[str, float]] = {}
        for name in EPOCH_FIGURES:
            for point in client.get_metric_history(run_id, name):
                epochs.setdefault(point.step, {"epoch": point.step})[name] = point.value
        return [epochs[epoch] for epoch in sorted(epochs)]

    # --- versions -----------------------------------------------------------------------------------------------------

    def register(self, run_id: str, ranker_folder: Path, tags: Mapping[str, str], check: Callable[[Path], None]) -> str:
        """Log a ranker into its run, check what comes back, register it, and call it the challenger.

        Args:
            check: called with the folder as it came back from the run; raises when it is not what was trained.
        """
        client = self._client()
        with tempfile.TemporaryDirectory() as scratch:
            model = Path(scratch, "model")
            save_pyfunc(model, ranker_folder)
            client.log_artifacts(run_id, str(model), "model")
        check(self._ranker_folder(f"runs:/{run_id}/model"))
        self._require_registered_model(client)
        source = f"{client.get_run(run_id).info.artifact_uri}/model"
        made = client.create_model_version(self.model_name, source, run_id, tags=dict(tags))
        client.set_registered_model_alias(self.model_name, CHALLENGER, made.version)
        return str(made.version)

    def resolve(self, version: str) -> str:
        """A version's number, of a number or an alias.

        Raises:
            UnknownVersionError: the registry holds no such version or alias.
        """
        return self.version(version).version

    def version(self, version: str) -> Version:
        """A version by its number or alias.

        Raises:
            UnknownVersionError: the registry holds no such version or alias.
        """
        from mlflow.exceptions import MlflowException

        client = self._client()
        try:
            if version in ALIASES:
                found = client.get_model_version_by_alias(self.model_name, version)
            else:
                found = client.get_model_version(self.model_name, _number(version))
        except MlflowException as error:
            raise UnknownVersionError(
                f"no model version `{version}` is registered in home {self.home.name}",
                wanted="a version's number, challenger, champion or previous",
                fix="Make a champion with `pagerec promote`, or name a version with --version"
                if version == CHAMPION
                else "Train one with `pagerec train`",
            ) from error
        return Version(str(found.version), found.run_id, found.source, dict(found.tags))

    def ranker_folder(self, version: str) -> Path:
        """The exported ranker of a version, on this machine's disk."""
        return self._ranker_folder(f"models:/{self.model_name}/{self.resolve(version)}")

    def load(self, version: str) -> "Ranker":
        """A version's ranker in this process."""
        from pagerec_dbx.models.export import load_ranker

        number = self.resolve(version)
        return load_ranker(self.ranker_folder(number), number)

    def signature(self, version: str) -> str:
        """What a version's model takes and gives, as text that is equal where the signatures are."""
        import mlflow.models

        folder = self.ranker_folder(version).parents[1]
        return str(mlflow.models.Model.load(str(folder)).signature)

    def tag(self, version: str, tags: Mapping[str, str]) -> None:
        client = self._client()
        for name, value in tags.items():
            client.set_model_version_tag(self.model_name, version, name, value)

    # --- who serves ---------------------------------------------------------------------------------------------------

    def promote(self, tables: Tables, verdict: Verdict, now: dt.datetime) -> Decision:
        """Write what a verdict decided: the version becomes champion, or the refusal is recorded with its reasons.

        Raises:
            RegistryError: no Verdict was given, or it judged against another champion than serves now.
        """
        if not isinstance(verdict, Verdict):
            raise RegistryError("only a verdict can promote", wanted="Verdict", got=type(verdict).__name__)
        seen = promotions.serving(tables)
        if verdict.champion != seen.champion:
            raise RegistryError(
                f"the verdict on version {verdict.version} is void: it compared with champion {verdict.champion}",
                wanted=f"a comparison with champion {seen.champion}",
                fix="Compare again",
            )
        self.version(verdict.version)
        decision = Decision(
            now, verdict.version, seen.champion, verdict.promote, verdict.reasons, verdict.comparison_id, "promote"
        )
        promotions.decide(tables, decision, seen)
        self.tag(
            verdict.version,
            {
                "verdict": "promote" if verdict.promote else "refuse",
                "verdict_reasons": "; ".join(verdict.reasons)[:5000],
            },
        )
        self.follow(promotions.serving(tables))
        return decision

    def rollback(self, tables: Tables, now: dt.datetime) -> Decision:
        """Swap champion and previous.

        Raises:
            RegistryError: there is no previous champion.
        """
        seen = promotions.serving(tables)
        if seen.champion is None or seen.previous is None:
            raise RegistryError("there is no previous champion to go back to", fix="Promote a second version first")
        reason = f"rolled back from version {seen.champion}"
        decision = Decision(now, seen.previous, seen.champion, True, (reason,), None, "rollback")
        promotions.decide(tables, decision, seen)
        self.follow(promotions.serving(tables))
        return decision

    def follow(self, seen: Serving) -> None:
        """Make the aliases say what the table says; also mends a crash between the two."""
        client = self._client()
        for alias, version in ((CHAMPION, seen.champion), (PREVIOUS, seen.previous)):
            if version is not None:
                client.set_registered_model_alias(self.model_name, alias, version)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _client(self):
        return client_of(self.tracking_uri, self.registry_uri)

    def _require_registered_model(self, client) -> None:
        from mlflow.exceptions import MlflowException

        try:
            client.get_registered_model(self.model_name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            client.create_registered_model(self.model_name)

    def _experiment(self, client) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "pagerec")
        found = client.get_experiment_by_name(name)
        if found is not None:
            return found.experiment_id
        location = None if self.home.in_catalog else (self.home.folder / "mlartifacts").as_uri()
        return client.create_experiment(name, artifact_location=location)

    def _input(self, table: str, version: int):
        from mlflow.entities import Dataset, DatasetInput

        source = json.dumps({"delta_table": self.home.table_address(table), "version": version})
        return DatasetInput(Dataset(name=table, digest=f"v{version}", source_type="delta_table", source=source))

    def _ranker_folder(self, uri: str) -> Path:
        import mlflow

        # MLflow reads the registry's address from its own settings here, in every version of it.
        mlflow.set_tracking_uri(self.tracking_uri)
        mlflow.set_registry_uri(self.registry_uri)
        return Path(mlflow.artifacts.download_artifacts(uri), "data", "ranker")


def _metric_name(name: str) -> str:
    """MLflow allows letters, digits and `_-. /`."""
    return re.sub(r"[^\w\-. /]", "_", name)


def _number(version: str) -> str:
    from mlflow.exceptions import MlflowException

    if not re.fullmatch(r"[1-9]\d{0,8}", version):
        raise MlflowException(f"no version number: {version}")
    return version
