"""Metarank-format events become raw logs."""

import gzip
import json

import pytest

from pagerec_dbx.errors import EventsError
from pagerec_dbx.importers.metarank import import_metarank


def item(name: str, **fields) -> dict:
    return {"event": "item", "item": name, "fields": [{"name": key, "value": value} for key, value in fields.items()]}


def ranking(name: str, user: str, millis: object, items: str) -> dict:
    return {"event": "ranking", "id": name, "user": user, "timestamp": millis, "items": [{"id": one} for one in items]}


def like(page: str | None, user: str, film: str, millis: object = 99) -> dict:
    return {"event": "interaction", "ranking": page, "user": user, "item": film, "timestamp": millis, "type": "click"}


def _write(path, events, packed=False):
    text = "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in events)
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    return path


def _read(logs, source):
    return [json.loads(line) for line in (logs / source / "part-00000.jsonl").read_text().splitlines()]


WORLD = [
    item("a", title="Alien", vote=7.5, tags=["space", "cat"], seen=True, nothing=None),
    item("a", vote=8),  # an update
    {"event": "user", "user": "ann", "fields": []},
    ranking("p2", "ann", "2000", "abc"),
    ranking("p1", "ann", 2000, "cba"),  # the same time: p1 comes before p2
    ranking("p3", "ann", "1970-01-01T00:00:03Z", "ad"),
    ranking("q1", "bob", 2500, "ab"),
    like("p1", "ann", "a"),
    like("p1", "ann", "c"),
    like("p2", "ann", "b"),
    like("p2", "ann", "c"),
    like("p1", "bob", "b"),  # another viewer's like of this page is not hers
    like(None, "ann", "d", 5000),
]


@pytest.mark.parametrize("packed", [False, True])
def test_import_metarank_writes_all_four_folders(tmp_path, packed):
    events = _write(tmp_path / "events", WORLD, packed)
    result = import_metarank(events, tmp_path / "logs")
    assert (result.page_views, result.clicks, result.titles, result.viewers) == (4, 6, 1, 2)
    attributes = {"title": "Alien", "vote": 8, "tags": ["space", "cat"], "seen": "true"}
    assert _read(tmp_path / "logs", "titles") == [{"title_id": "a", "attributes": attributes}]
    assert _read(tmp_path / "logs", "rows") == [{"row_id": "a", "attributes": attributes}]
    first = _read(tmp_path / "logs", "service_logs")[0]
    assert first == {
        "request_id": "p1",
        "timestamp": 2000,
        "user_id": "ann",
        "randomized": False,
        "watch_history": [],
        "candidates": [
            {"row_id": "c", "row_title": None, "position": 0, "pinned": False},
            {"row_id": "b", "row_title": None, "position": 1, "pinned": False},
            {"row_id": "a", "row_title": "Alien", "position": 2, "pinned": False},
        ],
    }


def test_import_metarank_takes_a_history_from_earlier_pages_of_the_same_viewer(tmp_path):
    import_metarank(_write(tmp_path / "events", WORLD), tmp_path / "logs")
    histories = {line["request_id"]: line["watch_history"] for line in _read(tmp_path / "logs", "service_logs")}
    # Within p1 in page order (c before a); c was liked again on p2, and stays where it was.
    assert histories == {"p1": [], "p2": ["c", "a"], "q1": [], "p3": ["c", "a", "b"]}


def test_import_metarank_gives_a_like_the_time_of_its_page(tmp_path):
    import_metarank(_write(tmp_path / "events", WORLD), tmp_path / "logs")
    clicks = [
        (line["request_id"], line["row_click"], line["timestamp"], line["row_position"])
        for line in _read(tmp_path / "logs", "click_logs")
    ]
    assert clicks[:2] == [("p1", "a", 2000, 2), ("p1", "c", 2000, 0)]
    assert clicks[-1] == (None, "d", 5000, None)


PAGE = ranking("p", "ann", 1, "ab")


@pytest.mark.parametrize(
    "bad, says",
    [
        ("{", "line 2 is no JSON"),
        ('{"event": "item", "item": NaN}', "line 2 is no JSON"),
        ("[]", "line 2: an event is no object"),
        ({"event": "purchase"}, "line 2: an event of an unknown type"),
        (PAGE | {"id": None}, "line 2: `id` is missing"),
        (PAGE, "line 2: a second ranking has the same id"),
        (PAGE | {"id": "q", "items": []}, "line 2: a ranking has no items"),
        (ranking("q", "ann", 1, "aba"), "line 2: a ranking shows an item twice: wanted every item once, got 'a'"),
        (PAGE | {"id": "q", "timestamp": "soon"}, "line 2: `timestamp` is missing or no time"),
        (PAGE | {"id": "q", "timestamp": True}, "line 2: `timestamp` is missing or no time"),
        (like("p", "ann", ""), "line 2: `item` is missing"),
        (item("a", x={"y": 1}), "line 2: field `x` has a value of an unknown kind"),
        ('{"event": "item", "item": "a", "fields": [{"name": "x", "value": 1e999}]}', "line 2: field `x`"),
        ({"event": "item", "item": "a", "fields": "x"}, "line 2: `fields` is no list"),
    ],
)
def test_import_metarank_names_the_line_that_is_malformed(tmp_path, bad, says):
    with pytest.raises(EventsError) as error:
        import_metarank(_write(tmp_path / "events", [PAGE, bad]), tmp_path / "logs")
    assert says in str(error.value)
    assert not list(tmp_path.glob("*logs*")), "nothing half-written is left"


@pytest.mark.parametrize(
    "content, says",
    [
        (None, "cannot be read"),
        (gzip.compress(json.dumps(PAGE).encode() * 50)[:-9], "cannot be read"),
        (b"\xff\xff\n", "is no UTF-8"),
        (b"", "holds no pages"),
    ],
)
def test_import_metarank_refuses_a_file_that_is_no_events(tmp_path, content, says):
    events = tmp_path / "events"
    if content is not None:
        events.write_bytes(content)
    with pytest.raises(EventsError, match=says):
        import_metarank(events, tmp_path / "logs")


def test_import_metarank_leaves_a_folder_that_is_in_the_way(tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "mine.txt").write_text("kept")
    with pytest.raises(EventsError, match="in the way.*Choose another --out"):
        import_metarank(_write(tmp_path / "events", WORLD), tmp_path / "logs")
    assert (tmp_path / "logs" / "mine.txt").read_text() == "kept"
