"""Metarank's event format: items, rankings (pages), interactions (likes) and users, as JSON lines, plain or gz."""

import collections
import contextlib
import dataclasses
import datetime as dt
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pagerec_dbx.errors import EventsError

_IGNORED = ("user",)
_FIX = "Correct the file, or leave the line out"


@dataclasses.dataclass(frozen=True)
class Page:
    """One ranking event."""

    id: str
    user: str
    millis: int
    items: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Like:
    """One interaction event; `page` is null where it belongs to no ranking."""

    page: str | None
    user: str
    item: str
    millis: int


@dataclasses.dataclass
class Events:
    """What a file of events holds, in the file's order."""

    items: dict[str, dict[str, object]] = dataclasses.field(default_factory=dict)
    pages: dict[str, Page] = dataclasses.field(default_factory=dict)
    likes: list[Like] = dataclasses.field(default_factory=list)


def read_events(file: Path) -> Events:
    """The events of a file.

    Raises:
        EventsError: the file cannot be read, or a line is malformed; its number is named.
    """
    events = Events()
    for number, line in enumerate(_lines(file), start=1):
        if not line.strip():
            continue
        try:
            _take(events, json.loads(line, parse_constant=_no_number))
        except _Fault as fault:
            what = f"{file}, line {number}: {fault.what}"
            raise EventsError(what, wanted=fault.wanted, got=fault.got, fix=_FIX) from None
        except (ValueError, RecursionError) as error:
            got = f"{str(error)[:200]}"
            raise EventsError(f"{file}, line {number} is no JSON", wanted="one event", got=got, fix=_FIX) from error
    return events


class _Fault(Exception):
    """What is wrong with one event; the reader adds the line."""

    def __init__(self, what: str, wanted: str, got: object):
        super().__init__(what)
        self.what, self.wanted, self.got = what, wanted, repr(got)[:100]


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no JSON number")


def _lines(file: Path) -> Iterator[str]:
    try:
        with file.open("rb") as start:
            packed = start.read(2) == b"\x1f\x8b"
        with gzip.open(file, "rb") if packed else file.open("rb") as stream:
            for line in stream:
                yield line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EventsError(f"{file} is no UTF-8 text", got=str(error), fix="Check the file") from error
    except (OSError, EOFError, zlib.error) as error:
        raise EventsError(
            f"events file {file} cannot be read", wanted="JSON lines, plain or gz", got=str(error), fix="Check the path"
        ) from error


def _take(events: Events, event: object) -> None:
    """Add one event to those read before.

    Raises:
        _Fault: it is malformed.
    """
    if not isinstance(event, dict):
        raise _Fault("an event is no object", "a JSON object", event)
    kind = event.get("event")
    if kind == "item":
        # A later event of an item says what has changed.
        events.items.setdefault(_text(event, "item"), {}).update(_fields(event))
    elif kind == "ranking":
        page = _page(event)
        if page.id in events.pages:
            raise _Fault("a second ranking has the same id", "every id once", page.id)
        events.pages[page.id] = page
    elif kind == "interaction":
        of_page = None if event.get("ranking") is None else _text(event, "ranking")
        events.likes.append(Like(of_page, _text(event, "user"), _text(event, "item"), _millis(event)))
    elif kind not in _IGNORED:
        raise _Fault("an event of an unknown type", "item, ranking, interaction or user", kind)


def _page(event: Mapping[str, Any]) -> Page:
    items = event.get("items")
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise _Fault("a ranking has no items", "a list of {id}", items)
    ids = tuple(_text(item, "id") for item in items)
    if len(set(ids)) < len(ids):
        twice = next(item for item, count in collections.Counter(ids).items() if count > 1)
        raise _Fault("a ranking shows an item twice", "every item once", twice)
    return Page(_text(event, "id"), _text(event, "user"), _millis(event), ids)


def _text(event: Mapping[str, Any], name: str) -> str:
    value = event.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise _Fault(f"`{name}` is missing or no text", "a text or whole number", value)
    return str(value)


def _millis(event: Mapping[str, Any]) -> int:
    """Milliseconds since 1970; Metarank takes numbers, their text, and ISO 8601."""
    value = event.get("timestamp")
    with contextlib.suppress(ValueError, OverflowError):
        if isinstance(value, str | int) and not isinstance(value, bool):
            return int(value)
    with contextlib.suppress(ValueError, OverflowError):
        if isinstance(value, str):
            moment = dt.datetime.fromisoformat(value)
            aware = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
            return round(aware.timestamp() * 1000)
    raise _Fault("`timestamp` is missing or no time", "milliseconds since 1970 or ISO 8601", value)


def _fields(event: Mapping[str, Any]) -> dict[str, object]:
    fields = event.get("fields") or []
    if not isinstance(fields, list) or not all(isinstance(field, dict) for field in fields):
        raise _Fault("`fields` is no list of fields", "a list of {name, value}", fields)
    return {_text(field, "name"): _attribute(field) for field in fields if field.get("value") is not None}


def _attribute(field: Mapping[str, Any]) -> object:
    value = field["value"]
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list) and all(isinstance(word, str | int | float) for word in value):
        return [word if isinstance(word, str) else json.dumps(word) for word in value]
    if not isinstance(value, str | int | float) or value in (float("inf"), float("-inf")):
        raise _Fault(f"field `{field['name']}` has a value of an unknown kind", "text, number, truth or a list", value)
    return value
