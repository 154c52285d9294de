"""One large simulated log, joined by the product, by plain Python, and by the simulation itself: record for record."""

import collections
import os
import shutil

import pytest
from pyspark.sql import functions as F

from pagerec_dbx.config import SimulateSettings
from pagerec_dbx.schemas import CLICK_MATCHES, CLICKS, JOIN_HEALTH, LABELLED_PAGE_VIEWS, PAGE_VIEWS, QUARANTINE
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

STUDY_PAGE_VIEWS = int(os.environ.get("PAGEREC_STUDY_PAGE_VIEWS", "200000"))
DAYS = 4
SETTINGS = SimulateSettings()  # the logs of `pagerec simulate` as it is
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(spark, tmp_path_factory):
    folder = tmp_path_factory.mktemp("big-log")
    yield simulated_home(spark, folder, STUDY_PAGE_VIEWS, DAYS, SETTINGS)
    shutil.rmtree(folder)  # more than a gigabyte


@pytest.fixture(scope="module")
def reduced(home):
    """The oracle's page views and clicks."""
    pages, clicks = oracle_records(home)
    return join_oracle.reduced_pages(pages), join_oracle.reduced_clicks(clicks)


def test_page_views_and_clicks_are_those_of_the_second_implementation(home, reduced):
    pages, clicks = reduced
    kept = ("page_view_id", "device", "location", "randomized", "utc_offset_minutes")
    found = home.tables.read(PAGE_VIEWS).select(*kept).collect()
    assert len(found) == STUDY_PAGE_VIEWS
    assert sorted(map(repr, map(tuple, found))) == sorted(
        repr(tuple(one[n] for n in ("id", *kept[1:]))) for one in pages
    )
    found = home.tables.read(CLICKS).select("click_id", "request_id", "records").collect()
    assert set(map(tuple, found)) == {(one["id"], one["request"], one["records"]) for one in clicks}
    assert len(found) == len(clicks)


def test_both_joins_are_those_of_the_second_implementation(home, reduced, monkeypatch):
    found = matches_of(home)
    assert found == join_oracle.matched(*reduced)
    print(f"{len(found):,} clicks of {STUDY_PAGE_VIEWS:,} page views are placed alike")
    monkeypatch.setattr(join_oracle, "WINDOW", join_oracle.WINDOW - 10_000_000)  # a shorter window is noticed
    assert found != join_oracle.matched(*reduced)


def test_labels_and_cross_check_are_those_of_the_second_implementation(home, reduced):
    labelled = home.tables.read(LABELLED_PAGE_VIEWS)
    columns = ("page_view_id", "clicked", "clicked_row_id", F.unix_micros("clicked_at"))
    found = {row[0]: tuple(row[1:]) for row in labelled.select(*columns).collect()}
    assert found == join_oracle.labels(*reduced)
    agreeing, causes = join_oracle.agreement(*reduced)
    measures = home.tables.read(JOIN_HEALTH).where("measure RLIKE '^(disagreement|agreement_page_views)'")
    sums = {row.measure: row.value for row in measures.groupBy("measure").agg(F.sum("value").alias("value")).collect()}
    assert sums.pop("agreement_page_views") == agreeing + len(causes)
    wanted = {f"disagreement_{cause}": count for cause, count in collections.Counter(causes).items()}
    assert {measure: count for measure, count in sums.items() if count} == wanted


def test_the_truth_explains_every_click_and_every_refused_line(home):
    found, truth = outcomes_of(home), true_outcomes(home)
    assert unexplained(found, truth) == []
    wanted = kept_clicks(home.truth)
    assert grouped(home.tables.read(CLICK_MATCHES), "join_method", "reason") == wanted
    assert {reason for _, reason in wanted} == {None, "no_page", "before_page", "other_viewer", "row_not_offered"}
    assert grouped(home.tables.read(QUARANTINE), "source", "reason") == counted(home.truth["refused"], "log", "reason")
    print(f"explained: {dict(sorted(wanted.items(), key=str))}")
