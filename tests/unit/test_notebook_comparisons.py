"""What the comparison notebook shows of stored comparisons."""

import datetime as dt

import pandas as pd

from pagerec_dbx.notebooks import comparisons as notebook
from pagerec_dbx.notebooks.desk import NONE
from pagerec_dbx.schemas import COMPARISONS


def comparison(**values) -> dict:
    defaults = dict.fromkeys(COMPARISONS.column_names) | {
        "challenger": "2", "baseline": "floor:popularity", "protocol": "menu", "metric": "ndcg", "slice": "all",
        "holdout": "h",
        "value_challenger": 0.7, "value_baseline": 0.6, "difference": 0.1, "lower": 0.05, "upper": 0.15, "pages": 100,
        "viewers": 40, "measured": "here", "compared_at": dt.datetime(2024, 1, 2),
    }  # fmt: skip
    return {**defaults, **values}


def frame_of(*records: dict) -> pd.DataFrame:
    return pd.DataFrame(list(records), columns=COMPARISONS.column_names)


def test_choices_come_from_the_records_or_are_none():
    stored = frame_of(comparison(), comparison(challenger="1", slice="new viewers"), comparison(challenger="1"))
    assert notebook.choices(stored, "challenger") == ["2", "1"]
    assert notebook.choices(stored, "slice", challenger="1") == ["new viewers", "all"]
    assert notebook.choices(frame_of(), "challenger") == [NONE]


def test_chosen_comparisons_are_the_newest_one_a_baseline_in_falling_order():
    stored = frame_of(
        comparison(difference=0.1),
        comparison(difference=0.3, compared_at=dt.datetime(2024, 1, 1)),  # older: gives way
        comparison(baseline="floor:random", difference=0.2),
        comparison(baseline="floor:page_order", metric="hit_at_1"),  # another metric
    )
    chosen = notebook.chosen_comparisons(stored, challenger="2", protocol="menu", metric="ndcg", slice="all")
    assert list(chosen.baseline) == ["floor:random", "floor:popularity"]
    assert list(chosen.difference) == [0.2, 0.1]
    one = notebook.chosen_comparisons(stored, baseline="floor:random", challenger="2", metric="ndcg")
    assert list(one.baseline) == ["floor:random"]


def test_chosen_comparisons_are_all_of_the_newest_holdout():
    stored = frame_of(
        comparison(holdout="new", difference=0.1),
        comparison(holdout="old", baseline="1", compared_at=dt.datetime(2024, 1, 1)),
    )
    assert list(notebook.chosen_comparisons(stored, challenger="2").baseline) == ["floor:popularity"]
    older = notebook.chosen_comparisons(stored, challenger="2", holdout="old")
    assert list(older.baseline) == ["1"]


def test_readable_says_of_every_figure_what_it_was_measured_on():
    shown = notebook.readable(frame_of(comparison(lower=0.051234)))
    assert {"protocol", "metric", "slice", "pages", "viewers"} <= set(shown.columns)
    assert shown.lower.tolist() == [0.0512]


def test_summary_says_what_the_intervals_say():
    frame = frame_of(
        comparison(),
        comparison(baseline="1", lower=-0.02, upper=0.03),
        comparison(baseline="floor:page_order", lower=-0.3, upper=-0.1),
        comparison(baseline="legacy", lower=None, upper=None),  # measured elsewhere: no interval
    )
    assert notebook.summary(frame) == (
        "By ndcg, version 2 is better than floor:popularity; worse than floor:page_order; not settled against 1."
    )
    assert notebook.summary(frame_of()).startswith("Nothing was compared")


def test_forest_plot_draws_a_line_a_judged_baseline(tmp_path):
    frame = frame_of(comparison(), comparison(baseline="legacy", lower=None, upper=None))
    (axes,) = notebook.forest_plot(frame).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["floor:popularity"]
    notebook.forest_plot(frame_of()).savefig(tmp_path / "empty.png")  # nothing to draw is no error


def test_slices_are_those_of_the_newest_holdout_in_falling_order():
    stored = frame_of(
        comparison(slice="device: tv", difference=0.1),
        comparison(slice="device: phone", difference=0.3),
        comparison(slice="device: phone", difference=0.9, holdout="old", compared_at=dt.datetime(2024, 1, 1)),
        comparison(slice="device: web", baseline="1"),
    )
    found = notebook.slices_of(stored, challenger="2", baseline="floor:popularity")
    assert list(found.slice) == ["device: phone", "device: tv"]
    (axes,) = notebook.slices_plot(found).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["device: tv", "device: phone"]
