"""Task `approval`: fails until the version has the tag by which a person approves of it."""

from pagerec_dbx.task import run_task

run_task("approval")
