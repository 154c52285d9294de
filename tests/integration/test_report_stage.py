"""The report of a home: from its tables to one page, whatever is there."""

import datetime as dt
from pathlib import Path

import pytest

from pagerec_dbx.home import mark_simulated
from pagerec_dbx.report.content import Health, PositionClicks, PositionShare, Quarantined
from pagerec_dbx.schemas import (
    COMPARISONS,
    DRIFT,
    EVALUATIONS,
    JOIN_HEALTH,
    LABELLED_PAGE_VIEWS,
    PROMOTIONS,
    QUARANTINE,
)
from pagerec_dbx.stages.report import FromRegistry, collect_content, report
from pagerec_dbx.stages.report_comparison import last_compared
from pagerec_dbx.tables import spark_schema

NOW = dt.datetime(2024, 1, 5, 12, 30, tzinfo=dt.timezone.utc)
EARLIER = NOW - dt.timedelta(hours=1)
DAY = dt.date(2024, 1, 4)
ELSEWHERE = dict.fromkeys(("difference", "lower", "upper", "pages", "viewers")) | {"measured": "elsewhere"}


def append(tables, table, *records):
    """Write records given by name; columns left out are null."""
    values = [tuple(record.get(name) for name in table.column_names) for record in records]
    tables.append(table, tables.spark.createDataFrame(values, spark_schema(table)))


def comparison(baseline, value, **other):
    """A record of `comparisons` of version 3."""
    return {
        "comparison_id": "second", "holdout": "h1", "challenger": "3", "baseline": baseline, "protocol": "menu",
        "metric": "ndcg", "slice": "all", "value_challenger": 0.63, "value_baseline": value,
        "difference": 0.63 - value, "lower": 0.01, "upper": 0.05, "pages": 2, "viewers": 1, "measured": "here",
        "compared_at": NOW, **other,
    }  # fmt: skip


def evaluation(version, page_view_id, **other):
    """A record of `evaluations`, one per page view."""
    figures = dict.fromkeys(("ndcg", "ndcg_at_10", "reciprocal_rank", "hit_at_1", "hit_at_5", "tied_top"), 0.5)
    return {
        "version": version, "protocol": "menu", "holdout": "h1", "page_view_id": page_view_id, "user_hash": "u",
        **figures, **other,
    }  # fmt: skip


def labelled(page_view_id, clicked, randomized=False):
    """A record of `labelled_page_views` of which only the labels matter."""
    return {
        "page_view_id": page_view_id, "join_method": "keyed", "source": "service_logs", "user_hash": "u",
        "served_at": NOW, "day": NOW.date(), "randomized": randomized, "history": [],
        "menu": [(f"row {place}", None, place, False) for place in range(len(clicked))], "clicked": clicked,
    }  # fmt: skip


@pytest.fixture
def filled(tables):
    """A home in which version 3 was compared twice, once beside the legacy, and refused."""
    append(
        tables, COMPARISONS,
        comparison("floor:popularity", 0.5, comparison_id="first", compared_at=EARLIER),
        comparison("legacy:imported", 0.712, comparison_id="first", compared_at=EARLIER, **ELSEWHERE),
        comparison("2", 0.6),
        comparison("floor:popularity", 0.61),
        comparison("floor:popularity", 0.1, slice="history: none"),
        comparison("2", 0.4, slice="history: 6 to 10", p_adjusted=0.02),
        comparison("2", 0.5, slice="history: 1 to 5", p_adjusted=0.5),
        comparison("floor:popularity", 0.2, comparison_id="old holdout", holdout="h0", compared_at=EARLIER),
        comparison("9", 0.2, comparison_id="another's", challenger="1", compared_at=EARLIER),
    )  # fmt: skip
    append(
        tables, EVALUATIONS,
        evaluation("3", 1, expected_ndcg=0.6, probabilities=[0.75, 0.25], targets=[1.0, 0.0]),
        evaluation("3", 2, expected_ndcg=0.7), evaluation("4", 1),
        evaluation("ceiling:with_position", 1, expected_ndcg=0.8), evaluation("3", 1, holdout="h0", expected_ndcg=0.1),
    )  # fmt: skip
    decision = {
        "decided_at": NOW,
        "version": "3",
        "previous_version": "2",
        "promoted": False,
        "reasons": ["Failed: no."],
        "comparison_id": "second",
    }
    append(tables, PROMOTIONS, {**decision, "sequence": 1, "action": "promote"})
    append(tables, JOIN_HEALTH, {"day": DAY, "join_method": "keyed", "measure": "match_rate", "value": 0.9})
    append(
        tables, LABELLED_PAGE_VIEWS, labelled(1, [1, 0]), labelled(2, [0, 0, 1]), labelled(3, [1, 0], randomized=True)
    )
    refused = {"source": "click_logs", "reason": "not_json", "file": "f", "ingested_at": NOW, "batch": 1}
    append(tables, QUARANTINE, refused, refused)
    drift = {"passed": True, "page_views": 9, "viewers": 8, "reason": ""}
    told = [("3", 4, "psi_rows"), ("3", 5, "ndcg"), ("3", 5, "psi_rows"), ("2", 6, "ndcg")]
    append(
        tables,
        DRIFT,
        *(
            {**drift, "day": DAY.replace(day=day), "version": version, "measure": measure, "value": 0.5,
             "monitored_at": NOW - dt.timedelta(days=version == "2")}
            for version, day, measure in told
        ),
    )  # fmt: skip
    return tables


