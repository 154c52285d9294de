"""Task `score`: the champion ranks the rows of all page views."""

from pagerec_dbx.task import run_task

run_task("score")
