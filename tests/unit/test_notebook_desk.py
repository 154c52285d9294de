"""Widgets outside Databricks, and what a desk does with them."""

import runpy
import subprocess
import sys
from types import SimpleNamespace

import pandas as pd
import pytest
from matplotlib.figure import Figure

from pagerec_dbx.errors import UsageError
from pagerec_dbx.notebooks.desk import MOST_CHOICES, NONE, Desk, open_desk, quote, unquote
from pagerec_dbx.notebooks.widgets import Widgets
from tests.bundle import ROOT
from tests.runtime_notebooks import CUT, OpenNotebook, RuntimeStandIn


def test_widgets_give_defaults_and_given_values():
    widgets = Widgets({"metric": "ndcg", "home": "demo", "methods": "keyed,windowed"})
    widgets.text("home", "main.pagerec", "Home")
    widgets.text("note", "none")
    widgets.dropdown("metric", "hit", ["hit", "ndcg"])
    widgets.multiselect("methods", "keyed", ["keyed", "windowed"])
    names = ("home", "note", "metric", "methods")
    assert [widgets.get(name) for name in names] == ["demo", "none", "ndcg", "keyed,windowed"]


@pytest.mark.parametrize(
    "make",
    [
        lambda widgets: widgets.dropdown("metric", "ndcg", ["ndcg"]),
        lambda widgets: Widgets().dropdown("metric", "other", ["ndcg"]),
        lambda widgets: widgets.multiselect("metric", "ndcg", ["ndcg"]),
    ],
)
def test_widgets_refuse_what_is_no_choice(make):
    with pytest.raises(UsageError, match="widget `metric` has no such choice: wanted .*ndcg"):
        make(Widgets({"metric": "mrr"}))


def test_widgets_know_only_what_was_made():
    with pytest.raises(UsageError, match="no widget `metric`: .* Run the notebook from its first cell on"):
        Widgets({"metric": "ndcg"}).get("metric")


def test_desk_takes_the_runtimes_widgets_and_display():
    widgets, shown = RuntimeStandIn(), []
    desk = open_desk({"dbutils": SimpleNamespace(widgets=widgets), "display": shown.append})
    desk.display("x")
    desk.display(None)  # nothing to show
    desk.widgets.text("home", "main.pagerec", "Home")
    assert widgets.get("home") == desk.widgets.get("home") == "main.pagerec"
    assert shown == ["x"]


CASCADE = """# Databricks notebook source
from pagerec_dbx.notebooks.desk import open_desk

desk = open_desk(globals())
viewers = {"mon": ["ann", "bob"], "tue": ["bob", "eve"]}
day = desk.offer("day", list(viewers), "Day")
viewer = desk.offer("viewer", viewers[day], "Viewer")
desk.offer_several("pages", [f"{day}, {viewer}", "100%"], "Pages")
# COMMAND ----------
desk.make_widgets()
# COMMAND ----------
display((desk.chosen("day"), desk.chosen("viewer"), desk.selected("pages")))
"""


@pytest.fixture
def opened(tmp_path) -> OpenNotebook:
    source = tmp_path / "cascade.py"
    source.write_text(CASCADE)
    return OpenNotebook(source, RuntimeStandIn())


def test_choices_follow_another_widget_on_a_runtime(opened):
    assert opened.run() == [("mon", "ann", ["mon, ann"])]
    opened.widgets.choose("day", "tue")
    assert opened.run() == [("tue", "bob", ["tue, bob"])]
    assert opened.widgets.choices("viewer") == ["bob", "eve"]
    opened.widgets.choose("day", "mon")
    assert opened.run() == [("mon", "bob", ["mon, bob"])]  # who was chosen stays, while that is a choice
    del opened.names["_pagerec_widgets"]  # the cluster was restarted, the notebook's widgets stayed
    opened.widgets.choose("day", "tue")
    assert opened.run() == [("tue", "bob", ["tue, bob"])]
    assert opened.widgets.choices("viewer") == ["bob", "eve"]


def test_choices_stay_as_they_are_when_a_widget_is_made_again_in_the_cell_that_removed_it(opened):
    """The control of the test before: why offers and widgets have cells of their own."""
    opened._cells = ["".join(opened._cells)]
    opened.run()
    opened.widgets.choose("day", "tue")
    opened.run()
    assert opened.widgets.choices("viewer") == ["ann", "bob"]


def test_a_comma_inside_a_choice_parts_nothing(opened):
    opened.run()
    assert opened.widgets.choices("pages") == ["mon%2C ann", "100%25"]
    opened.widgets.choose("pages", "mon%2C ann,100%25")
    assert opened.run() == [("mon", "ann", ["mon, ann", "100%"])]
    for text in ("a,b", "%2C", "%252C,", "50%", "%25", "plain"):
        assert unquote(quote(text)) == text and "," not in quote(text)


def test_a_runtime_s_other_errors_are_not_taken_for_a_missing_widget(opened, monkeypatch):
    def fail(_):
        raise RuntimeError("py4j lost its gateway")

    monkeypatch.setattr(opened.widgets, "get", fail)
    with pytest.raises(RuntimeError, match="gateway"):
        opened.run()


@pytest.fixture
def shown() -> list:
    return []


@pytest.fixture
def desk(shown) -> Desk:
    return Desk(Widgets({"version": NONE, "many": f"a,{NONE},b"}), shown.append)


def refuse(_):
    raise UsageError("no such day", wanted="a day", got="x")


