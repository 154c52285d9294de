"""The versions of one home's registered model: what was trained, under its number and its aliases."""

import dataclasses
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagerec_dbx.errors import RegistryError, RoleError, UnknownVersionError, UsageError
from pagerec_dbx.registry.packaging import save_pyfunc
from pagerec_dbx.registry.runs import Runs

if TYPE_CHECKING:  # TensorFlow takes seconds to import, and most commands only need names and tags
    from pagerec_dbx.models.export import Ranker

# `legacy` is the newest `legacy_binary`: trained here to be compared with, and no challenger.
ALIASES = CHALLENGER, CHAMPION, PREVIOUS, LEGACY = ("challenger", "champion", "previous", "legacy")
_GIVEN = (CHALLENGER, LEGACY)  # by training; the others follow the table of decisions
# How the registries say that there is no such model, version or alias; any other failure is no answer.
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


@dataclasses.dataclass(frozen=True)
class Version:
    """One registered model version; tags are what training knew of it."""

    version: str
    run_id: str
    source: str
    tags: Mapping[str, str]

    @property
    def is_legacy(self) -> bool:
        """Whether it is the legacy's architecture, trained here to be compared with."""
        return self.tags.get("role") == LEGACY


def default_model() -> str:
    """The registered model, without its schema; a bundle's development mode names another by PAGEREC_MODEL."""
    return os.environ.get("PAGEREC_MODEL", "pagerec")


