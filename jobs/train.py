"""Task `train`: a model learns from the snapshot and is registered as the challenger."""

from pagerec_dbx.task import run_task

run_task("train")
