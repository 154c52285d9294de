"""Limits on join health: which texts are limits, what a limit that is kept or broken does, and how `join` then ends."""

import datetime as dt

import pytest

from pagerec_dbx.errors import HealthError, SettingError
from pagerec_dbx.home import open_home
from pagerec_dbx.ledger import Ledger
from pagerec_dbx.schemas import CLICKS, JOIN_HEALTH, LABELLED_PAGE_VIEWS, PAGE_VIEWS
from pagerec_dbx.stages.join_limits import Limit, parse_limit, require_limits
from pagerec_dbx.tables import Tables, spark_schema
from tests.commands import run

DAYS = [dt.date(2024, 1, day) for day in (1, 2, 3)]
REMEDY = "Read docs/joins.md on what to do, then run `pagerec join` again."


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("match_rate>=.5", Limit("all", "match_rate", ">=", 0.5)),
        ("all.match_rate>=0.5", Limit("all", "match_rate", ">=", 0.5)),
        (" windowed.match_rate >= 4e-1 ", Limit("windowed", "match_rate", ">=", 0.4)),
        ("keyed.time_to_click_p99<=120", Limit("keyed", "time_to_click_p99", "<=", 120.0)),
        ("late_history_titles<=-1", Limit("all", "late_history_titles", "<=", -1.0)),
    ],
)
def test_a_limit_names_a_join_a_measure_and_a_bound(text, limit):
    assert parse_limit(text) == limit


@pytest.mark.parametrize(
    "text",
    ["", "match_rate", "match_rate>.5", "match_rate=>.5", "match_rate>=half", "match_rate>=", ">=.5", "match rate>=.5",
     "other.match_rate>=.5", "all.keyed.match_rate>=.5", "match_rate>=.5 agreement>=.9", "match_rate>=.5%"],
)  # fmt: skip
def test_a_malformed_limit_is_a_setting_error(text):
    with pytest.raises(SettingError) as refused:
        parse_limit(text)
    assert str(refused.value) == (
        "setting `health_limits` is malformed: wanted [join.]measure>=number or <=, as windowed.match_rate>=.4, "
        f"got {text!r}. Set health_limits=[match_rate>=.5]."
    )
    assert refused.value.exit_code == 2


@pytest.fixture(scope="module")
def health(spark):
    """Three days, the last one first; on the second the windowed join had no click to match, so no match rate."""
    measures = {
        ("all", "match_rate"): (0.9, 0.5, 0.7),
        ("keyed", "match_rate"): (1.0, 0.6, 0.8),
        ("windowed", "match_rate"): (0.25, None, 0.75),
        ("windowed", "time_to_click_p99"): (None, None, None),
        ("all", "clicks_per_page"): (1.0, 1.25, 1.5),
    }
    records = [
        (day, *name, value) for name, values in measures.items() for day, value in zip(DAYS, values, strict=True)
    ]
    frame = spark.createDataFrame(records[::-1], spark_schema(JOIN_HEALTH)).coalesce(1).persist()
    yield frame
    frame.unpersist()


@pytest.mark.parametrize(
    "limits",
    [
        [],
        ["match_rate>=.5"],  # the worst day is just at the bound
        ["clicks_per_page<=1.5"],
        ["keyed.match_rate>=.6"],
        ["windowed.match_rate<=.75", "windowed.match_rate>=.25"],  # the day without a value is no day
        ["match_rate>=.5", "clicks_per_page<=1.5", "keyed.match_rate>=.6"],
    ],
    ids=str,
)
def test_limits_that_hold_on_every_day_say_nothing(health, limits):
    require_limits(health, limits)


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("match_rate>=.75", "all.match_rate {} 2 of 3 days, first on 2024-01-02; {} >= 0.75, got 0.5. {}"),
        ("clicks_per_page<=1", "all.clicks_per_page {} 2 of 3 days, first on 2024-01-02; {} <= 1, got 1.25. {}"),
        ("keyed.match_rate>=.95", "keyed.match_rate {} 2 of 3 days, first on 2024-01-02; {} >= 0.95, got 0.6. {}"),
        ("windowed.match_rate>=.5", "windowed.match_rate {} 1 of 2 days, first on 2024-01-01; {} >= 0.5, got 0.25. {}"),
    ],
    ids=["at least", "at most", "of a join", "a day without a value"],
)
def test_a_broken_limit_is_told_with_its_days_and_the_first_value(health, limit, words):
    with pytest.raises(HealthError) as broken:
        require_limits(health, [limit])
    assert str(broken.value) == words.format("is past its limit on", "all is written: wanted", REMEDY)
    assert broken.value.exit_code == 1


