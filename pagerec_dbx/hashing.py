"""User ids become keyed hashes before anything else sees them."""

import dataclasses
import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from pagerec_dbx.errors import KeyFileError
from pagerec_dbx.home import Home, key_fingerprint, require_same_key

if TYPE_CHECKING:
    from numpy import ndarray
    from pandas import Series

VARIABLE = "PAGEREC_KEY"


@dataclasses.dataclass(frozen=True)
class HashingKey:
    """Where the key is to be found; the key itself is read by whoever hashes, so that no query plan holds it."""

    file: str

    def read(self) -> bytes:
        """The key's bytes: of the variable PAGEREC_KEY, else of the stripped text of the key file.

        Raises:
            KeyFileError: neither exists, or the file does not hold 64 hex digits.
        """
        if os.environ.get(VARIABLE):
            return os.environ[VARIABLE].encode("utf-8")
        return read_key_file(Path(self.file), f"Restore it from its backup, or set {VARIABLE}")


def read_key_file(file: Path, fix: str) -> bytes:
    """The key that stands in a file.

    Args:
        fix: what to do where it is missing or malformed.

    Raises:
        KeyFileError: it does not exist, or does not hold 64 hex digits.
    """
    try:
        text = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"hashing key file {file} cannot be read", got=type(error).__name__, fix=fix) from error
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise KeyFileError(
            f"hashing key file {file} is malformed",
            wanted="64 lower-case hex digits",
            got=f"{len(text)} characters",
            fix=fix,
        )
    return text.encode("ascii")


def fingerprint(key: HashingKey) -> str:
    """What tells keys apart and does not give them away: 16 hex digits."""
    return fingerprint_of(key.read())


def fingerprint_of(secret: bytes) -> str:
    """The same, of the key itself."""
    return user_hash(secret, "pagerec: which key is this?")[:16]


@dataclasses.dataclass(frozen=True)
class ThrowAwayKey(HashingKey):
    """A key that nothing is kept under: it stands in no file, and may stand in a query plan."""

    secret: str

    def read(self) -> bytes:
        return self.secret.encode("ascii")


def existing_key(home: Home) -> HashingKey | None:
    """The home's key, None where none was made yet.

    Raises:
        KeyFileError: the key file is malformed.
    """
    if not os.environ.get(VARIABLE) and not home.key_file.exists():
        return None
    key = HashingKey(str(home.key_file))
    key.read()
    return key


def required_key(home: Home) -> HashingKey:
    """The key by which the home's user ids are hashed.

    Raises:
        KeyFileError: there is none, or another one.
    """
    key = existing_key(home)
    if key is None:
        raise KeyFileError(
            f"home {home.name} has no hashing key",
            wanted=f"{home.key_file} or {VARIABLE}",
            fix="Check --home; a home gets its key when logs are ingested",
        )
    require_same_key(home, fingerprint(key))
    return key


def throw_away_key() -> ThrowAwayKey:
    """A new key, for hashes that are only to be looked at."""
    return ThrowAwayKey("", secrets.token_hex(32))


def ensure_key(home: Home, derived_from_seed: int | None = None) -> tuple[HashingKey, bool]:
    """The home's key, made on first use; the second value says whether it was made now.

    Args:
        derived_from_seed: for demos and benchmarks, whose figures must repeat: derive a new key from this.

    Raises:
        KeyFileError: the key file is malformed, or is gone although ids were hashed by it.
    """
    existing = existing_key(home)
    if existing is not None:
        return existing, False
    lost = key_fingerprint(home)
    if lost is not None:
        raise KeyFileError(
            f"home {home.name} has lost its hashing key",
            wanted=f"{home.key_file} or {VARIABLE}, the key with the fingerprint {lost}",
            fix="Restore it from its backup: by a new key every viewer of this home would become another one",
        )
    write_key_file(home, secrets.token_hex(32) if derived_from_seed is None else _derived(derived_from_seed))
    return HashingKey(str(home.key_file)), True


def write_key_file(home: Home, text: str) -> None:
    """Put a key into the home's key file, readable by its owner only, in one step."""
    aside = home.key_file.with_name(f".hash.key.{os.getpid()}")
    aside.unlink(missing_ok=True)  # left by a killed process of the same number
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text + "\n")
    aside.replace(home.key_file)


def _derived(seed: int) -> str:
    return hashlib.sha256(f"pagerec demo key {seed}".encode()).hexdigest()


def user_hash(key: bytes, user_id: str) -> str:
    """Lower-case hex HMAC-SHA-256(key, user_id)."""
    return hmac.new(key, user_id.encode("utf-8"), hashlib.sha256).hexdigest()


def hash_all(secret: bytes, ids: "Series") -> "ndarray":
    """The user_hash of each id, None where it is null; each distinct id is hashed once."""
    import numpy as np
    import pandas as pd

    codes, distinct = pd.factorize(ids)  # nulls get the code -1
    return np.array([*(user_hash(secret, text) for text in distinct), None], dtype=object)[codes]


def hashed(column, key: HashingKey):
    """The user_hash of a column of user ids, null where it is null.

    Returns:
        A Spark column. It is a Python function because the key is read on the executor, and is in no query plan.
    """
    import pandas as pd
    from pyspark.sql.functions import pandas_udf

    @pandas_udf("string")
    def hash_ids(ids: pd.Series) -> pd.Series:
        return pd.Series(hash_all(key.read(), ids), dtype=object)

    return hash_ids(column)
