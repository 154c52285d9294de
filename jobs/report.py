"""Task `report`: everything on one HTML page."""

from pagerec_dbx.task import run_task

run_task("report")
