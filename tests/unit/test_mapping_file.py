"""Mapping files: what they may say, and what is refused in words."""

import pytest

from pagerec_dbx.errors import SettingError
from pagerec_dbx.pipelines.files import SOURCES
from pagerec_dbx.pipelines.forms import FORMS
from pagerec_dbx.pipelines.mapping import IdKeys, Mapping, Place
from pagerec_dbx.pipelines.mapping_file import read_mapping

STRANGE = """
service_logs:
  request_id: ctx.request
  timestamp: {path: ctx.at, unit: us}
  user_id: ctx.user.id
  device: {constant: tv}
  location: null
  watch_history: {path: seen, title_id: content.id, watched_at: {path: when, unit: s}}
  candidates: {path: page.shelves, row_id: id, position: null}
click_logs:
  user_id: [viewer, "user.id"]
page_events:
  event: {constant: row_click}
  timestamp: {unit: s}
"""


@pytest.fixture
def read(tmp_path):
    def of(text: str) -> Mapping:
        file = tmp_path / "mapping.yml"
        file.write_text(text, encoding="utf-8")
        return read_mapping(file)

    return of


def test_read_mapping_finds_each_field(read):
    service = read(STRANGE).of("service_logs")
    assert service.place("user_id") == Place(("ctx", "user", "id"))
    assert service.place("timestamp") == Place(("ctx", "at"), unit="us")
    assert service.place("device") == Place(constant="tv")
    assert service.place("location") == Place()
    assert service.place("candidates") == Place(("page", "shelves"))
    assert service.place("candidates.row_id") == Place(("id",))
    assert service.place("watch_history.watched_at") == Place(("when",), unit="s")
    assert read(STRANGE).of("click_logs").place("user_id") == Place(("viewer", "user.id"))
    assert read(STRANGE).of("page_events").place("timestamp") == Place(("timestamp",), unit="s")


def test_what_is_not_mapped_keeps_its_place(read):
    mapping = read(STRANGE)
    assert mapping.of("service_logs").place("candidates.row_title") == Place(("row_title",))
    assert mapping.of("service_logs").place("randomized") == Place(("randomized",))
    assert mapping.of("hashed_payloads").place("candidates") == Place(("payload", "candidates"))
    assert mapping.of("hashed_payloads").keeps() and not mapping.of("service_logs").keeps()


@pytest.mark.parametrize("text", ["", "service_logs:\n", "service_logs: {user_id: user_id, candidates: candidates}"])
def test_a_mapping_that_moves_nothing_is_the_default(read, text):
    assert read(text) == Mapping()


