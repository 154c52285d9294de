"""What every test shares: one Spark session for the whole run, and fresh homes."""

import dataclasses
import os
import shutil
import sys

import pytest

from pagerec_dbx.config import settings_from
from pagerec_dbx.home import Home, open_home
from pagerec_dbx.schemas import LABELLED_PAGE_VIEWS
from pagerec_dbx.spark import spark_session
from pagerec_dbx.stages.prepare import prepare
from pagerec_dbx.tables import Tables
from pagerec_dbx.workbench import Workbench
from tests.worlds import labelled_page_views

# Two sessions share two processors: a collector with threads of its own would only wait for them. Java's second
# compiler stays on: a session lives for a quarter of an hour, and after six minutes it has given back what it took.
TESTS_JAVA = "-XX:-UseParallelGC -XX:+UseSerialGC"


@pytest.fixture(scope="session")
def spark(tmp_path_factory):
    """A local Spark session with Delta, started once."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = spark_session("local[2]", tmp_path_factory.mktemp("spark") / "spark.log", TESTS_JAVA)
    yield session
    session.stop()


@pytest.fixture
def home(tmp_path) -> Home:
    """A new, empty home."""
    return open_home(str(tmp_path / "home"))


@pytest.fixture
def tables(spark, home) -> Tables:
    """The tables of a new home."""
    return Tables(spark, home)


@pytest.fixture(scope="session")
def prepared_once(spark, tmp_path_factory) -> Workbench:
    """A workbench on a home with 3,000 labelled page views, prepared; only to be copied."""
    home = open_home(str(tmp_path_factory.mktemp("prepared_once") / "home"))
    bench = Workbench(home, settings_from({"epochs": 3, "batch_size": 32, "embedding_size": 8, "hidden_sizes": (16,)}))
    bench.tables.replace(LABELLED_PAGE_VIEWS, labelled_page_views(spark, 3_000))
    prepare(bench.tables, bench.settings.prepare, bench.now())
    return bench


@pytest.fixture(scope="module")
def prepared(prepared_once, tmp_path_factory) -> Workbench:
    """A copy of the prepared home for the tests of one file, which share what they add to it with no other file."""
    folder = tmp_path_factory.mktemp("prepared") / "home"
    shutil.copytree(prepared_once.home.folder, folder)
    return dataclasses.replace(prepared_once, home=open_home(str(folder)))


@pytest.fixture(scope="session")
def promotion_home(spark, tmp_path_factory) -> Home:
    """The home of `promotion_world`, to be copied: to make it takes four evaluations."""
    from tests import promotion_world  # TensorFlow takes seconds to import

    return promotion_world.make_home(spark, tmp_path_factory.mktemp("promotion"))
