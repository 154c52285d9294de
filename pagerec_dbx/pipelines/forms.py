"""The default form of every source's lines: which fields there are, what they hold, and where they stand."""

import dataclasses

EVENTS = ("page_load", "row_impression", "row_click", "scroll")
# What Spark's reader is asked for. An id is text that may be written as a number; the entries of a history are read
# one by one, as they may be ids alone or objects; attributes are an object of any names.
TYPES = {
    "id": "string",
    "text": "string",
    "time": "string",
    "whole": "int",
    "flag": "boolean",
    "menu": "array<struct>",
    "history": "array<string>",
    "attributes": "string",
}
LISTS = ("menu", "history")


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of a source's lines."""

    name: str  # inside an element of a list: `candidates.row_id`
    kind: str  # a key of TYPES
    path: tuple[str, ...]  # by default; inside an element of a list: from the element on
    needed: bool = False

    @property
    def list_name(self) -> str | None:
        """The list in whose elements the field stands; None outside of lists."""
        before, dot, _ = self.name.partition(".")
        return before if dot else None

    @property
    def type(self) -> str:
        return TYPES[self.kind]


def _fields(text: str, *above: str) -> tuple[Field, ...]:
    """`name:kind` words; a `!` after the kind means needed.

    Args:
        above: the keys above all of them that stand in no list.
    """
    fields = []
    for word in text.split():
        name, kind = word.split(":")
        path = (name.partition(".")[2],) if "." in name else (*above, name)
        fields.append(Field(name, kind.rstrip("!"), path, needed=kind.endswith("!")))
    return tuple(fields)


_PAGE = """
    device:text location:text utc_offset_minutes:whole randomized:flag
    watch_history:history watch_history.title_id:id! watch_history.watched_at:time
    candidates:menu! candidates.row_id:id! candidates.row_title:text candidates.position:whole candidates.pinned:flag
"""
FORMS = {
    "service_logs": _fields("request_id:id! timestamp:time! user_id:id!" + _PAGE),
    "hashed_payloads": _fields("user_hash:id! timestamp:time!") + _fields(_PAGE, "payload"),
    "click_logs": _fields(
        "request_id:id timestamp:time! user_id:id user_hash:id row_click:id! row_click_title:text row_position:whole"
    ),
    "page_events": _fields(
        "event:text! timestamp:time! user_hash:id! page:text row_id:id! row_title:text position:whole transaction:text"
    ),
    "titles": _fields("title_id:id! attributes:attributes"),
    "rows": _fields("row_id:id! attributes:attributes"),
}
