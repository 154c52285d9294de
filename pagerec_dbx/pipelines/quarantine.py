"""The text of a refused line, without the ids of users in it."""

import functools
import json
import re

from pyspark.sql import Column
from pyspark.sql.functions import pandas_udf

from pagerec_dbx.hashing import HashingKey, hash_all, user_hash
from pagerec_dbx.pipelines.mapping import IdKeys

DEFAULT_KEYS = IdKeys()
MASKED_BYTES = 200  # kept of a line in which no key can be found
KEPT_BYTES = 1 << 20  # of any line
HASH = "[0-9a-f]{64}"  # a user_hash, as it stands in a masked text

_IDENTIFIED = "struct<raw:string,user_hash:string>"
# A mapped key may be as short as `id`: it counts where no other letters stand before it, the end of an escape apart.
_WORD_START = r"(?:(?<!\w)|(?<=\\[nrtbf])|(?<=\\u[0-9a-f]{4}))"
_LOOSE_VALUE = re.compile(r"[^,}\]\\\"']+")  # may hold spaces; too much hidden is better than too little
_QUOTED_VALUE = {quote: re.compile(f"[^{quote}]+") for quote in "\"'"}  # to the next quote of the kind, or the end
_NO_ID = re.compile(r"null(?=[\s,}\]]|$)")
_BARE_VALUE = re.compile(r"[^\s,}\]]*")
_OPEN_STRING = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?$)', re.DOTALL)
_LONG_TOKEN = re.compile(r"[^\W_][\w-]{7,}")
_DECODER = json.JSONDecoder()


def identified(
    refused: Column, user_id: Column, key: HashingKey, keys: IdKeys, forgotten: frozenset[str] = frozenset()
) -> Column:
    """What is known of a line's user, as struct<raw, user_hash>; either may be null.

    It hashes ids, so it is a Python function as `hashing.hashed` is. It is one function for both kinds of lines because
    each takes whole records out of the engine and back.

    Args:
        refused: the line, if it is refused: it gives `raw`, the text to keep of it, and the user_hash that it tells. Of
            one in which a forgotten viewer is named only that viewer's hash is given, and no text.
        user_id: the id, if the line is good and has one: it gives the user_hash.
        forgotten: hashes of viewers.
    """
    import numpy as np
    import pandas as pd

    @pandas_udf(_IDENTIFIED)
    def identify(lines: pd.Series, ids: pd.Series) -> pd.DataFrame:
        secret = key.read()
        hashes, raws = hash_all(secret, ids), np.full(len(lines), None)
        for at in np.flatnonzero(lines.notna()):
            told = mask_line(bytes(lines.iat[at]), secret, keys)
            raws[at], hashes[at] = without_forgotten(told, forgotten)
        return pd.DataFrame({"raw": raws, "user_hash": hashes}, dtype=object)

    return identify(refused.cast("binary"), user_id)


def mask_line(octets: bytes, secret: bytes, keys: IdKeys = DEFAULT_KEYS) -> tuple[str, str | None]:
    """The text to keep of a refused line, and the hash of the user it is about if one can be read."""
    octets = octets.replace(b"\0", b"")  # in UTF-16 they stand between the letters of a key
    text = octets[:KEPT_BYTES].decode("utf-8", errors="replace")
    kept, told = _without_ids(text, secret, keys)
    if kept is None:
        return _blurred(octets[:MASKED_BYTES].decode("utf-8", errors="ignore")), None
    if keys.id_path or keys.hash_path:
        return kept, _user_at(text, told, secret, keys)
    names = DEFAULT_KEYS.ids + DEFAULT_KEYS.hashes  # in this order: user_id counts where both are given
    return kept, next((hash_ for name in names for one, hash_ in told if one == name), None)


def without_forgotten(kept: tuple[str, str | None], forgotten: frozenset[str]) -> tuple[str | None, str | None]:
    """The same text and hash; if one of these viewers is named in the text, no text and that viewer's hash."""
    if not forgotten:
        return kept
    named = next((hash_ for hash_ in re.findall(HASH, kept[0]) if hash_ in forgotten), None)
    return kept if named is None else (None, named)


