"""Verdicts as they are kept: the latest on each version, with the grounds it stands on."""

import dataclasses
import datetime as dt

from pyspark.sql import functions as F

from pagerec_dbx.evaluation.gate import Verdict
from pagerec_dbx.evaluation.grounds import Grounds
from pagerec_dbx.schemas import VERDICTS
from pagerec_dbx.tables import Tables, spark_schema


def store_verdict(tables: Tables, verdict: Verdict, now: dt.datetime) -> None:
    """Keep a verdict; it takes the place of the one before on the same version."""
    grounds = tuple(dataclasses.astuple(verdict.grounds))
    record = {**vars(verdict), "judged_at": now, "reasons": list(verdict.reasons), "grounds": grounds}
    values = [tuple(record[name] for name in VERDICTS.column_names)]
    frame = tables.spark.createDataFrame(values, spark_schema(VERDICTS))
    tables.replace_where(VERDICTS, frame, f"version = '{verdict.version}'")


def stored_verdict(tables: Tables, version: str) -> Verdict | None:
    """The latest verdict on a version; None if there is none."""
    if not tables.exists(VERDICTS):
        return None
    record = tables.read(VERDICTS).where(F.col("version") == version).drop("judged_at").first()
    if record is None:
        return None
    values = record.asDict()
    return Verdict(**values | {"reasons": tuple(values["reasons"]), "grounds": Grounds(**values["grounds"].asDict())})
