"""Task `promote`: the verdict decides whether a version becomes champion; a refusal is a result, not a failure."""

from pagerec_dbx.task import run_task_that_may_refuse

run_task_that_may_refuse("promote")
