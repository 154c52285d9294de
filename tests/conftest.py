"""What every test shares: one Spark session for the whole run, and fresh homes."""

import os
import sys

import pytest

from pagerec_dbx.home import Home, open_home
from pagerec_dbx.spark import spark_session
from pagerec_dbx.tables import Tables


@pytest.fixture(scope="session")
def spark(tmp_path_factory):
    """A local Spark session with Delta, started once."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = spark_session("local[2]", tmp_path_factory.mktemp("spark") / "spark.log")
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
