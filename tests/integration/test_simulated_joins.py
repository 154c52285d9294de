"""What ingestion and joins make of a simulated log, held against the truth that was kept aside: equal, not about."""

import collections
import dataclasses
import datetime as dt
import json

import pytest
from simulation_worlds import SETTINGS

from pagerec_dbx.config import IngestSettings, JoinSettings
from pagerec_dbx.hashing import ensure_key
from pagerec_dbx.home import open_home
from pagerec_dbx.schemas import CLICK_MATCHES, JOIN_HEALTH, LABELLED_PAGE_VIEWS, QUARANTINE
from pagerec_dbx.stages.ingest import ingest
from pagerec_dbx.stages.join import join
from pagerec_dbx.stages.simulate import simulate
from pagerec_dbx.tables import Tables

PAGE_VIEWS, DAYS = 500, 2
NOW = dt.datetime(2024, 2, 1, tzinfo=dt.UTC)
ROUGH = dataclasses.replace(SETTINGS, broken_rate=0.1, hostile_rate=0.1)
ANY_SHARE = IngestSettings(max_quarantined_share=1.0)


@pytest.fixture(scope="module")
def world(spark, tmp_path_factory):
    """The tables of a simulated log, ingested and joined, and what the simulation knows of it."""
    folder = tmp_path_factory.mktemp("simulated-joins")
    tables = Tables(spark, open_home(str(folder / "home")))
    key, _ = ensure_key(tables.home, derived_from_seed=5)
    simulate(spark, key, folder / "logs", PAGE_VIEWS, DAYS, ROUGH)
    ingested = ingest(tables, folder / "logs", key, ANY_SHARE, NOW)
    join(tables, JoinSettings())
    return tables, ingested, json.loads((folder / "logs" / "truth" / "faults.json").read_text())


def _counted(records, *names):
    """The sum of `lines` by these names."""
    counts = collections.Counter()
    for record in records:
        counts[tuple(record[name] for name in names)] += record["lines"]
    return {key: count for key, count in counts.items() if count}


def _grouped(frame, *names):
    return {tuple(row[:-1]): row[-1] for row in frame.groupBy(*names).count().collect()}


def test_every_spoiled_line_is_refused_for_its_reason_and_no_other(world):
    tables, ingested, truth = world
    wanted = _counted(truth["refused"], "log", "reason")
    assert len(wanted) > 15
    assert _grouped(tables.read(QUARANTINE), "source", "reason") == wanted
    assert ingested.quarantined == sum(wanted.values())
    in_attributes = ingested.read - sum(truth["lines"].values())
    assert in_attributes == SETTINGS.world_titles + SETTINGS.world_rows


def test_every_click_goes_where_the_simulation_says(world):
    tables, _, truth = world
    kept = [record for record in truth["clicks"] if record["fate"] != "repeat"]
    reasons = {"matched": None, "matched_other_page": None}
    wanted = _counted(
        [record | {"fate": reasons.get(record["fate"], record["fate"])} for record in kept], "join_method", "fate"
    )
    assert _grouped(tables.read(CLICK_MATCHES), "join_method", "reason") == wanted
    assert {reason for _, reason in wanted} == {None, "no_page", "before_page", "other_viewer", "row_not_offered"}


def test_every_repeat_is_reduced_and_counted(world):
    tables, _, truth = world
    sums = collections.Counter()
    for row in tables.read(JOIN_HEALTH).where("join_method = 'all' AND measure LIKE 'duplicate%'").collect():
        sums[row.measure] += row.value
    assert sums["duplicate_page_views"] == truth["faults"]["repeated_pages"] > 0
    assert sums["duplicate_clicks"] == sum(one["lines"] for one in truth["clicks"] if one["fate"] == "repeat") > 0
    assert tables.read(LABELLED_PAGE_VIEWS).count() == PAGE_VIEWS
