"""Task `forget`: the tables' old versions go once they are due."""

from pagerec_dbx.task import run_task

run_task("forget")
