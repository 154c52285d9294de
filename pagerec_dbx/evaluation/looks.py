"""How often a holdout was measured on: whoever chooses by its figures makes them better than they are."""

import dataclasses

from pyspark.sql import functions as F

from pagerec_dbx.schemas import HOLDOUT_LOOKS
from pagerec_dbx.tables import Tables


@dataclasses.dataclass(frozen=True)
class Looks:
    """At one holdout, by everybody so far."""

    times: int
    rankers: int  # versions and baselines measured, each counted once

    def to_text(self) -> str:
        """One line for the terminal."""
        times = "one measurement" if self.times == 1 else f"{self.times:,} measurements"
        rankers = "one ranker" if self.rankers == 1 else f"{self.rankers:,} rankers"
        return f"So far {times} of {rankers} on this holdout; what is chosen by their figures needs another holdout."


def note_look(tables: Tables, holdout: str, ranker: str) -> None:
    """Write down that a ranker is about to be measured; a measurement that is stopped counts too.

    Args:
        ranker: a version's number, or `baseline:<name>`.
    """
    values = F.lit(holdout).alias("holdout"), F.lit(ranker).alias("ranker"), F.current_timestamp().alias("looked_at")
    tables.append(HOLDOUT_LOOKS, tables.spark.range(1).select(*values))


def looks_at(tables: Tables, holdout: str) -> Looks:
    """The looks at a holdout that were written down."""
    if not tables.exists(HOLDOUT_LOOKS):
        return Looks(0, 0)
    mine = tables.read(HOLDOUT_LOOKS).where(F.col("holdout") == holdout)
    return Looks(*mine.agg(F.count("*"), F.countDistinct("ranker")).first())
