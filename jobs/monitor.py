"""Task `monitor`: the newest day against the training days of the version that serves; past a limit the task fails."""

from pagerec_dbx.task import run_task

run_task("monitor")
