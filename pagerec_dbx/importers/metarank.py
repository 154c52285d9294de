"""Events in Metarank's format to raw logs in the default format.

A ranking becomes a line of the service log, an interaction a line of the click log, an item both a title and a row:
what is offered and what is watched are films alike. Times and order of interactions inside a page are artefacts of how
such data sets are published, so a click gets its page's time, and a viewer's history is what the same viewer clicked on
EARLIER pages, as ids without times. Earlier is by (timestamp, id).
"""

import collections
import dataclasses
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pagerec_dbx.errors import EventsError
from pagerec_dbx.importers.metarank_events import Events, read_events

SOURCE = "source.json"  # beside the logs, read by no pipeline: where they came from


@dataclasses.dataclass(frozen=True)
class ImportResult:
    """How many events became what."""

    page_views: int
    clicks: int
    titles: int
    viewers: int


def import_metarank(events: Path, out: Path) -> ImportResult:
    """Write the folders of raw logs under `out`, whole or not at all.

    Args:
        events: JSON lines, plain or gz.
        out: a folder that does not exist yet, or is empty.

    Raises:
        EventsError: the file cannot be read, a line is malformed (it is named), or `out` is in the way.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise EventsError(f"{out} is in the way", wanted="a new or an empty folder", fix="Choose another --out")
    read = read_events(events)
    if not read.pages:
        raise EventsError(f"{events} holds no pages", wanted="events of type `ranking`", fix="Check the file")
    aside = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        _write_logs(aside, read)
        (aside / SOURCE).write_text(json.dumps({"events_file": events.name}) + "\n", encoding="utf-8")
        if out.exists():
            out.rmdir()
        aside.rename(out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    viewers = {page.user for page in read.pages.values()}
    return ImportResult(len(read.pages), len(read.likes), len(read.items), len(viewers))


def events_file(logs: Path) -> str | None:
    """The name of the events file that a folder of logs was imported from; None where it was not."""
    try:
        return str(json.loads((logs / SOURCE).read_text(encoding="utf-8"))["events_file"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_logs(logs: Path, events: Events) -> None:
    attributes = events.items.items()
    _write(logs / "titles", ({"title_id": item, "attributes": fields} for item, fields in attributes))
    _write(logs / "rows", ({"row_id": item, "attributes": fields} for item, fields in attributes))
    _write(logs / "service_logs", service_lines(events))
    _write(logs / "click_logs", click_lines(events))


def service_lines(events: Events) -> Iterator[dict[str, object]]:
    """The service log, page by page in order of (timestamp, id); what was liked before stands in the history.

    A film liked on several pages stands there once, where it was liked first; within one page films stand in page
    order, because the order of likes was not observed.
    """
    liked = collections.defaultdict(set)
    for like in events.likes:
        liked[like.page, like.user].add(like.item)
    histories: dict[str, dict[str, None]] = collections.defaultdict(dict)
    for page in sorted(events.pages.values(), key=lambda page: (page.millis, page.id)):
        history = histories[page.user]
        yield {
            "request_id": page.id,
            "timestamp": page.millis,
            "user_id": page.user,
            "randomized": False,
            "watch_history": list(history),
            "candidates": [
                {"row_id": item, "row_title": _title(events, item), "position": position, "pinned": False}
                for position, item in enumerate(page.items)
            ],
        }
        history.update((item, None) for item in page.items if item in liked[page.id, page.user])


def click_lines(events: Events) -> Iterator[dict[str, object]]:
    """The click log: each like at its page's time; one without a known page keeps its own time."""
    for like in events.likes:
        page = events.pages.get(like.page)
        line = {"request_id": like.page, "timestamp": page.millis if page else like.millis, "user_id": like.user}
        position = page.items.index(like.item) if page and like.item in page.items else None
        yield line | {"row_click": like.item, "row_click_title": _title(events, like.item), "row_position": position}


def _title(events: Events, item: str) -> object:
    title = events.items.get(item, {}).get("title")
    return title if isinstance(title, str) else None


def _write(folder: Path, records: Iterable[Mapping[str, object]]) -> None:
    folder.mkdir(parents=True)
    with (folder / "part-00000.jsonl").open("w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
