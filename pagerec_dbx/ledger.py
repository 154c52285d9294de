"""Which days of a table were rewritten, and from what: what lets a stage rewrite only the days that changed.

A stage calls `begin` before its first write of a day and `finish` after the last. A run that is killed in between
leaves days whose `made_from` is null: nobody takes them for finished, and the next run makes them again.
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
    made_from: str | None  # what its records were made from; None while they are being written


@dataclasses.dataclass(frozen=True)
class Ledger:
    """The table `day_ledger` of one home; a home has one writer at a time."""

    tables: Tables

    def revisions(self, table: Table) -> dict[dt.date, DayRecord]:
        """Every day of a table that was ever begun."""
        if not self.tables.exists(DAY_LEDGER):
            return {}
        records = self.tables.read(DAY_LEDGER).where(_of(table)).collect()  # one record a day
        return {record["day"]: DayRecord(record["revision"], record["made_from"]) for record in records}

    def begin(self, table: Table, days: Iterable[dt.date]) -> None:
        """Say, in one commit, that these days are being rewritten: the next revision, made from nothing yet."""
        held = self.revisions(table)
        begun = {day: DayRecord(held[day].revision + 1 if day in held else 1, None) for day in days}
        if begun:
            self._write(table, held | begun)

    def finish(self, table: Table, made_from: Mapping[dt.date, str]) -> None:
        """Say, in one commit, what the days that were begun are now made from."""
        held = self.revisions(table)
        finished = {day: DayRecord(held[day].revision, source) for day, source in made_from.items()}
        if finished:
            self._write(table, held | finished)

    def _write(self, table: Table, days: Mapping[dt.date, DayRecord]) -> None:
        records = [(table.name, day, one.revision, one.made_from) for day, one in sorted(days.items())]
        frame = self.tables.spark.createDataFrame(records, spark_schema(DAY_LEDGER))
        self.tables.replace_where(DAY_LEDGER, frame.coalesce(1), _of(table))


def _of(table: Table) -> str:
    return f"`table` = '{table.name}'"
