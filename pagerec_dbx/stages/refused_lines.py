"""Refused lines: a run's go to the quarantine, are counted day by day, and go for good when they are old."""

import datetime as dt

from pyspark.sql import functions as F

from pagerec_dbx.config import IngestSettings
from pagerec_dbx.ledger import Ledger
from pagerec_dbx.pipelines import bronze, health
from pagerec_dbx.pipelines.forgotten import REASON
from pagerec_dbx.schemas import JOIN_HEALTH, QUARANTINE
from pagerec_dbx.stages.ingest_run import Run
from pagerec_dbx.tables import Tables, on_days, union_all

REFUSED = "quarantined"  # how the measures of refused lines begin
KEPT = "refused lines"  # what the ledger says of a day whose refused lines are still there


def to_quarantine(tables: Tables, run: Run, now: dt.datetime) -> None:
    """The run's refused lines, in place of those that it left there when it was stopped."""
    refused = [bronze.refused(tables.read(table), run.number) for table in run.bronze_tables]
    if run.unreadable:
        refused.append(bronze.unreadable(tables.spark, run.unreadable, run.number))
    stamped = union_all(refused).withColumn("ingested_at", F.lit(now))
    tables.replace_where(QUARANTINE, stamped.coalesce(1), f"batch = {run.number}")
    Ledger(tables.home).written(QUARANTINE, {now.date(): KEPT})


def expire_quarantine(tables: Tables, settings: IngestSettings, now: dt.datetime) -> None:
    """Refused lines of days that have been kept long enough go, from bronze too; the ledger tells if there are any."""
    first = (now - dt.timedelta(days=settings.quarantine_days)).date()
    ledger = Ledger(tables.home)
    held = ledger.revisions(QUARANTINE)
    expired = [day for day, record in held.items() if record.made_from == KEPT and day < first]
    if not expired:
        return
    of_days = on_days(expired, "to_date(ingested_at)")
    batches = [row["batch"] for row in tables.read(QUARANTINE).where(of_days).select("batch").distinct().collect()]
    if batches:
        listed = ", ".join(map(str, batches))
        for table in bronze.BRONZE_TABLES:
            tables.delete(table, f"refused AND batch IN ({listed})")
        tables.delete(QUARANTINE, f"batch IN ({listed})")
    ledger.finish(QUARANTINE, dict.fromkeys(expired, "expired"))


def forgotten_lines(tables: Tables, run: int) -> int:
    """How many lines of the run of this number were refused because their viewer was forgotten."""
    return tables.read(QUARANTINE).where((F.col("batch") == run) & (F.col("reason") == REASON)).count()


def measure_refused(tables: Tables, ledger: Ledger) -> None:
    """Count the refused lines of the days on which `ingest` has refused some since they were counted.

    Days whose lines are too old to be kept stay as they were counted.
    """
    counted = {day: record.made_from for day, record in ledger.revisions(JOIN_HEALTH).items()}
    now = {day: f"quarantine {record.revision}" for day, record in ledger.revisions(QUARANTINE).items()}
    days = {day for day, source in now.items() if counted.get(day) != source}
    if days:
        measures = health.quarantine_measures(tables.read(QUARANTINE).where(on_days(days, "to_date(ingested_at)")))
        tables.replace_where(JOIN_HEALTH, measures, f"{on_days(days)} AND measure LIKE '{REFUSED}%'")
        ledger.written(JOIN_HEALTH, {day: now[day] for day in days})
