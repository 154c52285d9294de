"""The reliability curve of a version on a holdout: counted off `evaluations`, kept in `calibrations`."""

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.evaluation.calibration import Reliability
from pagerec_dbx.evaluation.calibration_counts import counted_reliability, shares_by_position
from pagerec_dbx.evaluation.protocols import MENU
from pagerec_dbx.report.content import PositionShare
from pagerec_dbx.schemas import CALIBRATIONS, EVALUATIONS
from pagerec_dbx.stages.conditions import sql_text
from pagerec_dbx.tables import Tables, spark_schema

_COLUMNS = ("lower", "upper", "pairs", "mean_probability", "mean_target")


def calibrate(tables: Tables, holdout: str, version: str) -> Reliability:
    """Count the bins of a version under the menu protocol; its earlier bins on that holdout are replaced.

    Whoever has no probabilities has no bin.
    """
    found = counted_reliability(_evaluated(tables, holdout, version))
    values = zip(*(getattr(found, name).tolist() for name in _COLUMNS), strict=True)
    records = [(holdout, version, number, *record) for number, record in enumerate(values)]
    frame = tables.spark.createDataFrame(records, spark_schema(CALIBRATIONS))
    tables.replace_where(CALIBRATIONS, frame, f"holdout = {sql_text(holdout)} AND version = {sql_text(version)}")
    return found


def calibration_of(tables: Tables, holdout: str, version: str) -> Reliability:
    """The stored bins of an evaluated version; counted where a crash kept them from being stored."""
    if not tables.exists(CALIBRATIONS):
        return calibrate(tables, holdout, version)
    mine = (F.col("holdout") == holdout) & (F.col("version") == version)
    records = tables.read(CALIBRATIONS).where(mine).orderBy("bin").collect()  # 15 at most
    if not records:
        return calibrate(tables, holdout, version)
    return Reliability(**{name: np.array([record[name] for record in records]) for name in _COLUMNS})


def shares_of(tables: Tables, holdout: str, version: str) -> tuple[PositionShare, ...]:
    """Clicks and predicted clicks by position on the page, under the menu protocol."""
    names = ("position", "shown", "predicted", "observed")
    records = shares_by_position(_evaluated(tables, holdout, version)).select(*names).orderBy("position").collect()
    return tuple(PositionShare(*record) for record in records)  # as many as the longest menu has rows


def _evaluated(tables: Tables, holdout: str, version: str) -> DataFrame:
    mine = (F.col("holdout") == holdout) & (F.col("version") == version) & (F.col("protocol") == MENU)
    return tables.read(EVALUATIONS).where(mine)
