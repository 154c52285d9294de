"""Task `rollback`: the champion before serves again, and the one that served is the previous one."""

from pagerec_dbx.task import run_task

run_task("rollback")
