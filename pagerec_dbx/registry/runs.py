"""Training runs of one home: what was read, with what settings, and what came of it."""

import dataclasses
import functools
import json
import os
import re
import time
import urllib.parse
from collections.abc import Callable, Mapping
from pathlib import Path

from pagerec_dbx.home import Home
from pagerec_dbx.registry.client import EPOCH_FIGURES, client_of, driver_credentials, log_epoch
from pagerec_dbx.registry.moved import ARTIFACTS, follow_home

_PARENT = "mlflow.parentRunId"  # the tag by which MLflow shows a run below another one


@dataclasses.dataclass(frozen=True)
class Runs:
    """The runs of one home: in SQLite beside its tables, or in a Databricks workspace."""

    home: Home

    @property
    def tracking_uri(self) -> str:
        if self.home.in_catalog:
            return "databricks"
        # As a URL: a folder named 100%41 or what? would be another one, or end there. Nothing else is quoted: MLflow
        # makes the folder that the URL's text names, too.
        file = str(self.home.folder / "mlflow.db")
        return f"sqlite:///{re.sub('[%?#]', lambda found: urllib.parse.quote(found[0]), file)}"

    @property
    def _artifacts(self) -> str:
        return (self.home.folder / ARTIFACTS).as_uri()

    @property
    def registry_uri(self) -> str:
        return "databricks-uc" if self.home.in_catalog else self.tracking_uri

    def start_run(
        self,
        name: str,
        parameters: Mapping[str, object],
        tags: Mapping[str, str],
        inputs: Mapping[str, int],
        parent: str | None = None,
    ) -> str:
        """Open a run and return its id.

        Args:
            parameters: at most 100, which is what one request takes.
            inputs: Delta tables read, by name, with the version that was read.
            parent: the run below which it stands.
        """
        from mlflow.entities import Param

        client = self._client()
        own = dict(tags) if parent is None else {**tags, _PARENT: parent}
        run_id = client.create_run(self._experiment(client), run_name=name, tags=own).info.run_id
        client.log_batch(run_id, params=[Param(key, str(value)) for key, value in parameters.items()])
        client.log_inputs(run_id, datasets=[self._input(table, version) for table, version in inputs.items()])
        return run_id

    def epoch_logger(self, run_id: str) -> Callable[[object], None]:
        """A function for rank 0, wherever it runs: it writes an epoch's report into the run."""
        return functools.partial(log_epoch, self.tracking_uri, run_id, driver_credentials(self.tracking_uri))

    def reopen_run(self, run_id: str) -> None:
        """Go on writing into a run that was stopped."""
        self._client().update_run(run_id, status="RUNNING")

    def end_run(self, run_id: str, succeeded: bool) -> None:
        self._client().set_terminated(run_id, "FINISHED" if succeeded else "FAILED")

    def tag_run(self, run_id: str, tags: Mapping[str, str]) -> None:
        for name, value in tags.items():
            self._client().set_tag(run_id, name, value)

    def find_runs(self, tags: Mapping[str, str]) -> list[str]:
        """The runs that have all of these tags, the newest first."""
        return self._search(tags)

    def end_forsaken_runs(self, parent: str) -> None:
        """Mark as failed what a killed process left open below a run."""
        for run_id in self._search({_PARENT: parent}, "attributes.status = 'RUNNING'"):
            self.end_run(run_id, succeeded=False)

    def log_run_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """Add figures to a run."""
        from mlflow.entities import Metric

        now = int(1e3 * time.time())
        logged = [Metric(_metric_name(name), float(value), now, 0) for name, value in metrics.items()]
        self._client().log_batch(run_id, metrics=logged)

    def log_run_file(self, run_id: str, file: Path, folder: str) -> None:
        """Add a file to a run's artifacts."""
        self._client().log_artifact(run_id, str(file), folder)

    def run_curves(self, run_id: str) -> list[dict[str, float]]:
        """One dictionary an epoch: `epoch` and every figure that training reported for it."""
        epochs: dict[int, dict[str, float]] = {}
        for name in EPOCH_FIGURES:
            for point in self._client().get_metric_history(run_id, name):
                epochs.setdefault(point.step, {"epoch": point.step})[name] = point.value
        return [epochs[epoch] for epoch in sorted(epochs)]

    def _search(self, tags: Mapping[str, str], *conditions: str) -> list[str]:
        client = self._client()
        wanted = " and ".join([*(f"tags.`{name}` = '{value}'" for name, value in tags.items()), *conditions])
        found = client.search_runs([self._experiment(client)], wanted)
        return [run.info.run_id for run in found]

    def _client(self):
        if not self.home.in_catalog:
            follow_home(self.home.folder / "mlflow.db", self._artifacts)
        return client_of(self.tracking_uri, self.registry_uri)

    def _experiment(self, client) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "pagerec")
        found = client.get_experiment_by_name(name)
        if found is not None:
            return found.experiment_id
        location = None if self.home.in_catalog else self._artifacts
        return client.create_experiment(name, artifact_location=location)

    def _input(self, table: str, version: int):
        from mlflow.entities import Dataset, DatasetInput

        source = json.dumps({"delta_table": self.home.table_address(table), "version": version})
        return DatasetInput(Dataset(name=table, digest=f"v{version}", source_type="delta_table", source=source))


def _metric_name(name: str) -> str:
    """MLflow allows letters, digits and `_-. /`."""
    return re.sub(r"[^\w\-. /]", "_", name)