def _user_at(text: str, told: list[tuple[str, str]], secret: bytes, keys: IdKeys) -> str | None:
    """The hash of the user at the mapped paths; of a broken line, of the only user it has."""
    try:
        line = json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        of_leaves = [
            {hash_ for one, hash_ in told if [one] == list(path[-1:])} for path in (keys.id_path, keys.hash_path)
        ]
        hashes = of_leaves[0] or of_leaves[1]
        return hashes.pop() if len(hashes) == 1 else None
    user_id, given = _at(line, keys.id_path), _at(line, keys.hash_path)
    return user_hash(secret, user_id) if user_id else given or None


def _at(line: object, path: tuple[str, ...]) -> str | None:
    """The text at a path of a JSON object, if there is one."""
    for key in path:
        line = line.get(key) if isinstance(line, dict) else None
    return _as_java_has_it(line) if isinstance(line, str) and path else None


@functools.lru_cache(maxsize=32)
def _patterns(keys: IdKeys) -> tuple[re.Pattern, re.Pattern]:
    """What a key of a JSON object looks like, and an id's key in what is no JSON any more.

    There it has other quotes or none, escaped quotes, an equals sign.
    """
    names = (*keys.ids, *keys.hashes)
    odd = re.escape("".join(sorted({letter for letter in "".join(names) if not re.match(r"\w", letter)})))
    longest = 6 * max(map(len, names))  # a key written in escapes
    starts = ("" if name in DEFAULT_KEYS.ids else _WORD_START for name in keys.ids)
    loose = "|".join(start + re.escape(name) for start, name in zip(starts, keys.ids, strict=True))
    return (
        re.compile(rf'"([\w\\{odd}]{{1,{longest}}})"\s*:\s*'),
        re.compile(rf"(?i)({loose})[\\\"'\s]*[:=][\\\"'\s]*(?=[^\s,}}\]\\\"'])"),
    )


def _without_ids(text: str, secret: bytes, keys: IdKeys) -> tuple[str | None, list[tuple[str, str]]]:
    """The text with each id replaced by its hash, None if there is no key in it; each key with the hash behind it."""
    json_key, loose_key = _patterns(keys)
    parts, told, known, found, end = [], [], set(), False, 0
    while match := json_key.search(text, end):
        parts.append(text[end : match.end()])
        end = match.end()
        name = _unescaped(match[1])
        if name not in keys.ids + keys.hashes:
            continue
        found = True
        value, end = _value_at(text, match.end())
        if name in keys.ids and value is not None:
            told.append((name, user_hash(secret, value)))
            known.add(told[-1][1])
            parts.append(f'"{told[-1][1]}"')
        else:
            told += [(name, value)] if value else []
            parts.append(text[match.end() : end])
    strict = "".join([*parts, text[end:]])
    loose = _without_loose_ids(strict, secret, known, loose_key=loose_key)
    return loose if found or loose != strict else None, told


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
    return _as_java_has_it(value) if isinstance(value, str) else text[start:stop], stop


def _as_java_has_it(text: str) -> str:
    """The text with half surrogate pairs, which JSON's escapes can write and UTF-8 cannot, as question marks."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


def _without_loose_ids(text: str, secret: bytes, known: set[str], loose_key: re.Pattern) -> str:
    parts, end = [], 0
    while match := loose_key.search(text, end):
        if _NO_ID.match(text, match.end()) and not match[0].endswith(tuple(_QUOTED_VALUE)):
            parts.append(text[end : match.end()])
            end = match.end()
            continue
        quotes = [letter for letter in match[0] if letter in _QUOTED_VALUE]
        value = (_QUOTED_VALUE[quotes[-1]] if quotes else _LOOSE_VALUE).match(text, match.end())
        told = value[0].rstrip("\\ \r\n\t")  # without what escapes the closing quote
        parts += [text[end : match.end()], told if told in known else user_hash(secret, told)]
        end = match.end() + len(told)
    return "".join([*parts, text[end:]])


def _blurred(text: str) -> str:
    """Digits and tokens of eight letters or more made unreadable."""
    return re.sub(r"\d", "#", _LONG_TOKEN.sub("*", text))
