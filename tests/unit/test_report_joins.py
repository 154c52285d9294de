"""The report's figures of the joins."""

import datetime as dt

from pagerec_dbx.report.content import Health
from pagerec_dbx.report.joins import joins_part


def _health(day, **measures):
    return [Health(dt.date(2024, 1, day), "all", measure, value) for measure, value in measures.items()]


def test_joins_part_weighs_days_by_their_page_views():
    first = _health(1, agreement_page_views=10.0, agreement=0.5, disagreement_past_window=5.0)
    second = _health(2, agreement_page_views=90.0, agreement=1.0)
    part = joins_part([*first, *second])
    assert (part["agreement"], part["agreement_views"]) == ("95.0%", "100")  # 95 of 100, not the mean of .5 and 1
    assert [(bar.label, bar.value) for bar in part["causes"]] == [("past window", 5.0)]


def test_joins_part_without_a_cross_check_says_nothing_of_it():
    assert joins_part(_health(1, page_views=3.0))["agreement"] is None


def test_joins_part_shares_the_clicks_among_the_positions_in_page_order():
    first = _health(1, clicks_matched=10.0, click_share_position_00=0.2, click_share_position_10=0.8)
    second = _health(2, clicks_matched=30.0, click_share_position_00=0.6, click_share_position_02=0.4)
    part = joins_part([*first, *second])
    # 2 + 18, 12 and 8 of 40 clicks; the longest bar is 100
    assert [(bar.label, round(bar.value, 9), round(bar.length, 9)) for bar in part["health_positions"]] == [
        ("position 00", 50.0, 100.0), ("position 02", 30.0, 60.0), ("position 10", 20.0, 40.0),
    ]  # fmt: skip
    assert part["health_position_rows"][0] == ["position 00", "50.0 %"]


def test_joins_part_without_clicks_has_no_positions():
    assert joins_part(_health(1, page_views=3.0))["health_positions"] == []