def test_a_limit_that_nothing_holds_to_account_says_nothing(health, monkeypatch):
    monkeypatch.setattr(Limit, "holds", lambda *_: True)
    require_limits(health, ["match_rate>=2"])


@pytest.mark.parametrize(
    "measure",
    ["luck", "keyed.clicks_per_page", "windowed.time_to_click_p99"],
    ids=["unknown", "of another join", "without a value on any day"],
)
def test_a_measure_that_no_day_has_is_an_error(health, measure):
    name = measure if "." in measure else f"all.{measure}"
    with pytest.raises(HealthError) as lacking:
        require_limits(health, [f"{measure}>=0"])
    assert str(lacking.value) == f"no day has the measure {name}. Look at table `join_health` for its measures."
    assert lacking.value.exit_code == 1


@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_limit_of_several_is_enough(health, place):
    limits = ["match_rate>=.5", "clicks_per_page<=1.5"]
    limits.insert(place, "keyed.match_rate>=.95")
    with pytest.raises(HealthError, match=r"^keyed\.match_rate is past"):
        require_limits(health, limits)


def test_of_several_broken_limits_the_first_is_told(health):
    with pytest.raises(HealthError, match=r"^windowed\.match_rate is past"):
        require_limits(health, ["match_rate>=.5", "windowed.match_rate>=.5", "keyed.match_rate>=.95"])


# --- on the command line ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def half_matched(spark, tmp_path_factory) -> Tables:
    """A page view with two clicks, of which one is on a row that it did not offer; not joined yet."""
    tables = Tables(spark, open_home(str(tmp_path_factory.mktemp("half-matched") / "home")))
    moment, day = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC), DAYS[0]
    menu = [("r1", "R1", 0, False), ("r2", "R2", 1, False)]
    view = (1, day, "service_logs", "q", "ann", moment, None, False, None, None, [], menu, 0, 1)
    clicks = [(n, "click_logs", "q", "ann", moment, row, None, day, 1) for n, row in enumerate(("r1", "zz"))]
    for table, records in ((PAGE_VIEWS, [view]), (CLICKS, clicks)):
        tables.replace(table, spark.createDataFrame(records, spark_schema(table)).coalesce(1))
        Ledger(tables.home).written(table, {day: "run 1"})
    return tables


def _join(tables: Tables, limits: str):
    return run("join", "--home", tables.home.name, "--json", f"health_limits=[{limits}]")


@pytest.mark.slow
def test_join_writes_everything_before_a_broken_limit_ends_it_with_1(half_matched):
    ran = _join(half_matched, "unmatched_no_page<=0, match_rate>=.75")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.splitlines()[-1] == (
        "pagerec: all.match_rate is past its limit on 1 of 1 days, first on 2024-01-01; all is written: "
        f"wanted >= 0.75, got 0.5. {REMEDY}"
    )
    (view,) = half_matched.read(LABELLED_PAGE_VIEWS).collect()
    assert view.clicked == [1, 0]
    # Nothing is left to do: with limits that hold, the same command rewrites no day and ends well.
    kept = _join(half_matched, "unmatched_no_page<=0, match_rate>=.5")
    assert kept.code == 0 and kept.json["days"] == 0


@pytest.mark.slow
@pytest.mark.slow
def test_join_with_a_malformed_limit_ends_with_2(half_matched):
    ran = _join(half_matched, "match_rate>.5")
    assert (ran.code, ran.out) == (2, "")
    assert "setting `health_limits` is malformed" in ran.err and "got 'match_rate>.5'" in ran.err
