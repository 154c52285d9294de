"""A read of one day opens the files of that day and no others: counted where Spark scans."""

import datetime as dt

import pytest
from pyspark.sql import DataFrame

from pagerec_dbx.home import open_home
from pagerec_dbx.schemas import BRONZE_PAGE_VIEWS, LABELLED_PAGE_VIEWS
from pagerec_dbx.tables import Tables, on_days, spark_schema
from tests.page_views import MONDAY, labelled_page_views, page_view

A_DAY = 86_400.0
DAYS = [(MONDAY + dt.timedelta(number)).date() for number in range(3)]


def _files_scanned(frame: DataFrame) -> int:
    """How many files Spark opens for the records of a frame, as its scan itself counts them."""
    frame.collect()
    leaves = frame._jdf.queryExecution().executedPlan().collectLeaves()
    (scan,) = (leaves.apply(number) for number in range(leaves.size()))
    return scan.metrics().apply("numFiles").value()


@pytest.fixture
def labelled(tables, spark) -> DataFrame:
    """`labelled_page_views` of three days, which are its partitions, one file each."""
    pages = [page_view(number, number * A_DAY) for number in range(3)]
    tables.replace_days(LABELLED_PAGE_VIEWS, labelled_page_views(spark, pages).coalesce(1), DAYS)
    return tables.read(LABELLED_PAGE_VIEWS)


@pytest.fixture(scope="module")
def bronze(spark, tmp_path_factory) -> DataFrame:
    """`bronze_page_views` after three runs, each with one line of one day; nothing but statistics tells the days."""
    tables = Tables(spark, open_home(str(tmp_path_factory.mktemp("bronze") / "home")))
    for number, day in enumerate(DAYS):
        menu = [("r1", "R1", 0, False), ("r2", "R2", 1, False)]
        line = {"source": "hashed_payloads", "file": "part-0.jsonl", "batch": number + 1, "refused": False, "day": day}
        line |= {"user_hash": "ann", "page_view_id": number, "history": [], "menu": menu}
        records = [tuple(line.get(name) for name in BRONZE_PAGE_VIEWS.column_names)]
        tables.append(BRONZE_PAGE_VIEWS, spark.createDataFrame(records, spark_schema(BRONZE_PAGE_VIEWS)).coalesce(1))
    return tables.read(BRONZE_PAGE_VIEWS)


def test_one_day_of_a_table_by_day_is_one_file(labelled):
    ids = labelled.select("day", "page_view_id")
    assert _files_scanned(ids) == 3
    of_day = ids.where(on_days(DAYS[1:2]))
    assert _files_scanned(of_day) == 1
    assert [row["page_view_id"] for row in of_day.collect()] == [1]


def test_one_day_of_bronze_is_one_file(bronze):
    batches = bronze.select("day", "batch")
    assert _files_scanned(batches) == 3
    for number, day in enumerate(DAYS):
        of_day = batches.where(on_days([day]))
        assert _files_scanned(of_day) == 1
        assert [row["batch"] for row in of_day.collect()] == [number + 1]


def test_one_day_of_bronze_is_every_file_where_statistics_do_not_help(bronze):
    # The same day, said so that Delta cannot hold it against the least and the greatest day of each file.
    of_day = bronze.select("day", "batch").where(on_days(DAYS[:1], "to_date(concat(day, ''))"))
    assert _files_scanned(of_day) == 3
    assert [row["batch"] for row in of_day.collect()] == [1]