def test_every_source_has_a_form():
    assert tuple(FORMS) == SOURCES


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("service_log: {}", "mapping has an unknown source `service_log`: wanted `service_logs`, perhaps"),
        ("- service_logs", "mapping is malformed: wanted name: value"),
        ("service_logs: user_id", "`service_logs` is malformed: wanted name: value"),
        ("service_logs: {userid: a}", "`service_logs` has an unknown field `userid`: wanted `user_id`, perhaps"),
        ("click_logs: {candidates: a}", "`click_logs` has an unknown field `candidates`: wanted one of request_id"),
        ("service_logs: {candidates.row_id: a}", "has an unknown field `candidates.row_id`"),
        ("service_logs: {candidates: {rowid: a}}", "`service_logs.candidates` has an unknown field `rowid`"),
        ("service_logs: {device: {path: a, unit: s}}", "`service_logs.device` has an unknown option `unit`"),
        ("service_logs: {user_id: {constant: ann}}", "`service_logs.user_id` has an unknown option `constant`"),
        ("service_logs: {timestamp: {unit: ns}}", "has an unknown unit: wanted one of ms, s, us, got 'ns'"),
        ("service_logs: {timestamp: {unit: [s]}}", "has an unknown unit"),
        ("service_logs: {user_id: ctx..id}", "has a malformed path: wanted keys joined by dots, as ctx.user.id"),
        ("service_logs: {user_id: ''}", "has a malformed path"),
        ("service_logs: {user_id: $.ctx.id}", "has a malformed path"),
        ("service_logs: {user_id: 'ctx.ids[0]'}", "has a malformed path"),
        ("service_logs: {user_id: 'a`b'}", "has a malformed path"),
        ("service_logs: {user_id: 'a:int,b'}", "has a malformed path"),
        ("service_logs: {user_id: 5}", "has a malformed path: wanted keys joined by dots, as ctx.user.id"),
        ("service_logs: {user_id: []}", "has a malformed path"),
        ("service_logs: {user_id: true}", "has a malformed path"),
        (
            "service_logs: {user_id: null}",
            "`service_logs.user_id` is mapped to nothing, and no line is good without it",
        ),
        ("service_logs: {candidates: null}", "`service_logs.candidates` is mapped to nothing"),
        ("service_logs: {candidates: {row_id: null}}", "`service_logs.candidates.row_id` is mapped to nothing"),
        ("click_logs: {user_id: null, user_hash: null}", "`click_logs.user_id or user_hash` is mapped to nothing"),
        ("service_logs: {request_id: a, user_id: a}", "request_id and user_id in one place: wanted a place of its own"),
        ("service_logs: {user_id: device}", "user_id and device in one place"),
        ("service_logs: {user_id: ctx, device: ctx.kind}", "user_id and device one inside the other"),
        ("service_logs: {user_id: ctx.id, device: CTX.kind}", "in places that differ by case alone: wanted"),
        ("service_logs: {user_id: ID, device: id}", "in places that differ by case alone"),
        ("service_logs: {candidates: {row_title: row_id}}", "candidates.row_id and candidates.row_title in one place"),
        ("page_events: {event: {constant: hover}}", "wrong constant: wanted one of page_load, row_impression"),
        ("page_events: {event: {constant: 5}}", "has a wrong constant: wanted a text, and no path, got"),
        ("page_events: {event: {constant: scroll, path: a}}", "has a wrong constant"),
        ("service_logs: {utc_offset_minutes: {constant: true}}", "wrong constant: wanted a whole number"),
        ("service_logs: {utc_offset_minutes: {constant: 841}}", "wrong constant: wanted -840 to 840, got 841"),
        ("click_logs: {row_position: {constant: -1}}", "wrong constant: wanted 0 to 2,147,483,647, got -1"),
        ("click_logs: {row_position: {constant: 99999999999999999999}}", "wrong constant: wanted 0 to 2,147,483,647"),
        ("service_logs: {user_id: a, user_id: b}", "cannot be read: wanted a YAML file"),
        ("service_logs: {user_id: !!python/object/apply:os.getcwd []}", "cannot be read"),
        ("service_logs: {", "cannot be read"),
    ],
)
def test_a_mapping_that_cannot_be_right_is_refused_in_one_line(read, text, words):
    with pytest.raises(SettingError) as refused:
        read(text)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value) and refused.value.exit_code == 2


@pytest.mark.parametrize(
    "text",
    [
        "service_logs: {request_id: a.id, user_id: b.id}",
        "service_logs: {user_id: device, device: null}",
        "service_logs: {user_id: device, device: user_id}",
        "service_logs: {candidates: {path: a.user_id}}",
        "service_logs: {candidates: {row_id: user_id}}",  # inside an element other names are taken
        "service_logs: {watch_history: null}",
        "click_logs: {user_id: null}",
        "click_logs: {request_id: null}",
        "service_logs: {user_id: 'größe.$id-2'}",
        "service_logs: {randomized: {constant: true}, utc_offset_minutes: {constant: -60}}",
    ],
)
def test_a_mapping_that_may_be_right_is_taken(read, text):
    assert read(text) != Mapping()


def test_a_missing_mapping_file_is_refused(tmp_path):
    with pytest.raises(SettingError, match=r"none.yml cannot be read: wanted a YAML file, got .*No such file"):
        read_mapping(tmp_path / "none.yml")


def test_id_keys_are_those_of_every_source(read):
    mapping = read(STRANGE)
    assert mapping.id_keys("service_logs") == IdKeys(("user_id", "id", "user.id"), id_path=("ctx", "user", "id"))
    assert mapping.id_keys("page_events") == IdKeys(("user_id", "id", "user.id"))
    assert Mapping().id_keys("service_logs") == Mapping().id_keys("rows") == IdKeys()


def test_a_key_of_hashes_is_no_key_of_ids_in_its_own_source(read):
    mapping = read("{service_logs: {user_id: u.id}, page_events: {user_hash: h.id}}")
    assert mapping.id_keys("page_events") == IdKeys(("user_id",), ("user_hash", "id"), hash_path=("h", "id"))
    assert "id" in mapping.id_keys("hashed_payloads").ids