def test_report_collects_the_version_s_figures_on_its_holdout(filled):
    content = collect_content(filled, NOW, None, FromRegistry([{"epoch": 1, "loss": 2.0}]))
    assert (content.version, content.holdout, content.simulated) == ("3", "h1", False)
    mark_simulated(filled.home)
    assert collect_content(filled, NOW, None).simulated
    assert {(one.name, one.role): one.metrics.get("ndcg") for one in content.results} == {
        ("3", "challenger"): 0.63,
        ("2", "champion"): 0.6,
        ("floor:popularity", "floor"): 0.61,  # the later comparison's
        ("legacy:imported", "imported"): 0.712,  # only the earlier one has it
        ("ceiling:with_position", "ceiling"): None,
    }
    slices = [(one.slice, one.gain.baseline, round(one.gain.difference, 2), one.p_adjusted) for one in content.slices]
    assert slices == [("history: 1 to 5", "2", 0.13, 0.5), ("history: 6 to 10", "2", 0.23, 0.02)]  # the champion's
    expected = {one.name: one.expected for one in content.results if one.expected}
    assert expected == {"3": {"ndcg": pytest.approx(0.65)}, "ceiling:with_position": {"ndcg": 0.8}}
    assert sorted(one.baseline for one in content.differences) == ["2", "floor:popularity"]
    assert (content.decision.decided_at, content.decision.reasons) == (NOW, ("Failed: no.",))
    assert content.health == (Health(DAY, "keyed", "match_rate", 0.9),)
    assert content.quarantine == (Quarantined("click_logs", "not_json", 2),)
    assert content.positions == (
        PositionClicks(0, False, 2, 1), PositionClicks(1, False, 2, 0), PositionClicks(2, False, 1, 1),
        PositionClicks(0, True, 1, 1), PositionClicks(1, True, 1, 0),
    )  # fmt: skip
    # one page view has probabilities: two bins of one pair, |.25 - 0| and |.75 - 1|
    assert (content.calibration.count, content.calibration.error) == (2, 0.25)
    assert content.shares == (PositionShare(0, 1, 0.75, 1.0), PositionShare(1, 1, 0.25, 0.0))
    # of the version that was monitored last, though another one was monitored on a later day
    monitored = [(one.day.day, one.version, one.measure) for one in content.monitored]
    assert monitored == [(4, "3", "psi_rows"), (5, "3", "psi_rows"), (5, "3", "ndcg")]
    assert (last_compared(filled).version, last_compared(filled).others) == ("3", ["2"])
    assert content.decision.earlier  # no verdict is stored: it is some decision on this holdout
    assert collect_content(filled, NOW, "1").version == "1"

    result = report(filled, NOW)  # in the same home: to fill another takes long
    assert result.headline.startswith("Version 3 ranks better than version 2: NDCG +.0300")
    folder = Path(result.path).parent
    assert (folder, [file.name for file in folder.iterdir()]) == (filled.home.reports, ["index.html"])
    assert result.headline in Path(result.path).read_text(encoding="utf-8")


def test_report_of_an_empty_home_says_what_is_missing(tables):
    result = report(tables, NOW)
    assert result.headline == "No version has been compared yet."
    assert "pagerec compare" in Path(result.path).read_text(encoding="utf-8")
    assert last_compared(tables) is None
