"""The comparison notebook, executed from its first line to its last on a home with stored comparisons."""

import datetime as dt
import runpy
import sys

import matplotlib.figure
import pandas as pd
import pytest

from pagerec_dbx.errors import UsageError
from pagerec_dbx.notebooks import comparisons
from pagerec_dbx.schemas import COMPARISONS
from pagerec_dbx.tables import spark_schema
from tests.bundle import ROOT
from tests.runtime_notebooks import OpenNotebook, RuntimeStandIn, shown_by

NOTEBOOK = ROOT / "jobs/notebooks/compare.py"


def record(challenger: str, baseline: str, metric: str, lower: float | None, upper: float | None, day: int) -> dict:
    known = lower is not None
    return {
        "comparison_id": f"c{day}", "holdout": "h", "challenger": challenger, "baseline": baseline, "protocol": "menu",
        "metric": metric, "slice": "all", "value_challenger": 0.7, "value_baseline": 0.6,
        "difference": (lower + upper) / 2 if known else 0.1, "lower": lower, "upper": upper,
        "pages": 100 if known else None, "viewers": 40 if known else None, "measured": "here" if known else "elsewhere",
        "compared_at": dt.datetime(2024, 1, day),
    }  # fmt: skip


# As Delta may return them: those of one comparison in any order, with the whole between its slices.
RECORDS = [
    {**record("2", "floor:popularity", "ndcg", -0.09, -0.03, day=2), "slice": "device: web"},
    record("2", "floor:popularity", "ndcg", 0.02, 0.06, day=2),
    record("2", "legacy:imported", "ndcg", None, None, day=2),
    record("2", "floor:popularity", "hit_at_1", -0.01, 0.02, day=2),
    {**record("2", "floor:popularity", "ndcg", 0.2, 0.4, day=2), "slice": "Age: new viewers"},
    record("1", "floor:popularity", "ndcg", -0.05, -0.01, day=1),
]


@pytest.fixture(params=[1, -1], ids=["as told", "backwards"])
def compared(tables, request):
    """A home that holds RECORDS, in either order."""
    values = [tuple(one.get(name) for name in COMPARISONS.column_names) for one in RECORDS[:: request.param]]
    tables.append(COMPARISONS, tables.spark.createDataFrame(values, spark_schema(COMPARISONS)))
    return tables.home


def execute(**choices: str) -> list:
    """What the notebook displays with these widget values."""
    return shown_by("compare", **choices)


def test_notebook_shows_the_newest_challenger_by_default(compared):
    sentence, table, figure, by_slice = execute(home=compared.name)
    assert sentence == "By ndcg, version 2 is better than floor:popularity."
    assert list(table.baseline) == ["legacy:imported", "floor:popularity"]
    assert list(table.difference) == [0.1, 0.04]
    assert isinstance(figure, matplotlib.figure.Figure) and isinstance(by_slice, matplotlib.figure.Figure)


def test_notebook_offers_the_whole_first_and_then_its_slices(compared):
    notebook = OpenNotebook(NOTEBOOK, RuntimeStandIn(home=compared.name))
    _, _, _, by_slice = notebook.run()
    assert notebook.widgets.choices("slice") == [comparisons.ALL, "Age: new viewers", "device: web"]
    assert notebook.widgets.get("slice") == comparisons.ALL
    # falling: 0.3, 0.04, -0.06; the figure's labels stand from the bottom
    assert [label.get_text() for label in by_slice.axes[0].get_yticklabels()] == [
        "device: web", "all", "Age: new viewers",
    ]  # fmt: skip
    notebook.widgets.choose("slice", "device: web")
    assert notebook.run()[0] == "By ndcg, version 2 is worse than floor:popularity."


def test_notebook_follows_the_widgets(compared):
    assert execute(home=compared.name, challenger="1")[0] == "By ndcg, version 1 is worse than floor:popularity."
    sentence, table, *_ = execute(home=compared.name, metric="hit_at_1", baseline="floor:popularity")
    assert sentence == "By hit_at_1, version 2 is not settled against floor:popularity."
    assert len(table) == 1


def test_notebook_says_in_a_sentence_that_nothing_fits(compared, tables):
    sentence, table, *_ = execute(home=compared.name, protocol="vocabulary")
    assert sentence.startswith("Nothing was compared")
    assert isinstance(table, pd.DataFrame)
    assert table.empty


def test_notebook_says_in_a_sentence_that_nothing_was_compared_yet(tables):
    assert execute(home=tables.home.name)[0].startswith("Nothing was compared")


def test_notebook_says_in_a_sentence_that_there_is_no_home(tmp_path):
    (sentence,) = execute(home=str(tmp_path / "typo"))
    assert sentence.endswith("is no home: wanted catalog.schema or a home's folder. Set the widget `home`.")


def test_notebook_refuses_what_is_no_choice(compared, monkeypatch):
    monkeypatch.setattr("sys.excepthook", sys.excepthook)  # put back afterwards
    monkeypatch.setattr("sys.argv", [str(NOTEBOOK), f"home={compared.name}", "challenger=9"])
    with pytest.raises(UsageError, match="widget `challenger` has no such choice: wanted one of .'2', '1'., got '9'"):
        runpy.run_path(str(NOTEBOOK))


def test_notebook_runs_without_databricks(compared, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.excepthook", sys.excepthook)  # put back afterwards
    monkeypatch.setattr("sys.argv", [str(NOTEBOOK), f"home={compared.name}", "metric=ndcg"])
    runpy.run_path(str(NOTEBOOK))
    assert "better than floor:popularity" in capsys.readouterr().out
    assert (tmp_path / "gains.png").stat().st_size > 1_000
