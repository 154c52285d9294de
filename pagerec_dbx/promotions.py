"""Who serves: the table `promotions` is the arbiter, because a model registry has no compare-and-swap."""

import dataclasses
import datetime as dt

from pyspark.sql import functions as F

from pagerec_dbx.errors import RegistryError
from pagerec_dbx.schemas import PROMOTIONS
from pagerec_dbx.tables import Tables, spark_schema


@dataclasses.dataclass(frozen=True)
class Serving:
    """The versions in service after the last decision that changed them; `sequence` counts all decisions."""

    champion: str | None
    previous: str | None
    sequence: int


@dataclasses.dataclass(frozen=True)
class Decision:
    """One record of `promotions`."""

    decided_at: dt.datetime
    version: str
    previous_version: str | None  # the champion before, or after a refusal the champion that stayed
    promoted: bool
    reasons: tuple[str, ...]
    comparison_id: str | None
    action: str  # promote or rollback


def serving(tables: Tables) -> Serving:
    """What the table says; nobody where it does not exist yet."""
    if not tables.exists(PROMOTIONS):
        return Serving(None, None, 0)
    decisions = tables.read(PROMOTIONS)
    last = decisions.agg(F.max("sequence").alias("sequence")).first()["sequence"] or 0
    change = decisions.where("promoted").orderBy(F.desc("sequence")).first()
    if change is None:
        return Serving(None, None, last)
    return Serving(change["version"], change["previous_version"], last)


def decide(tables: Tables, decision: Decision, seen: Serving) -> None:
    """Write a decision that was made on what `seen` says; one merge decides between two that were made at once.

    Raises:
        RegistryError: another decision came first; nothing was written.
    """
    sequence = seen.sequence + 1
    record = {**dataclasses.asdict(decision), "reasons": list(decision.reasons), "sequence": sequence}
    values = [tuple(record[name] for name in PROMOTIONS.column_names)]
    tables.insert_new(PROMOTIONS, tables.spark.createDataFrame(values, spark_schema(PROMOTIONS)))
    stored = tables.read(PROMOTIONS).where(F.col("sequence") == sequence).first()
    if (stored["version"], stored["decided_at"]) != (decision.version, decision.decided_at.replace(tzinfo=None)):
        raise RegistryError(
            f"another decision (version {stored['version']}) was written at the same time",
            fix="Compare again, with the new champion, and promote again",
        )
