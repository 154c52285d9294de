"""Where the parts begin, counted in places of the order of page views."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagerec_dbx.config import PrepareSettings
from pagerec_dbx.errors import NoExamplesError
from pagerec_dbx.pipelines.cuts import Counts, cut_positions, locate
from pagerec_dbx.pipelines.order import OrderKey, micros_of


def test_cut_positions_takes_the_holdout_first_and_validation_of_what_lies_before():
    # 100 page views: holdout round(100 x .2) = 20 from place 80; validation round(80 x .25) = 20 from place 60.
    counts = Counts(((0, 70), (5, 30)), None, None)
    assert cut_positions(counts, PrepareSettings(validation_fraction=0.25)) == (60, 80)


def test_cut_positions_rounds_the_later_part():
    # 7 x .2 = 1.4 -> 1, so the holdout is place 6; 6 x .3 = 1.8 -> 2, so validation is places 4 and 5.
    counts = Counts(((0, 7),), None, None)
    assert cut_positions(counts, PrepareSettings(validation_fraction=0.3)) == (4, 6)


def test_cut_positions_prefers_timestamps():
    settings = PrepareSettings(holdout_from="2024-01-03", validation_from="2024-01-02")
    assert cut_positions(Counts(((0, 100),), 31, 57), settings) == (31, 57)


def test_cut_positions_takes_the_fraction_of_what_lies_before_a_timestamp():
    # 50 lie before the timestamp; round(50 x .2) = 10 of them are validation.
    assert cut_positions(Counts(((0, 100),), None, 50), PrepareSettings(holdout_from="2024-01-03")) == (40, 50)


@pytest.mark.parametrize(
    ("counts", "part"),
    [
        (Counts(((0, 2),), None, None), "holdout"),  # round(2 x .2) = 0
        (Counts(((0, 4),), None, None), "validation"),  # holdout 1, then round(3 x .2) = 1: see below
        (Counts(((0, 9),), 5, 9), "holdout"),
        (Counts(((0, 9),), 7, 7), "validation"),
        (Counts(((0, 9),), 8, 7), "validation"),  # validation_from after holdout_from
        (Counts(((0, 9),), 0, 7), "train"),
    ],
)
def test_cut_positions_refuses_an_empty_part(counts, part):
    settings = PrepareSettings(validation_fraction=0.1) if counts.total == 4 else PrepareSettings()
    with pytest.raises(NoExamplesError, match=f"the {part} part is empty"):
        cut_positions(counts, settings)


def test_cut_positions_refuses_no_page_views():
    with pytest.raises(NoExamplesError, match="no labelled page views"):
        cut_positions(Counts((), None, None), PrepareSettings())


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.data())
def test_locate_finds_the_place_that_counting_finds(counts, data):
    position = data.draw(st.integers(0, sum(counts) - 1))
    buckets = list(enumerate(counts))
    one_by_one = [(bucket, within) for bucket, count in buckets for within in range(count)]
    assert locate(buckets, position) == one_by_one[position]


def test_order_key_puts_no_request_id_first_and_compares_bytes():
    keys = [OrderKey(5, "é", 0), OrderKey(5, "z", 0), OrderKey(5, None, 9), OrderKey(5, "", 1), OrderKey(4, "z", 9)]
    assert sorted(keys, key=lambda key: key.rank) == [keys[4], keys[2], keys[3], keys[1], keys[0]]


@given(st.integers(0, 4_000_000_000_000_000), st.none() | st.text(), st.integers(0, 2**63 - 1))
def test_order_key_survives_json(micros, request_id, page_view_id):
    key = OrderKey(micros, request_id, page_view_id)
    assert OrderKey.from_json(key.as_json()) == key
    assert micros_of(key.served_at) == micros


def test_micros_of_heeds_the_offset():
    ahead = dt.timezone(dt.timedelta(hours=2))
    assert micros_of(dt.datetime(1970, 1, 1, 2, 0, 0, 7, tzinfo=ahead)) == 7
