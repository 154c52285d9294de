"""What `pagerec rekey` answers."""

import dataclasses

from pagerec_dbx.hashing import VARIABLE


@dataclasses.dataclass(frozen=True)
class RekeyResult:
    """What was moved to the new key."""

    key: str  # the new one's fingerprint
    viewers: int  # of the file
    tables: int  # rewritten
    snapshots_removed: tuple[str, ...] = ()
    refused_lines_dropped: int = 0  # of users who are not in the file
    forgotten_not_covered: int = 0  # on the list of the forgotten, by the old key for ever
    key_in_environment: bool = False  # the home has no key file of its own to replace

    def to_text(self) -> str:
        """What was done, and what is left to the person."""
        lines = [f"The user hashes are by the key {self.key} now: {self.viewers:,} viewers, {self.tables} tables."]
        if self.snapshots_removed:
            lines.append(f"  {len(self.snapshots_removed)} snapshots were removed: run `pagerec prepare`.")
        if self.refused_lines_dropped:
            lines.append(
                f"  {self.refused_lines_dropped:,} refused lines were removed, of users who are not in the file."
            )
        if self.forgotten_not_covered:
            lines.append(
                f"  {self.forgotten_not_covered:,} forgotten viewers are not in the file: a replay of their logs would "
                "bring them back. Forget them again, by their new ids, or keep those logs away."
            )
        if self.key_in_environment:
            lines.append(f"Set {VARIABLE} to the new key now, wherever it is set: the old one is refused from here on.")
        else:
            lines.append("hash.key holds the new key: back it up.")
        lines.append(
            "Whoever hashes user ids upstream has to use the new key too. Old versions of the tables have the old "
            "hashes until `pagerec forget --vacuum`, after history_days (7)."
        )
        return "\n".join(lines)
