"""Which days of which table were written, from what: so that a run rewrites the days that changed and no others.

A table that is made day by day has one record per day here. `revision` rises whenever the day is rewritten; `made_from`
names the revisions and settings it was made from, and is null while the day is being rewritten. A day whose `made_from`
is not what it would be made from now is stale. A run that dies between `begin` and `finish` leaves nulls, and the next
run does those days again.
"""

import dataclasses
import datetime as dt
from collections.abc import Iterable, Mapping

from pagerec_dbx.schemas import DAY_LEDGER, Table
from pagerec_dbx.tables import Tables, spark_schema


@dataclasses.dataclass(frozen=True)
class DayRecord:
    """One day of one table."""

    revision: int  # how often the day was begun; another number means that its records may differ
    made_from: str | None  # None while it is being rewritten


@dataclasses.dataclass(frozen=True)
class Ledger:
    """The table `day_ledger` of one home; a home has one writer at a time."""

    tables: Tables

    def revisions(self, table: Table) -> dict[dt.date, DayRecord]:
        """The days of a table that were ever written."""
        if not self.tables.exists(DAY_LEDGER):
            return {}
        records = self.tables.read(DAY_LEDGER).where(_of(table)).collect()  # one a day
        return {record["day"]: DayRecord(record["revision"], record["made_from"]) for record in records}

    def begin(self, table: Table, days: Iterable[dt.date]) -> None:
        """Say that these days are about to be rewritten: a new revision, made from nothing yet."""
        self._write(table, dict.fromkeys(days), rise=1)

    def finish(self, table: Table, made_from: Mapping[dt.date, str]) -> None:
        """Say what the days that `begin` named were made from."""
        self._write(table, made_from, rise=0)

    def written(self, table: Table, made_from: Mapping[dt.date, str]) -> None:
        """`begin` and `finish` in one, for a run that repeats all of its days if it dies."""
        self._write(table, made_from, rise=1)

    def _write(self, table: Table, changed: Mapping[dt.date, str | None], rise: int) -> None:
        if not changed:
            return
        days = self.revisions(table)
        for day, made_from in changed.items():
            revision = days[day].revision if day in days else 0
            days[day] = DayRecord(revision + rise, made_from)
        records = [(table.name, day, record.revision, record.made_from) for day, record in sorted(days.items())]
        frame = self.tables.spark.createDataFrame(records, spark_schema(DAY_LEDGER)).coalesce(1)
        self.tables.replace_where(DAY_LEDGER, frame, _of(table))


def _of(table: Table) -> str:
    return f"`table` = '{table.name}'"
