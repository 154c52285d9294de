"""Task `prepare`: labelled page views become vocabularies, examples and snapshots."""

from pagerec_dbx.task import run_task

run_task("prepare")
