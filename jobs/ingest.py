"""Task `ingest`: raw lines become page views and clicks."""

from pagerec_dbx.task import run_task

run_task("ingest")