def test_a_wrong_choice_is_a_sentence_and_what_needs_it_stays_silent(desk, shown):
    found = desk.attempt(refuse, "x")
    desk.show(len, found)
    assert found is None
    assert shown == ["no such day: wanted a day, got x."]
    assert desk.choices(refuse, "x") == [NONE]
    assert desk.choices(len, None) == [NONE]


def test_a_fault_of_our_own_is_no_sentence(desk):
    with pytest.raises(ZeroDivisionError):
        desk.attempt(lambda one: 1 / one, 0)


def test_no_choice_is_none_and_left_out_of_several(desk):
    desk.widgets.dropdown("version", NONE, [NONE, "1"])
    desk.widgets.multiselect("many", NONE, [NONE, "a", "b"])
    assert desk.chosen("version") is None
    assert desk.selected("many") == ["a", "b"]


def test_no_more_is_offered_than_a_runtime_s_dropdown_takes(desk):
    assert len(desk.choices(range, 5_000)) == MOST_CHOICES


def test_desk_reads_the_command_line_elsewhere(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["compare.py", "metric=ndcg", "--verbose"])
    monkeypatch.setattr("sys.excepthook", sys.excepthook)  # put back afterwards
    desk = open_desk({})
    desk.widgets.dropdown("metric", "hit", ["hit", "ndcg"])
    desk.display(pd.DataFrame({"metric": [desk.widgets.get("metric")]}))
    desk.display(Figure(label="gains"))
    assert capsys.readouterr().out.split() == ["metric", "ndcg", "figure", "saved", "as", "gains.png"]
    assert (tmp_path / "gains.png").exists()


def test_a_script_ends_with_a_sentence(tmp_path):
    code = "from pagerec_dbx.notebooks.desk import open_desk\nopen_desk({}).widgets.dropdown('metric', 'a', ['a'])\n"
    ended = subprocess.run([sys.executable, "-c", code, "metric=b"], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    told = "widget `metric` has no such choice: wanted one of ['a'], got 'b'. Give one of them, as in metric=a.\n"
    assert ended.stderr == told


# --- in Jupyter -------------------------------------------------------------------------------------------------------


@pytest.fixture
def jupyter(monkeypatch):
    """The widgets of a kernel, whose controls are drawn nowhere."""
    pytest.importorskip("ipywidgets", reason="the runtime's environment has its own; `make test` runs this")
    from pagerec_dbx.notebooks.widgets import JupyterWidgets

    monkeypatch.setattr("IPython.display.display", lambda *_: None)
    return JupyterWidgets({"metric": "ndcg"})


def test_a_control_keeps_what_was_chosen_while_that_is_a_choice(jupyter):
    jupyter.dropdown("metric", "hit", ["hit", "ndcg"])
    assert jupyter.get("metric") == "ndcg"  # given
    jupyter._controls["metric"].value = "hit"  # by hand
    jupyter.dropdown("metric", "ndcg", ["ndcg", "hit"])
    assert jupyter.get("metric") == "hit"
    jupyter.dropdown("metric", "rank", ["rank", "ndcg"])
    assert jupyter.get("metric") == "rank"  # the default, as hit is no choice any more


def test_several_are_given_with_commas_between(jupyter):
    jupyter.multiselect("methods", "keyed", ["keyed", "windowed"])
    jupyter._controls["methods"].value = ("keyed", "windowed")
    jupyter.multiselect("methods", "keyed", ["keyed", "windowed", "third"])
    assert jupyter.get("methods") == "keyed,windowed"
    jupyter.text("home", "demo")
    assert jupyter.get("home") == "demo"


def test_jupyter_s_controls_check_what_is_given(jupyter):
    with pytest.raises(UsageError, match="widget `metric` has no such choice: wanted .*hit.*, got 'ndcg'"):
        jupyter.dropdown("metric", "hit", ["hit"])
    with pytest.raises(UsageError, match="no widget `x`"):
        jupyter.get("x")


def test_source_format_becomes_jupyter_s(tmp_path):
    pytest.importorskip("nbformat", reason="the runtime's environment has no Jupyter; `make test` runs this")
    converted = runpy.run_path(str(ROOT / "tools/notebooks.py"))["converted"]
    text = "# Databricks notebook source\n# MAGIC %md\n# MAGIC # Title\n# MAGIC\n# MAGIC text\n\n"
    text += "# COMMAND ----------\n\nx = 1\n"
    markdown, code = converted(text).cells
    assert (markdown.cell_type, markdown.source) == ("markdown", "# Title\n\ntext")
    assert (code.cell_type, code.source) == ("code", "x = 1")
    for wrong in ("x = 1\n", "# Databricks notebook source\n# MAGIC %sql\n# MAGIC select 1\n"):
        with pytest.raises(UsageError, match="wanted .*(Export it from Databricks|Write the cell in Python)"):
            converted(wrong)


@pytest.mark.parametrize("source", sorted((ROOT / "jobs/notebooks").glob("*.py")), ids=lambda source: source.stem)
def test_a_notebook_is_in_source_format_with_its_widgets_first(source):
    first, offers, made, *cells = source.read_text().split(CUT)
    assert first.startswith("# Databricks notebook source\n# MAGIC %md\n# MAGIC # ")
    assert 'desk.widgets.text("home"' in offers and "desk.offer(" in offers
    assert made.strip().startswith("desk.make_widgets()")  # in another cell than the offers: see RuntimeWidgets
    assert not any(word in one for one in (made, *cells) for word in ("import ", "desk.offer"))
    assert len([line for one in cells for line in one.split("\n") if line and line[0] not in "# )"]) <= 20  # thin
