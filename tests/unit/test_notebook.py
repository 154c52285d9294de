"""Widgets outside Databricks, and what the comparison notebook shows."""

import datetime as dt
from types import SimpleNamespace

import pandas as pd
import pytest

from pagerec_dbx import notebook
from pagerec_dbx.errors import HomeError, UsageError
from pagerec_dbx.notebook import Widgets
from pagerec_dbx.schemas import COMPARISONS


def comparison(**values) -> dict:
    defaults = dict.fromkeys(COMPARISONS.column_names) | {
        "challenger": "2", "baseline": "floor:popularity", "protocol": "menu", "metric": "ndcg", "slice": "all",
        "holdout": "h",
        "value_challenger": 0.7, "value_baseline": 0.6, "difference": 0.1, "lower": 0.05, "upper": 0.15, "pages": 100,
        "viewers": 40, "measured": "here", "compared_at": dt.datetime(2024, 1, 2),
    }  # fmt: skip
    return {**defaults, **values}


def comparisons(*records: dict) -> pd.DataFrame:
    return pd.DataFrame(list(records), columns=COMPARISONS.column_names)


def test_widgets_give_defaults_and_given_values():
    widgets = Widgets({"metric": "ndcg", "home": "demo"})
    widgets.text("home", "main.pagerec", "Home")
    widgets.text("note", "none")
    widgets.dropdown("metric", "hit", ["hit", "ndcg"])
    assert [widgets.get(name) for name in ("home", "note", "metric")] == ["demo", "none", "ndcg"]


@pytest.mark.parametrize(
    "make",
    [
        lambda widgets: widgets.dropdown("metric", "ndcg", ["ndcg"]),
        lambda widgets: Widgets().dropdown("metric", "other", ["ndcg"]),
    ],
)
def test_widgets_refuse_what_is_no_choice(make):
    with pytest.raises(UsageError, match="widget `metric` has no such choice: wanted .*ndcg"):
        make(Widgets({"metric": "mrr"}))


def test_widgets_know_only_what_was_made():
    with pytest.raises(UsageError, match="no widget `metric`"):
        Widgets({"metric": "ndcg"}).get("metric")


def test_desk_takes_the_runtimes_widgets_and_display():
    widgets, shown = Widgets(), []
    desk = notebook.desk({"dbutils": SimpleNamespace(widgets=widgets), "display": shown.append})
    desk.display("x")
    assert desk.widgets is widgets
    assert shown == ["x"]


def test_desk_reads_the_command_line_elsewhere(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["compare.py", "metric=ndcg", "--verbose"])
    desk = notebook.desk({})
    desk.widgets.dropdown("metric", "hit", ["hit", "ndcg"])
    desk.display(pd.DataFrame({"metric": [desk.widgets.get("metric")]}))
    assert capsys.readouterr().out.split() == ["metric", "ndcg"]


def test_open_tables_makes_no_home(tmp_path):
    with pytest.raises(HomeError, match="is no home"):
        notebook.open_tables(str(tmp_path / "typo"))
    assert not (tmp_path / "typo").exists()


def test_choices_come_from_the_records_or_are_none():
    stored = comparisons(comparison(), comparison(challenger="1", slice="new viewers"), comparison(challenger="1"))
    assert notebook.choices(stored, "challenger") == ["2", "1"]
    assert notebook.choices(stored, "slice", challenger="1") == ["new viewers", "all"]
    assert notebook.choices(comparisons(), "challenger") == [notebook.NONE]


def test_chosen_comparisons_are_the_newest_one_a_baseline_in_falling_order():
    stored = comparisons(
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
    stored = comparisons(
        comparison(holdout="new", difference=0.1),
        comparison(holdout="old", baseline="1", compared_at=dt.datetime(2024, 1, 1)),
    )
    assert list(notebook.chosen_comparisons(stored, challenger="2").baseline) == ["floor:popularity"]
    older = notebook.chosen_comparisons(stored, challenger="2", holdout="old")
    assert list(older.baseline) == ["1"]


def test_readable_says_of_every_figure_what_it_was_measured_on():
    shown = notebook.readable(comparisons(comparison(lower=0.051234)))
    assert {"protocol", "metric", "slice", "pages", "viewers"} <= set(shown.columns)
    assert shown.lower.tolist() == [0.0512]


def test_summary_says_what_the_intervals_say():
    frame = comparisons(
        comparison(),
        comparison(baseline="1", lower=-0.02, upper=0.03),
        comparison(baseline="floor:page_order", lower=-0.3, upper=-0.1),
        comparison(baseline="legacy", lower=None, upper=None),  # measured elsewhere: no interval
    )
    assert notebook.summary(frame) == (
        "By ndcg, version 2 is better than floor:popularity; worse than floor:page_order; not settled against 1."
    )
    assert notebook.summary(comparisons()).startswith("Nothing was compared")


def test_forest_plot_draws_a_line_a_judged_baseline(tmp_path):
    frame = comparisons(comparison(), comparison(baseline="legacy", lower=None, upper=None))
    (axes,) = notebook.forest_plot(frame).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["floor:popularity"]
    notebook.forest_plot(comparisons()).savefig(tmp_path / "empty.png")  # nothing to draw is no error
