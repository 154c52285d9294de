"""Task `evaluate`: a version is measured on the holdout, with the floors."""

from pagerec_dbx.task import run_task

run_task("evaluate")
