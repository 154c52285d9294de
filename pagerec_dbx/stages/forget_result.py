"""What `pagerec forget` answers."""

import dataclasses
import datetime as dt
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class ForgetResult:
    """What was removed, and where it was looked for afterwards."""

    viewers: int
    viewers_known: int  # named by a record when the command began
    removed: Mapping[str, int]  # records by table
    snapshots_removed: tuple[str, ...]
    tables_checked: int  # in which nothing of them is left
    days_to_join: int  # of silver, to be measured anew
    old_versions_until: dt.datetime

    def to_json(self) -> dict:
        """The result for programs; times in ISO 8601."""
        values = dataclasses.asdict(self) | {"removed": dict(self.removed)}
        return values | {"records_left": 0, "old_versions_until": self.old_versions_until.isoformat()}

    def to_text(self) -> str:
        """A table of what was removed, the proof, and what to do next."""
        lines = [f"{self.viewers:,} viewers are forgotten; {self.viewers_known:,} of them had records here."]
        lines += [f"  {name:<22}{count:>12,} records removed" for name, count in self.removed.items() if count]
        if self.snapshots_removed:
            lines.append(f"  snapshots removed: {', '.join(self.snapshots_removed)}")
        lines.append(f"Looked through {self.tables_checked} tables and all snapshots: nothing of them is left.")
        if self.removed:
            lines.append(
                "Old versions of the tables still hold what was removed: after "
                f"{self.old_versions_until:%Y-%m-%d %H:%M} UTC run `pagerec forget --vacuum`, which deletes them."
            )
        if self.days_to_join:
            lines.append(
                f"Run `pagerec join`, which measures {self.days_to_join} days without them, then `pagerec prepare`; "
                "a model that was trained on their page views knows them until it is trained again."
            )
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class PurgeResult:
    """What `pagerec forget --purge-unreadable` answers."""

    unreadable_removed: int  # refused lines without a user

    def to_json(self) -> dict:
        return dataclasses.asdict(self)

    def to_text(self) -> str:
        return f"{self.unreadable_removed:,} refused lines without a readable user were removed."


@dataclasses.dataclass(frozen=True)
class VacuumResult:
    """Of how many forgotten viewers the tables' old versions are gone too."""

    tables: int
    viewers_gone: int
    viewers_waiting: int  # removed too short a time ago, or not yet to the end
    next_at: dt.datetime | None  # when the last of those who wait can go

    def to_json(self) -> dict:
        """The result for programs; times in ISO 8601."""
        return dataclasses.asdict(self) | {"next_at": self.next_at and self.next_at.isoformat()}

    def to_text(self) -> str:
        """One sentence, and a second one where something is still to be done."""
        text = (
            f"Vacuumed {self.tables} tables: of {self.viewers_gone:,} forgotten viewers no old version of a table is "
            "left."
        )
        if self.viewers_waiting:
            when = (
                f"after {self.next_at:%Y-%m-%d %H:%M} UTC"
                if self.next_at
                else "when the stopped `forget` was run again"
            )
            text += f" {self.viewers_waiting:,} more wait: run `pagerec forget --vacuum` {when}."
        return text
