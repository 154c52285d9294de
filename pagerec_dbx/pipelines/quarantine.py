"""The text of a refused line, without the ids of users in it."""

import json
import re

from pyspark.sql import Column
from pyspark.sql.functions import pandas_udf

from pagerec_dbx.hashing import HashingKey, user_hash

ID_KEYS = ("user_id",)
HASH_KEYS = ("user_hash",)
MASKED_BYTES = 200  # kept of a line in which no key can be found
KEPT_BYTES = 1 << 20  # of any line

_MASKED = "struct<raw:string,user_hash:string>"
_JSON_KEY = re.compile(r'"([\w\\]{1,60})"\s*:\s*')  # no longer than a key of ours written in escapes
# A key in what is no JSON any more: other quotes or none, escaped quotes, an equals sign.
_LOOSE_KEY = re.compile(r"(?i)({})[\\\"'\s]*[:=][\\\"'\s]*(?=[^\s,}}\]\\\"'])".format("|".join(ID_KEYS)))
_LOOSE_VALUE = re.compile(r"[^,}\]\\\"']+")  # may hold spaces; too much hidden is better than too little
_QUOTED_VALUE = {quote: re.compile(f"[^{quote}]+") for quote in "\"'"}  # to the next quote of the kind, or the end
_BARE_VALUE = re.compile(r"[^\s,}\]]*")
_OPEN_STRING = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?$)', re.DOTALL)
_LONG_TOKEN = re.compile(r"[^\W_][\w-]{7,}")
_DECODER = json.JSONDecoder()


def masked(line: Column, key: HashingKey) -> Column:
    """A refused line's bytes as struct<raw, user_hash>, null where the line is null.

    It hashes ids, so it is a Python function as `hashing.hashed` is; the key is read on the executor.
    """
    import pandas as pd

    @pandas_udf(_MASKED)
    def mask(lines: pd.Series) -> pd.DataFrame:
        secret = key.read()
        pairs = [(None, None) if octets is None else mask_line(bytes(octets), secret) for octets in lines]
        return pd.DataFrame(pairs, columns=["raw", "user_hash"], dtype=object)

    return mask(line.cast("binary"))


def mask_line(octets: bytes, secret: bytes) -> tuple[str, str | None]:
    """The text to keep of a refused line, and the hash of the user it is about if one can be read."""
    octets = octets.replace(b"\0", b"")  # in UTF-16 they stand between the letters of a key
    text = octets[:KEPT_BYTES].decode("utf-8", errors="replace")
    kept, hashes, found = _without_ids(text, secret)
    if not found:
        return _blurred(octets[:MASKED_BYTES].decode("utf-8", errors="ignore")), None
    return kept, hashes[0] if hashes else None


def _without_ids(text: str, secret: bytes) -> tuple[str, list[str], bool]:
    """The text with each id replaced by its hash; the hashes, of id keys first; whether any key was found."""
    parts, of_ids, of_hashes, found, end = [], [], [], False, 0
    while match := _JSON_KEY.search(text, end):
        parts.append(text[end : match.end()])
        end = match.end()
        name = _unescaped(match[1])
        if name not in ID_KEYS + HASH_KEYS:
            continue
        found = True
        value, end = _value_at(text, match.end())
        if name in ID_KEYS and value is not None:
            of_ids.append(user_hash(secret, value))
            parts.append(f'"{of_ids[-1]}"')
        else:
            of_hashes += [value] if value else []
            parts.append(text[match.end() : end])
    strict = "".join([*parts, text[end:]])
    loose = _without_loose_ids(strict, secret, known=set(of_ids))
    return loose, of_ids + of_hashes, found or loose != strict


def _unescaped(text: str) -> str:
    try:
        return json.loads(f'"{text}"', strict=False)
    except ValueError:
        return text


def _value_at(text: str, start: int) -> tuple[str | None, int]:
    """The JSON value that begins here as an id (null: None), and where it ends; of a broken one, all that may be it."""
    try:
        value, stop = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        if text[start : start + 1] in ("[", "{"):
            return text[start:], len(text)
        match = _OPEN_STRING.match(text, start) or _BARE_VALUE.match(text, start)
        return match[0].strip('"') or None, match.end()
    if value is None:
        return None, stop
    return value if isinstance(value, str) else text[start:stop], stop


def _without_loose_ids(text: str, secret: bytes, known: set[str]) -> str:
    parts, end = [], 0
    while match := _LOOSE_KEY.search(text, end):
        quotes = [letter for letter in match[0] if letter in _QUOTED_VALUE]
        value = (_QUOTED_VALUE[quotes[-1]] if quotes else _LOOSE_VALUE).match(text, match.end())
        told = value[0].rstrip("\\ \r\n\t")  # without what escapes the closing quote
        kept = told in known or told == "null"
        parts += [text[end : match.end()], told if kept else user_hash(secret, told)]
        end = match.end() + len(told)
    return "".join([*parts, text[end:]])


def _blurred(text: str) -> str:
    """Digits and tokens of eight letters or more made unreadable."""
    return re.sub(r"\d", "#", _LONG_TOKEN.sub("*", text))
