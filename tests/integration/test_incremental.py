"""Logs that arrive bit by bit, late, out of order and twice: the tables equal those of one delivery, day by day."""

import datetime as dt
import random

import pytest

from pagerec_dbx.config import IngestSettings, JoinSettings
from pagerec_dbx.hashing import ensure_key
from pagerec_dbx.home import open_home
from pagerec_dbx.ledger import Ledger
from pagerec_dbx.schemas import CLICK_MATCHES, CLICKS, JOIN_HEALTH, LABELLED_PAGE_VIEWS, PAGE_VIEWS
from pagerec_dbx.stages import join as stage
from pagerec_dbx.stages.ingest import ingest
from pagerec_dbx.stages.join import DayRange, join
from pagerec_dbx.tables import Tables
from tests.log_lines import NOW, click, event, payload, service, write

ALL = (PAGE_VIEWS, CLICKS, CLICK_MATCHES, LABELLED_PAGE_VIEWS, JOIN_HEALTH)
SETTINGS, JOINING = IngestSettings(max_quarantined_share=1.0), JoinSettings()
MIDNIGHT = 86_400.0
OFFSETS = (-121.0, -119.5, -61.0, -1.5, -0.9, 0.0, 0.4, 1.0, 60.0, 118.0, 120.0, 3_600.0)
MENUS = (("a", "b"), ("b", "a"), ("a",), ("c", "b"))
RUNS = 2
DAYS = [dt.date(2024, 1, 1) + dt.timedelta(days) for days in range(4)]


def _world(chance: random.Random, number: int) -> list[tuple[str, dict]]:
    """Up to a dozen lines of one viewer around midnights; clicks by request come up to two days after their page."""
    user, request = f"u{number}", f"q{number}"

    def time(days=0) -> float:
        return MIDNIGHT * (1 + chance.randrange(2) + days) + chance.choice(OFFSETS)

    lines = []
    for name in ("x", "y")[: chance.randint(1, 2)]:
        page = service(f"{request}{name}", user, time(), chance.choice(MENUS), device=chance.choice((None, "tv", "pc")))
        lines += [("service_logs", page)] * chance.choice((1, 1, 2))
    for _ in range(chance.randint(0, 2)):
        lines.append(("hashed_payloads", payload(user, time(), chance.choice(MENUS))))
    for _ in range(chance.randint(0, 4)):
        asked = chance.choice((f"{request}x", f"{request}y", "unknown"))
        lines.append(("click_logs", click(chance.choice("abc"), asked, user, time(chance.randrange(2)))))
    for _ in range(chance.randint(0, 3)):
        lines.append(("page_events", event(chance.choice("ab"), user, time())))
    return lines


def _home(spark, folder) -> Tables:
    tables = Tables(spark, open_home(str(folder)))
    ensure_key(tables.home, derived_from_seed=1)
    return tables


def _deliver(tables, logs, lines, name):
    for source in ("service_logs", "hashed_payloads", "click_logs", "page_events"):
        of_source = [line for log, line in lines if log == source]
        if of_source:
            write(logs, source, of_source, f"{name}.jsonl")
    ingest(tables, logs, ensure_key(tables.home)[0], SETTINGS, NOW)


def _content(tables, of=ALL) -> dict[str, list[str]]:
    return {table.name: sorted(map(str, tables.read(table).collect())) for table in of}


@pytest.fixture(scope="module")
def world() -> list[tuple[str, dict]]:
    chance = random.Random(4)
    return [line for number in range(60) for line in _world(chance, number)]


@pytest.fixture(scope="module")
def at_once(spark, world, tmp_path_factory):
    """Everything in one delivery."""
    folder = tmp_path_factory.mktemp("at-once")
    tables = _home(spark, folder / "home")
    _deliver(tables, folder / "logs", world, "all")
    join(tables, JOINING)
    return _content(tables)


@pytest.fixture(scope="module")
def bit_by_bit(spark, world, tmp_path_factory):
    """The same lines in two deliveries by chance, joined after each."""
    folder = tmp_path_factory.mktemp("bit-by-bit")
    tables = _home(spark, folder / "home")
    chance = random.Random(5)
    deliveries = [[] for _ in range(RUNS)]
    for line in world:
        deliveries[chance.randrange(RUNS)].append(line)
    for number, lines in enumerate(deliveries):
        _deliver(tables, folder / "logs", lines, f"part-{number}")
        with pytest.MonkeyPatch.context() as patch:  # days by themselves, their clicks in memory or not
            patch.setattr(stage, "_MOST_CLICKS_IN_MEMORY", 20)
            join(tables, JOINING)
    return tables, folder / "logs"