@dataclasses.dataclass(frozen=True)
class Versions(Runs):
    """The runs and versions of one home: SQLite in a folder, Unity Catalog on Databricks."""

    model: str | None = None  # without its schema; `default_model` where it is not given

    @property
    def model_name(self) -> str:
        """The registered model."""
        name = self.model or default_model()
        return f"{self.home.name}.{name}" if self.home.in_catalog else name

    def require_model(self, name: str | None) -> None:
        """Refuse a model's name that is not this home's; none was asked for where it is None.

        Raises:
            UsageError: it is another model's.
        """
        if name not in (None, self.model_name):
            raise UsageError(
                f"home {self.home.name} has another registered model",
                wanted=self.model_name,
                got=name,
                fix="Name the home whose model it is, or set PAGEREC_MODEL",
            )

    def register(
        self,
        run_id: str,
        ranker_folder: Path,
        tags: Mapping[str, str],
        check: Callable[[Path], None],
        alias: str = CHALLENGER,
    ) -> str:
        """Log a ranker into its run, check what comes back, register it, and give it an alias.

        Args:
            check: called with the folder as it came back from the run; raises when it is not what was trained.
            alias: challenger or legacy; the others only a decision gives.

        Raises:
            RegistryError: another alias; nothing was logged or registered then.
        """
        if alias not in _GIVEN:
            raise RegistryError(
                f"a new version cannot have the alias `{alias}`",
                wanted=" or ".join(_GIVEN),
                got=alias,
                fix="Register it as challenger and let `pagerec promote` judge it",
            )
        client = self._client()
        with tempfile.TemporaryDirectory() as scratch:
            model = Path(scratch, "model")
            save_pyfunc(model, ranker_folder)
            client.log_artifacts(run_id, str(model), "model")
        check(self._ranker_folder(f"runs:/{run_id}/model"))
        self._require_registered_model(client)
        source = f"{client.get_run(run_id).info.artifact_uri}/model"
        made = client.create_model_version(self.model_name, source, run_id, tags=dict(tags))
        client.set_registered_model_alias(self.model_name, alias, made.version)
        return str(made.version)

    def give_alias(self, version: str) -> None:
        """Give a version the alias that its registration was stopped before, unless a newer one has it."""
        alias = LEGACY if self.version(version).is_legacy else CHALLENGER
        holder = self.alias(alias)
        if holder is None or int(holder) < int(version):
            self._client().set_registered_model_alias(self.model_name, alias, version)

    def version_of(self, run_id: str) -> str | None:
        """The version that a run was registered as; None if it was not."""
        return next((str(one.version) for one in self._all() if one.run_id == run_id), None)

    def numbers(self) -> list[str]:
        """All versions, newest first."""
        return sorted((str(one.version) for one in self._all()), key=int, reverse=True)

    def legacy(self) -> str | None:
        """The legacy's architecture as it was last trained here; None if it never was."""
        return self.alias(LEGACY)

    def resolve(self, version: str) -> str:
        """A version's number, of a number or an alias.

        Raises:
            UnknownVersionError: the registry holds no such version or alias.
        """
        return self.version(version).version

    def version(self, version: str) -> Version:
        """A version by its number or alias; a home without a registry is not given one.

        Raises:
            UnknownVersionError: the registry holds no such version or alias.
        """
        from mlflow.exceptions import MlflowException

        if not self._exists() or not (version in ALIASES or re.fullmatch(r"[1-9]\d{0,8}", version)):
            raise self.unknown(version)
        client = self._client()
        try:
            if version in ALIASES:
                found = client.get_model_version_by_alias(self.model_name, version)
            else:
                found = client.get_model_version(self.model_name, version)
        except MlflowException as error:
            if error.error_code not in _ABSENT:
                raise
            raise self.unknown(version) from error
        return Version(str(found.version), found.run_id, found.source, dict(found.tags))

    def unknown(self, version: str) -> UnknownVersionError:
        """The error that there is no such version or alias."""
        return UnknownVersionError(
            f"no model version `{version}` is registered in home {self.home.name}",
            wanted="a version's number, challenger, champion, previous or legacy",
            fix="Make a champion with `pagerec promote`, or name a version with --version"
            if version == CHAMPION
            else "Train one with `pagerec train`",
        )

    def candidate(self, version: str) -> str:
        """The number of a version that may be judged and serve.

        Raises:
            UnknownVersionError: the registry holds no such version or alias.
            RoleError: it is the legacy's architecture, trained to be compared with.
        """
        found = self.version(version)
        if found.is_legacy:
            raise RoleError(
                f"version {found.version} is the retrained legacy and can be no challenger or champion",
                wanted="a version without the tag role=legacy",
                got=version,
                fix="Name another version; `pagerec compare` holds it against the legacy by itself",
            )
        return found.version

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

    def alias(self, name: str) -> str | None:
        """The version that an alias names; None where it is not set."""
        try:
            return self.resolve(name)
        except UnknownVersionError:
            return None

    def model_tags(self) -> dict[str, str]:
        """The tags of the registered model; none before the first version."""
        from mlflow.exceptions import MlflowException

        if not self._exists():
            return {}
        try:
            return dict(self._client().get_registered_model(self.model_name).tags)
        except MlflowException as error:
            if error.error_code not in _ABSENT:
                raise
            return {}

    # --- what a version's run holds -----------------------------------------------------------------------------------

    def log_metrics(self, version: str, metrics: Mapping[str, float]) -> None:
        """Add figures to the run that made a version."""
        self.log_run_metrics(self.version(version).run_id, metrics)

    def log_file(self, version: str, file: Path, folder: str) -> None:
        """Add a file to the artifacts of the run that made a version."""
        self.log_run_file(self.version(version).run_id, file, folder)

    def curves(self, version: str) -> list[dict[str, float]]:
        """The curves of the run that made a version; see `Runs.run_curves`."""
        return self.run_curves(self.version(version).run_id)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _all(self) -> Iterator[Any]:
        """Every version as the registry has it, in any order; none where a catalog has no such model."""
        from mlflow.exceptions import MlflowException

        token = None
        while self._exists():  # Unity Catalog filters by name alone, and answers page by page
            try:
                found = self._client().search_model_versions(f"name = '{self.model_name}'", page_token=token)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                return
            yield from found
            token = found.token
            if not token:
                return

    def _exists(self) -> bool:
        """Whether there is a registry to ask: MLflow would make a missing SQLite file, and a reader leaves no trace."""
        return self.home.in_catalog or (self.home.folder / "mlflow.db").exists()

    def _require_registered_model(self, client) -> None:
        from mlflow.exceptions import MlflowException

        try:
            client.get_registered_model(self.model_name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            client.create_registered_model(self.model_name)

    def _ranker_folder(self, uri: str) -> Path:
        import mlflow

        # MLflow reads the registry's address from its own settings here, in every version of it.
        mlflow.set_tracking_uri(self.tracking_uri)
        mlflow.set_registry_uri(self.registry_uri)
        return Path(mlflow.artifacts.download_artifacts(uri), "data", "ranker")
