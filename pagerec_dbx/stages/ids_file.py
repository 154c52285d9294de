"""Files of user ids that a person hands over. No message repeats an id: only the number of its line is told."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from pagerec_dbx.errors import IdsFileError, RekeyError
from pagerec_dbx.hashing import user_hash
from pagerec_dbx.pipelines.quarantine import HASH

_LONGEST_ID = 1 << 24  # letters
_OLD, _NEW = ("old_id", "old_hash"), ("new_id", "new_hash")
_FORMS = "`old_id,new_id`, `user_id` alone where the ids stay, or hashes under `old_hash` or `new_hash`"
_FIX = "Give a UTF-8 file with a header and one viewer a line (docs/forgetting.md)"


def read_user_ids(file: Path) -> list[str]:
    """The ids of a file, one a line, each once, to the letter, as `ingest` takes them; empty lines do not count.

    Raises:
        IdsFileError: it cannot be read, is no UTF-8, or has no id.
    """
    lines = _text(file).split("\n")  # not splitlines(), for which an id may hold the end of a line
    ids = list(dict.fromkeys(line.removesuffix("\r") for line in lines))
    ids = [user_id for user_id in ids if user_id]
    if not any(map(str.strip, ids)):
        raise IdsFileError(
            f"{file} names no viewer", wanted="one user id a line", got="nothing but blank lines", fix="Check the file"
        )
    return ids


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        got = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise IdsFileError(
            f"{file} cannot be read", wanted="a UTF-8 text file", got=got, fix="Check its path and its encoding"
        ) from error


def read_new_hashes(file: Path, old_key: bytes, new_key: bytes) -> dict[str, str]:
    """Each viewer's hash by the old key and by the new one, from a CSV file with a header.

    Raises:
        IdsFileError: it cannot be read, has another header, a line of another form, or no line.
        RekeyError: two lines say different things of one viewer, or two viewers would become one.
    """
    found: dict[str, str] = {}
    lines: dict[str, int] = {}  # new hash -> line that gave it
    for number, old, new in _pairs(file, old_key, new_key):
        if found.get(old, new) != new:
            raise _contradiction(file, number, "names a viewer of an earlier line with another new id")
        if old not in found and new in lines:
            raise _contradiction(file, number, f"gives its viewer the new id of line {lines[new]}")
        found[old] = new
        lines.setdefault(new, number)
    if not found:
        raise IdsFileError(f"{file} names no viewer", wanted=_FORMS, got="a header alone", fix=_FIX)
    both = len(found.keys() & lines.keys())
    if both:
        raise RekeyError(
            f"{file} has hashes that are old ones and new ones",
            wanted="hashes by two different keys",
            got=f"{both:,} on both sides",
            fix="Check its columns",
        )
    return found


def _contradiction(file: Path, number: int, what: str) -> RekeyError:
    return RekeyError(
        f"line {number} of {file} {what}",
        wanted="one new id for each viewer, and another one for each",
        fix="Correct the file: two viewers cannot become one, their page views could not be told apart again",
    )


def _pairs(file: Path, old_key: bytes, new_key: bytes) -> Iterator[tuple[int, str, str]]:
    """Number of the line, old hash, new hash; ids to the letter."""
    # As `read_user_ids`: an id may hold what Python takes for the end of a line, and may be as long as a line of a log.
    csv.field_size_limit(_LONGEST_ID)
    reader = csv.reader((f"{line}\n" for line in _text(file).removesuffix("\n").split("\n")), strict=True)
    try:
        header = tuple(name.strip() for name in next(reader, ()))
        old, new = _columns(file, header)
        for values in reader:
            if not any(values):
                continue
            if len(values) != len(header) or not all(values):
                got = f"{len(values)} values, {sum(not value for value in values)} of them empty"
                where = f"line {reader.line_num} of {file} is malformed"
                raise IdsFileError(where, wanted=f"{len(header)} values", got=got, fix=_FIX)
            where = f"line {reader.line_num} of {file}"
            yield (
                reader.line_num,
                _hash(where, header[old], values[old], old_key),
                _hash(where, header[new], values[new], new_key),
            )
    except csv.Error as error:
        raise IdsFileError(f"line {reader.line_num} of {file} is malformed", got=str(error), fix=_FIX) from error


def _columns(file: Path, header: tuple[str, ...]) -> tuple[int, int]:
    """Where the old and the new id stand."""
    if header == ("user_id",):
        return 0, 0
    old, new = ([place for place, name in enumerate(header) if name in names] for names in (_OLD, _NEW))
    if len(header) != 2 or len(old) != 1 or len(new) != 1:
        # The header is not repeated: where there is none it is somebody's id.
        raise IdsFileError(f"{file} has another header", wanted=_FORMS, got=f"{len(header)} other columns", fix=_FIX)
    return old[0], new[0]


def _hash(where: str, column: str, value: str, key: bytes) -> str:
    """The hash that a line gives or that its id has; what calls itself a hash and is none could be a raw id."""
    if not column.endswith("_hash"):
        return user_hash(key, value)
    value = value.strip()
    if not re.fullmatch(HASH, value):
        raise IdsFileError(
            f"{where} has no hash under `{column}`",
            wanted="64 digits of 0 to 9 and a to f",
            got=f"{len(value)} other characters",
            fix=_FIX,
        )
    return value
