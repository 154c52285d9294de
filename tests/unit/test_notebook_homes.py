"""Which home and which model a notebook looks at."""

import re

import pytest

from pagerec_dbx.errors import HomeError, UnknownVersionError, UsageError
from pagerec_dbx.notebooks.homes import default_home, open_bench, versions
from pagerec_dbx.registry.versions import default_model
from tests.bundle import ROOT


def test_defaults_are_the_environment_s(monkeypatch):
    for name in ("PAGEREC_HOME", "PAGEREC_MODEL"):
        monkeypatch.delenv(name, raising=False)
    assert (default_home(), default_model()) == ("", "pagerec")
    monkeypatch.setenv("PAGEREC_HOME", "main.dev_ann_pagerec_dev")
    monkeypatch.setenv("PAGEREC_MODEL", "dev_ann_pagerec")
    assert (default_home(), default_model()) == ("main.dev_ann_pagerec_dev", "dev_ann_pagerec")


@pytest.mark.parametrize("name", ["", " "])
def test_no_home_is_a_sentence_that_says_what_to_enter(name):
    with pytest.raises(HomeError, match="no home is chosen: wanted catalog.schema.* Enter it in the widget `home`"):
        open_bench(name)


def test_open_bench_makes_no_home(tmp_path):
    with pytest.raises(HomeError, match="is no home"):
        open_bench(str(tmp_path / "typo"))
    assert not (tmp_path / "typo").exists()


def test_the_model_of_a_home_is_the_widget_s(home):
    assert open_bench(home.name, " dev_ann_pagerec ").registry.model_name == "dev_ann_pagerec"
    assert open_bench(home.name).registry.model_name == default_model()


@pytest.mark.parametrize("model", ["", "main.pagerec.pagerec", "it's"])
def test_what_names_no_model_is_refused(home, model):
    with pytest.raises(UsageError, match="no registered model is named so: wanted a name without catalog and schema"):
        open_bench(home.name, model)


def test_a_model_without_versions_is_a_sentence(home):
    with pytest.raises(UnknownVersionError, match="no version of other is registered.* Set the widget `model`"):
        versions(open_bench(home.name, "other"))


def test_the_docs_say_what_each_target_has():
    """As the bundle names them: development mode puts the user's name before both."""
    text = (ROOT / "docs/databricks.md").read_text()
    rows = [
        re.split(r" *\| *", line.strip("| "))
        for line in text.splitlines()
        if re.match(r"\| `(dev|staging|prod)` ", line)
    ]
    assert [row[:3] for row in rows] == [
        ["`dev`", "`main.dev_<you>_pagerec_dev`", "`dev_<you>_pagerec`"],
        ["`staging`", "`main.pagerec_staging`", "`pagerec`"],
        ["`prod`", "`main.pagerec_prod`", "`pagerec`"],
    ]
