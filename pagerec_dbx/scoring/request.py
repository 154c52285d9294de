"""One page, as it comes in a service log or a request: checked, and turned into arrays. No Spark."""

import dataclasses
import datetime as dt
import json
import math
import re
from collections.abc import Mapping, Sequence

import numpy as np

from pagerec_dbx.errors import PageError
from pagerec_dbx.scoring.pages import UNKNOWN_TIME, Pages, nothing_shown

LONGEST_MENU = 500
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_LONGEST_AGE = 2**31 - 1  # seconds; what the record's int32 holds
_WIDEST_OFFSET = 14 * 60  # minutes, the farthest any clock is from UTC
_ISO = r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?( ?(Z|[+-]\d{2}(:?\d{2})?))?)?"  # as `ingest` reads
EXAMPLE = '{"watch_history": ["t1"], "candidates": [{"row_id": "r1"}, {"row_id": "r2"}]}'


@dataclasses.dataclass(frozen=True)
class Row:
    """One offered row."""

    row_id: str
    pinned: bool
    position: int


def parse_page(text: bytes | str) -> Mapping:
    """The JSON object that a page came as; bytes are UTF-8.

    Raises:
        PageError: it is no JSON object.
    """
    try:
        page = json.loads(text.decode("utf-8") if isinstance(text, bytes) else text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise PageError(
            "the page is not JSON", wanted="one JSON object", got=_shown(str(text)), fix=f"Send e.g. {EXAMPLE}"
        ) from error
    return _object(page)


def page_from_request(page: Mapping, history_length: int, shown_length: int = 0) -> Pages:
    """A request's page as arrays of one page.

    Args:
        page: watch_history, candidates, timestamp, device, location and utc_offset_minutes as in a service log; other
            keys are ignored.
        history_length: most recent titles kept.
        shown_length: places for what the viewer was shown before, which a request does not say: they stay empty.

    Raises:
        PageError: no candidates, more than 500, a row twice, positions that are not 0..n-1, or a value of a wrong type.
    """
    rows = _rows(_object(page).get("candidates"))
    served_at = None if page.get("timestamp") is None else _time("timestamp", page["timestamp"])
    titles, ages = _history(page.get("watch_history"), served_at)
    titles, ages = titles[-history_length:], ages[-history_length:]
    blank = history_length - len(titles)
    hour, weekday = _local_time(served_at, _offset(page.get("utc_offset_minutes")))
    return Pages(
        names=np.array([_text("request_id", page.get("request_id")) or "of the request"], object),
        history=np.array([titles + [""] * blank], object),
        history_age=np.array([ages + [0] * blank], np.int32),
        menu=np.array([[row.row_id for row in rows]], object),
        pinned=np.array([[row.pinned for row in rows]], bool),
        mask=np.ones((1, len(rows)), bool),
        hour=np.array([hour], np.int32),
        weekday=np.array([weekday], np.int32),
        device=np.array([_text("device", page.get("device"))], object),
        location=np.array([_text("location", page.get("location"))], object),
        shown=nothing_shown(1, shown_length),
    )


def _rows(candidates: object) -> list[Row]:
    """The offered rows in order of position."""
    if candidates is None or candidates == []:
        raise PageError("the page has no candidates", wanted="1 to 500 rows", fix=f"Send e.g. {EXAMPLE}")
    listed = _list("candidates", candidates)
    if len(listed) > LONGEST_MENU:
        raise PageError("the page has too many candidates", wanted="1 to 500 rows", got=str(len(listed)), fix="Cut it")
    rows = [_row(candidate, index) for index, candidate in enumerate(listed)]
    seen: set[str] = set()
    for row in rows:
        if row.row_id in seen:
            raise PageError(
                "a row is twice among the candidates", wanted="each once", got=_shown(row.row_id), fix="Send it once"
            )
        seen.add(row.row_id)
    ordered = sorted(rows, key=lambda row: row.position)
    positions = [row.position for row in ordered]
    if positions != list(range(len(rows))):
        first = next(index for index, position in enumerate(positions) if position != index)
        raise PageError(
            "the candidates' positions have gaps or repeats",
            wanted=f"0 to {len(rows) - 1}, each once",
            got=f"{positions[first]} where {first} should be",
            fix="Number the rows from 0 without gaps, or leave `position` out",
        )
    return ordered


def _row(candidate: object, index: int) -> Row:
    name = f"candidates[{index}]"
    if not isinstance(candidate, Mapping):
        raise _wrong_type(name, 'an object as {"row_id": "r1"}', candidate)
    row_id = _text(f"{name}.row_id", candidate.get("row_id"))
    if not row_id:
        raise PageError(f"{name} has no row_id", wanted="a row id", got=_shown(candidate), fix="Give each row its id")
    pinned, position = candidate.get("pinned"), candidate.get("position")
    if not isinstance(pinned, bool | None):
        raise _wrong_type(f"{name}.pinned", "true or false", pinned)
    if isinstance(position, bool) or not isinstance(position, int | None):
        raise _wrong_type(f"{name}.position", "a whole number from 0", position)
    return Row(row_id, bool(pinned), index if position is None else position)


def _history(entries: object, served_at: int | None) -> tuple[list[str], list[int]]:
    """Titles watched before the page view, oldest first as they come, and their ages in seconds, 0 where unknown."""
    titles, ages = [], []
    for index, entry in enumerate([] if entries is None else _list("watch_history", entries)):
        name = f"watch_history[{index}]"
        title, watched_at = entry, None
        if isinstance(entry, Mapping):
            title = entry.get("title_id")
            watched_at = None if entry.get("watched_at") is None else _time(f"{name}.watched_at", entry["watched_at"])
        title = _text(name, title)
        if not title:
            raise PageError(f"{name} has no title", wanted="a title id", got=_shown(entry), fix="Leave the entry out")
        known = served_at is not None and watched_at is not None
        if not known or watched_at < served_at:
            titles.append(title)
            ages.append(min(max((served_at - watched_at) // 1_000_000, 1), _LONGEST_AGE) if known else 0)
    return titles, ages


def _local_time(served_at: int | None, offset: int) -> tuple[int, int]:
    """Hour and weekday (Monday 0) where the viewer is."""
    if served_at is None:
        return UNKNOWN_TIME, UNKNOWN_TIME
    hours = (served_at + offset * 60_000_000) // 3_600_000_000
    return hours % 24, (hours // 24 + 3) % 7  # 1970-01-01 was a Thursday


def _time(name: str, value: object) -> int:
    """Microseconds since 1970 of epoch milliseconds or an ISO 8601 time; finer digits are cut."""
    wanted = 'epoch milliseconds or ISO 8601, e.g. 1704067200000 or "2024-01-01T00:00:00Z"'
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _wrong_type(name, wanted, value)
    try:
        moment = _from_text(value) if isinstance(value, str) else _from_milliseconds(value)
    except (ValueError, OverflowError) as error:
        raise PageError(f"`{name}` is no time", wanted=wanted, got=_shown(value), fix="Correct it") from error
    moment = moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment
    return (moment - _EPOCH) // dt.timedelta(microseconds=1)


def _from_text(text: str) -> dt.datetime:
    if re.fullmatch("[0-9]+", text, re.ASCII):
        return _from_milliseconds(int(text))
    if not re.fullmatch(_ISO, text.upper(), re.ASCII):
        raise ValueError(text)
    return dt.datetime.fromisoformat(re.sub(r" (?=[Z+-])", "", text.upper()))


def _from_milliseconds(milliseconds: int | float) -> dt.datetime:
    return _EPOCH + dt.timedelta(microseconds=math.floor(milliseconds * 1_000))


def _offset(value: object) -> int:
    """Minutes east of UTC; 0 where it is not given."""
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _WIDEST_OFFSET:
        raise _wrong_type("utc_offset_minutes", f"whole minutes, -{_WIDEST_OFFSET} to {_WIDEST_OFFSET}", value)
    return value


def _text(name: str, value: object) -> str:
    """An id; a number becomes its JSON text, null the empty text."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _wrong_type(name, "text or a number", value)
    text = value if isinstance(value, str) else json.dumps(value)
    if re.search("[\ud800-\udfff\0]", text):  # half a character, or what ends a string elsewhere: no engine takes it
        raise PageError(f"`{name}` is no valid text", wanted="Unicode without NUL", got=_shown(text), fix="Correct it")
    return text


def _object(page: object) -> Mapping:
    if not isinstance(page, Mapping):
        raise PageError("the page is no object", wanted="one JSON object", got=_shown(page), fix=f"Send e.g. {EXAMPLE}")
    return page


def _list(name: str, value: object) -> Sequence:
    if not isinstance(value, list | tuple):
        raise _wrong_type(name, "a list", value)
    return value


def _wrong_type(name: str, wanted: str, value: object) -> PageError:
    return PageError(f"`{name}` has the wrong type or range", wanted=wanted, got=_shown(value), fix="Correct it")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _shown(value: object) -> str:
    """The value's beginning, on one line."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    short = " ".join(ascii(text)[1:-1].split())
    return short if len(short) <= 60 else short[:57] + "..."
