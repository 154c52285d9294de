"""The stage `ingest` on another company's logs: the same silver as from the default form."""

import pytest

from pagerec_dbx.config import IngestSettings
from pagerec_dbx.hashing import HashingKey, ensure_key
from pagerec_dbx.home import open_home
from pagerec_dbx.pipelines.mapping import Mapping
from pagerec_dbx.schemas import CLICKS, PAGE_VIEWS, QUARANTINE, TITLES
from pagerec_dbx.stages.ingest import ingest
from pagerec_dbx.tables import Tables
from tests import strange_company as strange
from tests.log_lines import NOW, at, click, event, payload, service, write

# `test_mapped_lines` holds each form's lines against the default ones; here they go through two whole homes.
pytestmark = pytest.mark.slow
RAW_ID = "ann@somewhere.example"
HISTORY = [{"title_id": "t", "watched_at": at(-9)}, {"title_id": "u", "watched_at": at(3)}, "v"]
LINES = {
    "service_logs": [
        service("q1", RAW_ID, 0, watch_history=HISTORY, device="tv"),
        service("q1", RAW_ID, 0, watch_history=HISTORY, device="tv"),
        service("q2", RAW_ID, 60, randomized=True, utc_offset_minutes=60),
        service("q3", RAW_ID, candidates=[]),
    ],
    "click_logs": [click("r2", "q1", RAW_ID, 5), click("r2", "q1", RAW_ID, 6), click(None, "q1", RAW_ID, 7)],
    "hashed_payloads": [payload("bob", 0), payload("bob", 0, rows=("r1", "r1"))],
    "page_events": [event("r3", "bob", 120), event(None, "bob", 121)],
    "titles": [{"title_id": "t", "attributes": {"year": 1999, "genre": ["space"]}}],
}
STRANGE = {
    "service_logs": strange.strange_service,
    "click_logs": strange.strange_click,
    "hashed_payloads": strange.strange_payload,
    "page_events": strange.strange_event,
    "titles": strange.strange_title,
}


@pytest.fixture(scope="module")
def ingested(spark, tmp_path_factory) -> tuple[Tables, Tables]:
    """The same logs in the default form and in another, each in a home of its own."""
    folder = tmp_path_factory.mktemp("forms")
    for source, lines in LINES.items():
        write(folder / "default", source, lines)
        write(folder / "strange", source, map(STRANGE[source], lines))
    homes = _home(spark, folder / "default-home"), _home(spark, folder / "strange-home")
    (tables, key), (others, other_key) = homes
    settings = IngestSettings()
    result = ingest(tables, folder / "default", key, settings, NOW)
    assert ingest(others, folder / "strange", other_key, settings, NOW, mapping=strange.mapping()) == result
    assert (result.read, result.quarantined) == (12, 4)
    return tables, others


def _home(spark, folder) -> tuple[Tables, HashingKey]:
    home = open_home(str(folder))
    home.key_file.write_text("7a" * 32)
    return Tables(spark, home), ensure_key(home)[0]


@pytest.mark.parametrize("table", [PAGE_VIEWS, CLICKS, TITLES], ids=lambda table: table.name)
def test_silver_does_not_depend_on_the_form_of_the_lines(ingested, table):
    default, other = (sorted(map(str, tables.read(table).collect())) for tables in ingested)
    assert other == default != []


def test_quarantine_says_the_same_of_lines_of_another_form(ingested):
    columns = ("source", "reason", "user_hash")
    default, other = (sorted(map(str, tables.read(QUARANTINE).select(*columns).collect())) for tables in ingested)
    assert other == default and len(default) == 4
    assert not [row for row in ingested[1].read(QUARANTINE).collect() if "somewhere" in row.raw]


def test_without_its_mapping_no_line_of_another_form_is_good(spark, tables, tmp_path):
    for source, lines in LINES.items():
        write(tmp_path / "logs", source, map(STRANGE[source], lines))
    key, _ = ensure_key(tables.home)
    result = ingest(tables, tmp_path / "logs", key, IngestSettings(), NOW, mapping=Mapping())
    assert (result.read, result.good) == (12, 0)
