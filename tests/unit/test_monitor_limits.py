"""What passes and what fails of a monitored day: each limit alone, and chance."""

import pytest

from pagerec_dbx.config import MonitorSettings
from pagerec_dbx.monitoring.distributions import CLICK_SHARE, MENU_SIZE, UNKNOWN_ROWS, Distribution
from pagerec_dbx.monitoring.limits import Sample, figure_measures, limit_of, psi_measure
from pagerec_dbx.monitoring.scored import SCORES, Figure
from tests.unit.test_psi import alone

SAMPLE = Sample(page_views=100, viewers=90, training_page_views=1_000)
SETTINGS = MonitorSettings()


def measured(training, day, limit, names=("a", "new")):
    return psi_measure("rows", Distribution(alone(*training), alone(*day), names), SAMPLE, limit)


def test_a_psi_fails_only_past_its_limit():
    # 50:50 against 80:20 is .4159 (see test_psi)
    assert measured((500, 500), (80, 20), limit=0.42).passed
    failed = measured((500, 500), (80, 20), limit=0.41)
    assert not failed.passed
    assert failed.reason == (
        "Failed: psi_rows .4159 is past the limit of 0.41; by chance it is about .0110, and above .0724 on one day "
        "in a hundred. Most of it: `new`, 50.00% in training, 20.00% on the day."
    )
    assert (failed.training_share, failed.day_share) == (0.5, 0.2)


def test_a_psi_past_its_limit_passes_where_chance_goes_as_far():
    few = measured((500, 500), (4, 1), limit=0.2)  # the same shares, of five viewers
    assert few.passed and few.value == pytest.approx(0.4159, abs=1e-4)
    assert few.value < few.chance_99
    assert "no further than chance, though past the limit of 0.2" in few.reason
    assert not measured((500, 500), (80, 20), limit=0.2).passed  # the control: of a hundred


def test_each_distribution_has_its_limit():
    limits = {name: limit_of(name, SETTINGS) for name in ("rows", "titles", MENU_SIZE, SCORES)}
    assert set(limits.values()) == {SETTINGS.max_psi}
    assert limit_of(CLICK_SHARE, SETTINGS) == SETTINGS.max_psi_click_share
    assert limit_of(UNKNOWN_ROWS, SETTINGS) == SETTINGS.max_psi_unknown


def figures(lower, upper):
    names = ("ndcg", "reciprocal_rank", "popularity_ndcg", "gain_ndcg")
    return {name: Figure((lower + upper) / 2, lower, upper, 40, 30) for name in names}


def test_a_version_fails_where_it_is_shown_to_be_below_popularity():
    (judged,) = (one for one in figure_measures(figures(-0.03, 0.01), 0.0) if one.limit is not None)
    assert judged.passed and judged.measure == "gain_ndcg" and "is not shown to be below" in judged.reason
    measures = figure_measures(figures(-0.03, -0.01), 0.0)
    assert [one.measure for one in measures if not one.passed] == ["gain_ndcg"]
    assert measures[-1].reason == (
        "Failed: gain_ndcg over popularity -.0200, 95 % interval -.0300 to -.0100, is below the limit of 0 "
        "(40 page views with a click of 30 viewers)."
    )
