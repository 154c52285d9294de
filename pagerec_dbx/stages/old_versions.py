"""`pagerec forget --vacuum`: the files of old versions go, in which removed viewers still stand."""

import datetime as dt

from pyspark.sql import functions as F

from pagerec_dbx.config import ForgetSettings
from pagerec_dbx.progress import watch_spark
from pagerec_dbx.schemas import FORGOTTEN
from pagerec_dbx.stages.forget_result import VacuumResult
from pagerec_dbx.stages.viewer_tables import cut_tables, hash_tables, id_tables
from pagerec_dbx.tables import Tables


def vacuum_old_versions(tables: Tables, now: dt.datetime, settings: ForgetSettings) -> VacuumResult:
    """Delete what only versions need that were replaced `history_days` ago or more, in every table with viewers."""
    found = [table for table in (*cut_tables(), *id_tables(), *hash_tables(), FORGOTTEN) if tables.exists(table)]
    with watch_spark(tables.spark, "deleting old versions"):
        for table in found:
            tables.vacuum(table, 24 * settings.history_days)
    if not tables.exists(FORGOTTEN):
        return VacuumResult(len(found), 0, 0, None)
    kept = dt.timedelta(days=settings.history_days)
    gone = F.coalesce(F.col("removed_at") <= F.lit(now - kept), F.lit(False))
    row = tables.read(FORGOTTEN).agg(
        F.count_if(gone).alias("gone"),
        F.count_if(~gone).alias("waiting"),
        F.unix_micros(F.max(F.when(~gone, F.col("removed_at")))).alias("last"),
    ).first()  # fmt: skip
    last = None if row["last"] is None else dt.datetime.fromtimestamp(row["last"] / 1e6, dt.UTC)
    return VacuumResult(len(found), row["gone"], row["waiting"], last and last + kept)
