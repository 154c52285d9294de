"""Lines of viewers who were forgotten: they are counted as refused, and nothing of them is kept."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.schemas import FORGOTTEN
from pagerec_dbx.tables import Tables

REASON = "forgotten_viewer"
_OF_THE_FILE = ("source", "file", "batch")  # what says nothing of a viewer


def forgotten_hashes(tables: Tables) -> frozenset[str]:
    """The hashes of the viewers who were forgotten."""
    if not tables.exists(FORGOTTEN):
        return frozenset()
    return frozenset(row["user_hash"] for row in tables.read(FORGOTTEN).select("user_hash").collect())


def refuse_forgotten(typed: DataFrame, forgotten: DataFrame) -> DataFrame:
    """The same lines in the columns of bronze; those of forgotten viewers are refused, without text and hash.

    One record per line: `forgotten` has a hash once. It is joined as a broadcast, so that a stream can have it too.
    """
    listed = F.broadcast(forgotten.select("user_hash", F.lit(True).alias("_forgotten")))
    marked = typed.join(listed, "user_hash", how="left")
    kept = F.col("_forgotten").isNull()
    columns = {name: F.when(kept, F.col(name)) for name in typed.columns}
    columns |= {name: F.col(name) for name in _OF_THE_FILE}
    columns |= {"refused": F.col("refused") | ~kept, "reason": F.when(kept, F.col("reason")).otherwise(REASON)}
    return marked.select(*(column.alias(name) for name, column in columns.items()))
