"""A home in a catalog as a notebook opens it: Spark's own catalog stands in for Unity Catalog."""

import pytest

from pagerec_dbx.errors import HomeError
from pagerec_dbx.notebooks.homes import open_bench
from tests.runtime_notebooks import shown_by


@pytest.fixture(autouse=True)
def runtime(spark, monkeypatch):
    """Homes are `catalog.schema`, as the runtime has them."""
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "15.4")


def test_a_schema_that_is_there_is_opened():
    assert open_bench("spark_catalog.default").home.in_catalog


def test_a_schema_that_is_not_there_is_refused():
    with pytest.raises(HomeError, match="there is no schema spark_catalog.nowhere, or you may not use it"):
        open_bench("spark_catalog.nowhere")


@pytest.mark.parametrize(
    ("home", "words"),
    [
        ("spark_catalog.nowhere", "there is no schema spark_catalog.nowhere"),
        ("mian.pagerec", "there is no schema mian.pagerec"),
        ("spark_catalog.default", "table `join_health` does not exist in home spark_catalog.default"),
    ],
)
def test_a_notebook_says_so_in_one_sentence(home, words):
    (sentence,) = shown_by("joins", home=home)
    assert sentence.startswith(words) and ("widget" in sentence or "ingest" in sentence)  # what to do
