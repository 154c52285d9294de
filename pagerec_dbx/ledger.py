"""Which days of which table were written, from what: so that a run rewrites the days that changed and no others.

A table that is made day by day has one entry per day here. `revision` rises whenever the day is rewritten; `made_from`
names the revisions and settings it was made from, and is null while the day is being rewritten. A day whose `made_from`
is not what it would be made from now is stale. A run that dies between `begin` and `finish` leaves nulls, and the next
run does those days again.

It is a file beside the tables, `day-ledger.json`: as a table each entry was a commit, and those took more time than
the joins of a small day.
"""

import dataclasses
import datetime as dt
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from pagerec_dbx.errors import HomeError
from pagerec_dbx.home import Home, write_atomically
from pagerec_dbx.schemas import Table

FILE = "day-ledger.json"


@dataclasses.dataclass(frozen=True)
class DayRecord:
    """One day of one table."""

    revision: int  # how often the day was begun; another number means that its records may differ
    made_from: str | None  # None while it is being rewritten


@dataclasses.dataclass(frozen=True)
class Ledger:
    """The days of the tables of one home; a home has one writer at a time."""

    home: Home

    @property
    def exists(self) -> bool:
        """False before a day of any table was written, too."""
        return self._path.exists()

    def require(self) -> None:
        """Refuse tables that were written day by day and have no ledger any more.

        Raises:
            HomeError: the file is missing.
        """
        if not self.exists:
            raise HomeError(
                f"{self._path} is missing beside tables that were made day by day",
                wanted="the ledger of their days",
                got="no such file",
                fix="Run `pagerec ingest` again if it was stopped; else restore the file or start a new home",
            )

    def revisions(self, table: Table) -> dict[dt.date, DayRecord]:
        """The days of a table that were ever written."""
        return self._read().get(table.name, {})

    def begin(self, table: Table, days: Iterable[dt.date]) -> None:
        """Say that these days are about to be rewritten: a new revision, made from nothing yet."""
        self._write(table, dict.fromkeys(days), rise=1)

    def finish(self, table: Table, made_from: Mapping[dt.date, str]) -> None:
        """Say what the days that `begin` named were made from."""
        self._write(table, made_from, rise=0)

    def written(self, table: Table, made_from: Mapping[dt.date, str | None]) -> None:
        """`begin` and `finish` in one, for a run that repeats all of its days if it dies."""
        self._write(table, made_from, rise=1)

    def _write(self, table: Table, changed: Mapping[dt.date, str | None], rise: int) -> None:
        if not changed:
            return
        everything = self._read()
        days = everything.setdefault(table.name, {})
        for day, made_from in changed.items():
            revision = days[day].revision if day in days else 0
            days[day] = DayRecord(revision + rise, made_from)
        content = {
            name: {day.isoformat(): dataclasses.astuple(record) for day, record in sorted(records.items())}
            for name, records in sorted(everything.items())
        }
        write_atomically(self._path, json.dumps(content) + "\n")

    def _read(self) -> dict[str, dict[dt.date, DayRecord]]:
        if not self._path.exists():
            return {}
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            return {
                name: {dt.date.fromisoformat(day): DayRecord(int(one), made) for day, (one, made) in days.items()}
                for name, days in content.items()
            }
        except (ValueError, TypeError, AttributeError) as error:
            raise HomeError(
                f"{self._path} is malformed", got=str(error), fix="Restore it, or start a new home and ingest again"
            ) from error

    @property
    def _path(self) -> Path:
        return self.home.folder / FILE
