"""Who serves: the table `promotions` is the arbiter, because a model registry has no compare-and-swap."""

import contextlib
import dataclasses
import datetime as dt

from pyspark.sql import functions as F

from pagerec_dbx.errors import ConcurrentWriteError, RegistryError
from pagerec_dbx.pipelines.order import micros_of
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
    with contextlib.suppress(ConcurrentWriteError):  # whose decision it was is read off the table
        tables.insert_new(PROMOTIONS, tables.spark.createDataFrame(values, spark_schema(PROMOTIONS)))
    written = tables.read(PROMOTIONS).where(F.col("sequence") == sequence)
    # As a number: Spark hands a timestamp over in the time zone of this process.
    stored = written.withColumn("micros", F.unix_micros("decided_at")).first()
    if stored is None or (stored["version"], stored["micros"]) != (decision.version, micros_of(decision.decided_at)):
        other = "" if stored is None else f" (version {stored['version']})"
        raise RegistryError(
            f"another decision{other} was written at the same time",
            fix="Compare again, with the new champion, and promote again",
        )
