"""Which days of `examples` are made again, and which days are labelled together."""

import datetime as dt

from pagerec_dbx.features.examples import stale_days
from pagerec_dbx.stages.join import grouped_days

A, B, C, D = (dt.date(2024, 1, number) for number in (1, 2, 3, 4))


def test_days_made_from_what_they_should_be_stay():
    assert stale_days({A: "1", B: "1"}, {A: "1", B: "1"}, onward=False) == []


def test_new_changed_unfinished_and_vanished_days_are_stale():
    wanted = {A: "1", B: "2", C: "1"}
    assert stale_days(wanted, {A: "1", B: "1", D: "1"}, onward=False) == [B, C, D]
    assert stale_days(wanted, {A: None, B: "2", C: "1"}, onward=False) == [A]


def test_a_day_that_vanished_is_emptied_once():
    assert stale_days({A: "1"}, {A: "1", B: "1"}, onward=False) == [B]
    assert stale_days({A: "1"}, {A: "1", B: "no page views"}, onward=False) == []
    assert stale_days({A: "1", B: "2"}, {A: "1", B: "no page views"}, onward=False) == [B]  # and comes back


def test_with_what_was_shown_before_every_later_day_is_stale_too():
    wanted = {A: "1", B: "2", C: "1"}
    assert stale_days(wanted, {A: "1", B: "1", C: "1"}, onward=True) == [B, C]
    assert stale_days(wanted, wanted, onward=True) == []


def test_days_are_labelled_together_as_far_as_their_clicks_fit():
    clicks = {C: 5, A: 4, B: 0, D: 12}
    assert grouped_days(clicks, 10) == [[A, B, C], [D]]
    assert grouped_days(clicks, 5) == [[A, B], [C], [D]]
    assert grouped_days(clicks, 100) == [[A, B, C, D]]
    assert grouped_days({}, 10) == []
