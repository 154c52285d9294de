"""Deliveries that touch a day or two of many: after each `join` every table is that of one delivery of everything.

Clicks come days after their page, so that a join looks at some days and the pages of its clicks lie on others.
"""

import datetime as dt
import random
from pathlib import Path

import pytest

from pagerec_dbx.config import IngestSettings, JoinSettings
from pagerec_dbx.hashing import ensure_key
from pagerec_dbx.home import open_home
from pagerec_dbx.schemas import CLICK_MATCHES, CLICKS, JOIN_HEALTH, LABELLED_PAGE_VIEWS, PAGE_VIEWS
from pagerec_dbx.stages.ingest import ingest
from pagerec_dbx.stages.join import join
from pagerec_dbx.tables import Tables
from tests.log_lines import START, click, event, payload, service, write

ALL = (PAGE_VIEWS, CLICKS, CLICK_MATCHES, LABELLED_PAGE_VIEWS, JOIN_HEALTH)
SETTINGS, JOINING = IngestSettings(max_quarantined_share=1.0), JoinSettings()
DAY, MORNING = 86_400.0, 36_000.0
DAYS = 11
NOW = START + dt.timedelta(days=DAYS)
Lines = list[tuple[str, dict]]


class Delivered:
    """A home that is given lines bit by bit."""

    def __init__(self, spark, folder: Path):
        self.tables, self.logs = Tables(spark, open_home(str(folder / "home"))), folder / "logs"
        self.files = 0
        self.key, _ = ensure_key(self.tables.home, derived_from_seed=1)

    def take(self, lines: Lines) -> int:
        """Ingest and join; how many days were rewritten."""
        self.files += 1
        for source in sorted({source for source, _ in lines}):
            write(self.logs, source, [line for of, line in lines if of == source], f"part-{self.files}.jsonl")
        ingest(self.tables, self.logs, self.key, SETTINGS, NOW)
        return join(self.tables, JOINING).days

    def content(self) -> dict[str, list[str]]:
        return {table.name: sorted(map(str, self.tables.read(table).collect())) for table in ALL}


def require_equal_to_one_delivery(spark, folder: Path, bit_by_bit: Delivered, lines: Lines) -> None:
    """Hold a home against a fresh one that is given everything at once."""
    fresh = Delivered(spark, folder)
    fresh.take(lines)
    got = bit_by_bit.content()
    for name, records in fresh.content().items():
        assert got[name] == records, name


@pytest.mark.slow
def test_a_late_page_view_leaves_the_reasons_of_the_cross_check_as_they_are(spark, tmp_path):
    """The click on day 5 is of the request of day 1, of which a join of days 5 and 6 reads no page view."""
    home = Delivered(spark, tmp_path / "home")
    first = [("service_logs", service(f"other{day}", "bob", day * DAY)) for day in (1, 5, 6)]
    first += [("service_logs", service(f"q{day}", "ann", day * DAY + MORNING)) for day in (1, 5)]
    first += [("click_logs", click("r1", "q1", "ann", 5 * DAY + MORNING + 30))]
    home.take(first)
    late = [("service_logs", service("late", "bob", 6 * DAY + 60))]
    assert home.take(late) < 3
    causes = home.tables.read(JOIN_HEALTH).where("measure LIKE 'disagreement_%' AND value > 0").collect()
    # The click waited four days, on the page of day 1 that it names and on the one of day 5 that the window gives it;
    # day 1 of the world is January 2nd.
    assert {(row["day"].day, row["measure"]) for row in causes} == {
        (2, "disagreement_past_window"), (6, "disagreement_past_window"),
    }  # fmt: skip
    require_equal_to_one_delivery(spark, tmp_path / "fresh", home, first + late)


@pytest.mark.slow
def test_files_that_come_again_under_other_names_change_no_label(spark, tmp_path):
    """They are repeats: only how often each record was read changes, as if both copies had come at once."""
    lines = _served(random.Random(3), 1) + _clicked(random.Random(3), 1) + _served(random.Random(4), 2)
    home = Delivered(spark, tmp_path / "home")
    home.take(lines)
    before = home.content()
    home.take(lines)
    after = home.content()
    for table in (CLICK_MATCHES, LABELLED_PAGE_VIEWS):
        assert after[table.name] == before[table.name]
    assert after[PAGE_VIEWS.name] != before[PAGE_VIEWS.name]  # each has twice the records
    require_equal_to_one_delivery(spark, tmp_path / "fresh", home, lines + lines)


def _served(chance: random.Random, day: int) -> Lines:
    """A handful of page views of a day, some of them around its midnights, for few viewers."""
    lines: Lines = []
    for number in range(5):
        seconds = day * DAY + chance.choice((0.0, 1.0, MORNING, MORNING + 60, DAY - 61, DAY - 1))
        menu, viewer = chance.choice(("ab", "ba", "a", "bc")), chance.choice(("ann", "bob"))
        if number:
            lines.append(("service_logs", service(f"{day}-{number}", viewer, seconds, menu)))
        else:
            lines.append(("hashed_payloads", payload("hash-of-eve", seconds, menu)))
    return lines


def _clicked(chance: random.Random, day: int) -> Lines:
    """Clicks of a day on requests of the days before it, and of nobody; repeats among them."""
    lines: Lines = []
    for _ in range(5):
        asked = f"{max(0, day - chance.choice((0, 0, 1, 2, 5)))}-{chance.randint(1, 5)}"
        seconds = day * DAY + chance.choice((0.0, 0.5, 59.0, MORNING + 30, MORNING + 119, DAY - 30, DAY - 0.5))
        one = click(chance.choice("abc"), asked, chance.choice(("ann", "bob")), seconds)
        lines += [("click_logs", one)] * chance.choice((1, 1, 2))
    return [*lines, ("page_events", event(chance.choice("ab"), "hash-of-eve", day * DAY + MORNING + 90))]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_after_every_delivery_the_tables_are_those_of_one_delivery(spark, tmp_path, seed):
    chance = random.Random(seed)
    days = [_served(chance, day) + _clicked(chance, day) for day in range(DAYS)]
    late = chance.sample(range(2, DAYS - 1), 3)
    kept_back = {day: [number for number in range(len(days[day])) if chance.random() < 0.4] for day in late}
    so_far = [line for day in range(DAYS) for n, line in enumerate(days[day]) if n not in kept_back.get(day, ())]
    home = Delivered(spark, tmp_path / "home")
    home.take(so_far)
    few = 0
    for day in late:
        lines = [days[day][number] for number in kept_back[day]]
        few += home.take(lines) < DAYS
        so_far = so_far + lines
        require_equal_to_one_delivery(spark, tmp_path / f"fresh-{day}", home, so_far)
    assert few  # some of these joins left days alone
