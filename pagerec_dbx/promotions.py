"""Who serves: the table `promotions` is the arbiter, because a model registry has no compare-and-swap."""

import contextlib
import dataclasses
import datetime as dt

from pyspark.sql import functions as F

from pagerec_dbx.errors import ConcurrentWriteError, RegistryError
from pagerec_dbx.pipelines.order import micros_of
from pagerec_dbx.schemas import PROMOTIONS
from pagerec_dbx.tables import Tables, spark_schema

# What a decision was made by: a verdict; a wish to go back; and the two wishes that no verdict was asked for, because
# the stored one was void, or because the version is the champion already.
ACTIONS = PROMOTE, ROLLBACK, VOID, AGAIN = ("promote", "rollback", "void", "again")


@dataclasses.dataclass(frozen=True)
class Serving:
    """The versions in service after the last decision that changed them."""

    champion: str | None
    previous: str | None
    sequence: int  # of the last decision; it counts all
    changed: int = 0  # of the one that made the champion, 0 where nobody serves


@dataclasses.dataclass(frozen=True)
class Decision:
    """One record of `promotions`."""

    decided_at: dt.datetime
    version: str
    previous_version: str | None  # the champion before, or after a refusal the champion that stayed
    promoted: bool
    reasons: tuple[str, ...]
    comparison_id: str | None
    action: str  # one of ACTIONS


@dataclasses.dataclass(frozen=True)
class Word:
    """What a verdict came to for a version."""

    version: str
    promoted: bool
    reasons: tuple[str, ...]


def serving(tables: Tables) -> Serving:
    """What the table says; nobody where it does not exist yet."""
    return state(tables)[0]


def state(tables: Tables) -> tuple[Serving, Word | None]:
    """Who serves, and the last decision that was made by a verdict; both by one look at the table."""
    if not tables.exists(PROMOTIONS):
        return Serving(None, None, 0), None
    last, change, word = (
        tables.read(PROMOTIONS)
        .agg(
            F.max("sequence"),
            F.expr("max_by(struct(version, previous_version, sequence), sequence) FILTER (WHERE promoted)"),
            F.expr(f"max_by(struct(version, promoted, reasons), sequence) FILTER (WHERE action = '{PROMOTE}')"),
        )
        .first()
    )
    by_verdict = word and Word(word["version"], word["promoted"], tuple(word["reasons"]))
    if change is None:
        return Serving(None, None, last or 0), by_verdict
    return Serving(change["version"], change["previous_version"], last, change["sequence"]), by_verdict


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