@pytest.mark.slow
def test_incremental_tables_equal_those_of_one_delivery(at_once, bit_by_bit):
    got = _content(bit_by_bit[0])
    for name, records in at_once.items():
        assert got[name] == records, name
    text = "".join(at_once["click_matches"])
    assert all(f"reason='{reason}'" in text for reason in ("no_page", "before_page", "row_not_offered"))


@pytest.mark.slow
def test_join_of_a_range_gives_the_same_again_and_rewrites_that_range(at_once, bit_by_bit):
    tables, _ = bit_by_bit
    before = Ledger(tables.home).revisions(LABELLED_PAGE_VIEWS)
    result = join(tables, JOINING, DayRange(DAYS[1], DAYS[1]))
    after = Ledger(tables.home).revisions(LABELLED_PAGE_VIEWS)
    assert before[DAYS[1]].revision < after[DAYS[1]].revision
    assert result.days == len([day for day in after if after[day] != before[day]])
    assert _content(tables) == at_once


def test_nothing_new_rewrites_nothing(bit_by_bit):
    tables, logs = bit_by_bit
    versions = {table.name: tables.version(table) for table in ALL}
    ingest(tables, logs, ensure_key(tables.home)[0], SETTINGS, NOW)
    assert join(tables, JOINING).days == 0
    assert {table.name: tables.version(table) for table in ALL} == versions


@pytest.mark.slow
def test_a_late_click_rewrites_its_days_and_no_other(spark, tmp_path, monkeypatch):
    tables, logs = _home(spark, tmp_path / "home"), tmp_path / "logs"
    noon = MIDNIGHT / 2
    pages = [service(f"q{day}", "ann", day * MIDNIGHT + noon, "ab") for day in range(4)]
    _deliver(tables, logs, [("service_logs", page) for page in pages], "pages")
    join(tables, JOINING)
    first = Ledger(tables.home).revisions(LABELLED_PAGE_VIEWS)
    files = _files(tables)
    _deliver(tables, logs, [("click_logs", click("b", "q1", "ann", 3 * MIDNIGHT))], "late")  # two days after its page
    assert join(tables, JOINING).days == 2
    second = Ledger(tables.home).revisions(LABELLED_PAGE_VIEWS)
    assert [day for day in DAYS if first[day] != second[day]] == [DAYS[1], DAYS[3]]
    kept = _files(tables)
    assert [day for day in DAYS if files[day] != kept[day]] == [DAYS[1], DAYS[3]]
    assert _labels(tables) == {"q0": [0, 0], "q1": [0, 1], "q2": [0, 0], "q3": [0, 0]}
    # The negative control: a ledger that says nothing of new clicks leaves the labels as they were.
    real = Ledger.begin
    monkeypatch.setattr(Ledger, "begin", lambda self, table, days: table is CLICKS or real(self, table, days))
    _deliver(tables, logs, [("click_logs", click("b", "q2", "ann", 3 * MIDNIGHT))], "unseen")
    join(tables, JOINING)
    assert _labels(tables)["q2"] == [0, 0]


def _labels(tables) -> dict[str, list[int]]:
    return {row["request_id"]: row["clicked"] for row in tables.read(LABELLED_PAGE_VIEWS).collect()}


def _files(tables) -> dict[dt.date, set[str]]:
    rows = tables.read(LABELLED_PAGE_VIEWS).selectExpr("day", "_metadata.file_name AS file").distinct().collect()
    return {day: {row["file"] for row in rows if row["day"] == day} for day in DAYS}


def test_join_of_a_range_leaves_no_clicks_behind_on_the_days_that_it_reaches(spark, tmp_path):
    """A click after midnight takes the day before along, whose own clicks have not been looked at."""
    tables, logs = _home(spark, tmp_path / "home"), tmp_path / "logs"
    pages = [service("q1", "ann", MIDNIGHT - 60, "ab"), service("q2", "bob", MIDNIGHT - 60, "ab")]
    clicks = [click("a", "q1", "ann", MIDNIGHT + 1), click("b", "q2", "bob", MIDNIGHT - 1)]
    lines = [*(("service_logs", page) for page in pages), *(("click_logs", one) for one in clicks)]
    _deliver(tables, logs, lines, "all")
    join(tables, JOINING, DayRange(DAYS[1], DAYS[1]))
    join(tables, JOINING)
    assert _labels(tables) == {"q1": [1, 0], "q2": [0, 1]}
