"""The note of a move to another hashing key: while it stands, the home's hashes are by two keys."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping

from pagerec_dbx.errors import RekeyError
from pagerec_dbx.home import Home, write_atomically

NOTE = "rekey-pending.json"


@dataclasses.dataclass(frozen=True)
class Move:
    """From which key to which, by their fingerprints, and by which file of ids."""

    old: str
    new: str
    pairs: str  # digest of old and new hashes
    viewers: int


def move_of(old: str, new: str, hashes: Mapping[str, str]) -> Move:
    """The move from one key to another by these hashes, in whatever order the file had them."""
    digest = hashlib.sha256()
    for pair in sorted(hashes.items()):
        digest.update("".join(pair).encode("utf-8"))
    return Move(old, new, digest.hexdigest(), len(hashes))


def pending_move(home: Home) -> Move | None:
    """The move that was begun and not finished."""
    note = home.folder / NOTE
    try:
        return Move(**json.loads(note.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise RekeyError(f"{note} is malformed", got=str(error), fix="Restore the home from its backup") from error


def begin_move(home: Home, move: Move) -> None:
    """Write down that hashes are about to be replaced."""
    write_atomically(home.folder / NOTE, json.dumps(dataclasses.asdict(move)) + "\n")


def end_move(home: Home) -> None:
    """All hashes are by the new key."""
    (home.folder / NOTE).unlink(missing_ok=True)


def require_no_move(home: Home) -> None:
    """Refuse to write to a home whose hashes are by two keys.

    Raises:
        RekeyError: `pagerec rekey` was stopped.
    """
    if (home.folder / NOTE).exists():
        raise RekeyError(
            f"home {home.name} is on its way to another hashing key",
            wanted="hashes by one key",
            got=f"{NOTE}, which a stopped `pagerec rekey` left",
            fix="Run the same `pagerec rekey` again: it goes on where it was stopped",
        )
