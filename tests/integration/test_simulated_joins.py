"""What ingestion and joins make of a simulated log, held against the truth that was kept aside: equal, not about."""

import collections
import dataclasses

import pytest

from pagerec_dbx.schemas import CLICK_MATCHES, JOIN_HEALTH, LABELLED_PAGE_VIEWS, QUARANTINE
from tests import join_oracle
from tests.simulated_home import (
    counted,
    grouped,
    kept_clicks,
    matches_of,
    oracle_records,
    outcomes_of,
    simulated_home,
    true_outcomes,
    unexplained,
)
from tests.simulation_worlds import SETTINGS

PAGE_VIEWS, DAYS = 500, 2
ROUGH = dataclasses.replace(SETTINGS, broken_rate=0.1, hostile_rate=0.1)


@pytest.fixture(scope="module")
def home(spark, tmp_path_factory):
    return simulated_home(spark, tmp_path_factory.mktemp("simulated-joins"), PAGE_VIEWS, DAYS, ROUGH)


def test_every_spoiled_line_is_refused_for_its_reason_and_no_other(home):
    wanted = counted(home.truth["refused"], "log", "reason")
    assert len(wanted) > 15
    assert grouped(home.tables.read(QUARANTINE), "source", "reason") == wanted
    assert home.ingested.quarantined == sum(wanted.values())
    in_attributes = home.ingested.read - sum(home.truth["lines"].values())
    assert in_attributes == SETTINGS.world_titles + SETTINGS.world_rows


def test_every_click_goes_where_the_simulation_says(home):
    wanted = kept_clicks(home.truth)
    assert grouped(home.tables.read(CLICK_MATCHES), "join_method", "reason") == wanted
    assert {reason for _, reason in wanted} == {None, "no_page", "before_page", "other_viewer", "row_not_offered"}


def test_each_click_alone_goes_where_the_simulation_says(home):
    """Counts would also be equal if two clicks had changed places; so the same look must see one of them moved."""
    found, truth = outcomes_of(home), true_outcomes(home)
    assert unexplained(found, truth) == []
    matched = [click for click, (reason, _) in found.items() if reason is None]
    one, other = next((a, b) for a in matched for b in matched if found[a] != found[b] and truth[a][0] == "matched")
    assert one in unexplained(found | {one: found[other]}, truth)
    refused = next(click for click in found if click not in matched)
    assert unexplained(found | {refused: (None, found[one][1])}, truth) == [refused]
    assert unexplained({click: found[click] for click in found if click != one}, truth) == [one]


def test_each_click_goes_where_the_second_implementation_puts_it(home, monkeypatch):
    pages, clicks = oracle_records(home)
    pages, clicks = join_oracle.reduced_pages(pages), join_oracle.reduced_clicks(clicks)
    found = matches_of(home)
    assert found == join_oracle.matched(pages, clicks)
    monkeypatch.setattr(join_oracle, "WINDOW", join_oracle.WINDOW // 2)  # a window that is half as long is noticed
    assert found != join_oracle.matched(pages, clicks)


def test_every_repeat_is_reduced_and_counted(home):
    sums = collections.Counter()
    for row in home.tables.read(JOIN_HEALTH).where("join_method = 'all' AND measure LIKE 'duplicate%'").collect():
        sums[row.measure] += row.value
    assert sums["duplicate_page_views"] == home.truth["faults"]["repeated_pages"] > 0
    assert sums["duplicate_clicks"] == sum(one["lines"] for one in home.truth["clicks"] if one["fate"] == "repeat") > 0
    assert home.tables.read(LABELLED_PAGE_VIEWS).count() == PAGE_VIEWS
