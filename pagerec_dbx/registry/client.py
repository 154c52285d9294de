"""MLflow's client, quiet, and what a rank writes with it: no Spark here, because ranks load this file."""

import functools
import logging
import os
import time
from collections.abc import Mapping

EPOCH_FIGURES = ("loss", "validation_loss", "validation_ndcg", "examples_per_second", "waited_for_data")


@functools.cache
def client_of(tracking_uri: str, registry_uri: str):
    """One client a process and address."""
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    for name in ("alembic", "mlflow"):  # database set-up is told line by line otherwise
        logging.getLogger(name).setLevel(logging.ERROR)
    return mlflow.MlflowClient(tracking_uri, registry_uri)


def driver_credentials(tracking_uri: str) -> dict[str, str]:
    """What a Spark worker needs to reach a workspace's tracking server; nothing for a local one."""
    if tracking_uri != "databricks":
        return {}
    from mlflow.utils.databricks_utils import get_databricks_host_creds

    found = get_databricks_host_creds()
    return {"DATABRICKS_HOST": found.host, "DATABRICKS_TOKEN": found.token}


def log_epoch(tracking_uri: str, run_id: str, credentials: Mapping[str, str], report) -> None:
    """Write one epoch's figures into a run, from wherever the first rank is."""
    from mlflow.entities import Metric

    os.environ.update(credentials)
    client = client_of(tracking_uri, tracking_uri)
    now = int(1e3 * time.time())
    figures = {name: getattr(report, name) for name in EPOCH_FIGURES}
    metrics = [Metric(name, value, now, report.epoch) for name, value in figures.items() if value is not None]
    client.log_batch(run_id, metrics)
