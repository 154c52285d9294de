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
