"""What `evaluations` holds of a holdout already, and what of it outlives a new measurement."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.evaluation.baselines import POPULARITY
from pagerec_dbx.evaluation.protocols import EXPECTED, MENU
from pagerec_dbx.home import is_simulated
from pagerec_dbx.schemas import EVALUATIONS
from pagerec_dbx.tables import Tables

_SAME = ("holdout", "version", "protocol", "page_view_id", "popularity_smoothing")


def stored_smoothing(tables: Tables, holdout: str) -> float | None:
    """Of the popularity floor whose records stand on a holdout; None where there are none."""
    if not tables.exists(EVALUATIONS):
        return None
    floor = (F.col("holdout") == holdout) & (F.col("version") == POPULARITY) & (F.col("protocol") == MENU)
    record = tables.read(EVALUATIONS).where(floor).select("popularity_smoothing").first()
    return record and record["popularity_smoothing"]


def with_known_expected(tables: Tables, records: DataFrame, holdout: str) -> DataFrame:
    """New records of versions or floors, with the expected figures that the stored ones have and these lack.

    A version never changes, nor does the truth of a page view, nor a floor of the same smoothing: who is measured again
    without the truth keeps what was found with it. Not for baselines, which are fitted anew.
    """
    if not is_simulated(tables.home) or not tables.exists(EVALUATIONS):
        return records
    old = tables.read(EVALUATIONS).where((F.col("holdout") == holdout) & F.col("expected_ndcg").isNotNull())
    known = old.select(*(F.col(name).alias(f"known_{name}") for name in (*_SAME, *EXPECTED)))
    same = [F.col(name).eqNullSafe(F.col(f"known_{name}")) for name in _SAME]
    expected = {name: F.coalesce(F.col(name), F.col(f"known_{name}")) for name in EXPECTED}
    return records.join(known, same, how="left").withColumns(expected).select(*EVALUATIONS.column_names)
