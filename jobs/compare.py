"""Task `compare`: a version is held against the champion, the legacy and the floors."""

from pagerec_dbx.task import run_task

run_task("compare")
