"""Task `join`: page views get their clicks."""

from pagerec_dbx.task import run_task

run_task("join")
