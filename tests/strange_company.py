"""The same lines as another company would have written them, and the mapping that undoes it."""

import yaml

from pagerec_dbx.pipelines.mapping import Mapping
from pagerec_dbx.pipelines.mapping_file import mapping_from

# `id`, `name` and `at` stand in several places each; the user's hash has the key of somebody's id.
MAPPING_TEXT = """
service_logs:
  request_id: meta.request.id
  timestamp: {path: meta.at, unit: us}
  user_id: who.account.id
  device: client.kind
  location: client.geo.name
  utc_offset_minutes: client.geo.minutes
  randomized: meta.shuffled
  watch_history: {path: seen.titles, title_id: content.id, watched_at: {path: at, unit: s}}
  candidates: {path: page.shelves, row_id: id, row_title: name, position: slot.no, pinned: slot.sticky}
hashed_payloads:
  user_hash: h.id
  timestamp: {path: t, unit: s}
  device: [d.kind]
  location: null
  watch_history: {path: w, title_id: t, watched_at: {path: at, unit: us}}
  candidates: rows
click_logs:
  request_id: about.id
  user_id: user.id
  user_hash: user.hash
  timestamp: {unit: s}
  row_click: row.id
  row_click_title: row.name
  row_position: row.slot
page_events:
  event: {constant: row_click}
  user_hash: h.id
  timestamp: {path: at, unit: us}
  row_id: row
  row_title: null
titles:
  title_id: title.id
  attributes: title.facts
"""


def mapping() -> Mapping:
    return mapping_from(yaml.safe_load(MAPPING_TEXT))


def strange_service(line: dict) -> dict:
    moved = _moved(
        line,
        request_id="meta.request.id",
        user_id="who.account.id",
        device="client.kind",
        location="client.geo.name",
        utc_offset_minutes="client.geo.minutes",
        randomized="meta.shuffled",
    )
    _put(moved, "meta.at", line, "timestamp", lambda time: _times(time, 1_000))
    _put(moved, "seen.titles", line, "watch_history", lambda entries: _each(entries, _strange_entry))
    _put(moved, "page.shelves", line, "candidates", lambda rows: _each(rows, _strange_row))
    return moved | {"id": "no id of ours", "name": {"neither": "a name"}, "at": [1]}


def _strange_entry(entry: dict) -> dict:
    moved = _moved(entry, title_id="content.id")
    _put(moved, "at", entry, "watched_at", lambda time: _times(time, 1 / 1_000))
    return moved


def _strange_row(row: dict) -> dict:
    return _moved(row, row_id="id", row_title="name", position="slot.no", pinned="slot.sticky")


def strange_payload(line: dict) -> dict:
    page = line["payload"]
    moved = _moved(line, user_hash="h.id") | _moved(page, candidates="rows")
    _put(moved, "t", line, "timestamp", lambda time: _times(time, 1 / 1_000))
    _put(moved, "w", page, "watch_history", lambda entries: _each(entries, _short_entry))
    if "device" in page:
        moved["d.kind"] = page["device"]
    return moved


def _short_entry(entry: dict) -> dict:
    moved = _moved(entry, title_id="t")
    _put(moved, "at", entry, "watched_at", lambda time: _times(time, 1_000))
    return moved


def strange_click(line: dict) -> dict:
    moved = _moved(
        line,
        request_id="about.id",
        user_id="user.id",
        user_hash="user.hash",
        row_click="row.id",
        row_click_title="row.name",
        row_position="row.slot",
    )
    _put(moved, "timestamp", line, "timestamp", lambda time: _times(time, 1 / 1_000))
    return moved


def strange_event(line: dict) -> dict:
    kept = {name: value for name, value in line.items() if name in ("page", "position", "transaction")}
    moved = kept | _moved(line, user_hash="h.id", row_id="row")
    _put(moved, "at", line, "timestamp", lambda time: _times(time, 1_000))
    return moved


def strange_title(line: dict) -> dict:
    return _moved(line, title_id="title.id", attributes="title.facts")


def _moved(line: dict, **paths: str) -> dict:
    moved: dict = {}
    for name, path in paths.items():
        _put(moved, path, line, name, lambda value: value)
    return moved


def _put(into: dict, path: str, line: dict, name: str, change) -> None:
    """Put a field that the line has at a path."""
    if name in line:
        *above, last = path.split(".")
        for key in above:
            into = into.setdefault(key, {})
        into[last] = change(line[name])


def _times(time: object, factor: float) -> object:
    """Epoch milliseconds in another unit; ISO 8601 and what is no time as it is."""
    return time * factor if isinstance(time, int | float) else time


def _each(elements: object, change) -> object:
    """A list with its objects changed; what is no list as it is."""
    if not isinstance(elements, list):
        return elements
    return [change(one) if isinstance(one, dict) else one for one in elements]
