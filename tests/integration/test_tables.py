"""The door to Delta: types, grain, versions."""

import dataclasses

import pytest
from pyspark.sql import functions as F

from pagerec_dbx.errors import GrainError, MissingTableError, SchemaError
from pagerec_dbx.home import Home
from pagerec_dbx.schemas import CLICKS, Column, Table
from pagerec_dbx.tables import Tables, conform, require_unique, spark_schema

COUNTS = Table("counts", "name", (Column("name", "string", required=True), Column("count", "bigint")), key=("name",))


def counts(spark, **values):
    return spark.createDataFrame([(name, value) for name, value in values.items()], "name string, count bigint")


def made_with(spark, tables, table: Table, columns: str) -> None:
    """An empty table of these columns, as another version of the package might have made it."""
    spark.createDataFrame([], columns).write.format("delta").save(tables.home.table_address(table.name))


def stored(tables):
    return {record["name"]: record["count"] for record in tables.read(COUNTS).collect()}


def test_append_adds_to_what_is_there(tables, spark):
    tables.append(COUNTS, counts(spark, a=1))
    tables.append(COUNTS, counts(spark, b=2))
    assert stored(tables) == {"a": 1, "b": 2}


def test_versions_can_be_read_again(tables, spark):
    tables.replace(COUNTS, counts(spark, a=1))
    version = tables.version(COUNTS)
    tables.replace(COUNTS, counts(spark, b=2))
    assert [record["name"] for record in tables.read(COUNTS, version).collect()] == ["a"]
    assert stored(tables) == {"b": 2}


def test_replace_where_leaves_the_others(tables, spark):
    tables.replace(COUNTS, counts(spark, a=1, b=2))
    tables.replace_where(COUNTS, counts(spark, b=20), "name = 'b'")
    assert stored(tables) == {"a": 1, "b": 20}


def test_insert_new_leaves_what_is_there(tables, spark):
    tables.insert_new(COUNTS, counts(spark, a=1))
    tables.insert_new(COUNTS, counts(spark, a=9, b=2))
    assert stored(tables) == {"a": 1, "b": 2}


def test_insert_new_refuses_a_key_twice(tables, spark):
    twice = spark.createDataFrame([("a", 1), ("a", 2)], "name string, count bigint")
    with pytest.raises(GrainError, match=r"`counts` has several records for one \(name\): got \('a',\)"):
        tables.insert_new(COUNTS, twice)


def test_missing_tables_are_named(tables):
    with pytest.raises(MissingTableError, match="`counts` does not exist"):
        tables.read(COUNTS)


def test_conform_selects_and_compares_types(spark):
    frame = counts(spark, a=1).withColumn("other", F.lit(1))
    assert conform(frame, COUNTS).columns == ["name", "count"]
    with pytest.raises(SchemaError, match=r"wanted count bigint \(got int\)"):
        conform(frame.withColumn("count", F.lit(1)), COUNTS)
    with pytest.raises(SchemaError, match=r"count bigint \(got no such column\)"):
        conform(frame.drop("count"), COUNTS)


def test_required_columns_refuse_nulls(tables, spark):
    with pytest.raises(Exception, match="NOT NULL constraint violated"):
        tables.append(COUNTS, spark.createDataFrame([(None, 1)], "name string, count bigint"))


def test_require_unique_returns_or_raises(spark):
    assert require_unique(counts(spark, a=1, b=1), ["name"], "counts").count() == 2
    with pytest.raises(GrainError):
        require_unique(counts(spark, a=1, b=1), ["count"], "counts")


def test_snapshotted_tables_have_no_deletion_vectors(tables, spark):
    tables.create(CLICKS)
    address = tables.home.table_address("clicks")
    properties = spark.sql(f"DESCRIBE DETAIL delta.`{address}`").first()["properties"]
    assert properties["delta.enableDeletionVectors"] == "false"
    assert {field.name for field in spark_schema(CLICKS) if not field.nullable} >= {"click_id", "user_hash"}


def test_a_constraint_refuses_what_no_record_may_be(tables, spark):
    table = Table("shares", "name", COUNTS.columns, key=("name",), checks=("count > 0", "name <> ''"))
    tables.append(table, counts(spark, a=1))
    with pytest.raises(Exception, match="(?i)constraint sound"):
        tables.append(table, counts(spark, b=0))
    assert tables.read(table).count() == 1


OTHERS = {
    "name string": "wanted count bigint, got count no such column",
    "name string, count int": "wanted count bigint, got count int",
    "name string, count bigint, share double": "wanted share no such column, got share double",
}


@pytest.mark.parametrize("columns", OTHERS)
def test_a_table_of_another_version_is_neither_read_nor_written_to(tables, spark, columns):
    made_with(spark, tables, COUNTS, columns)
    expected = f"`counts` was made by another version of pagerec: {OTHERS[columns]}. Use the version that made it"
    for command in (
        lambda: tables.read(COUNTS),
        lambda: tables.append(COUNTS, counts(spark, a=1)),
        lambda: tables.replace(COUNTS, counts(spark, a=1)),
        lambda: tables.insert_new(COUNTS, counts(spark, a=1)),
        lambda: tables.append_stream(COUNTS, counts(spark, a=1), tables.home.folder / "checkpoint"),
    ):
        with pytest.raises(SchemaError, match=expected):
            command()
    assert tables.version(COUNTS) == 0


def test_a_table_whose_columns_stand_in_another_order_is_fine(tables, spark):
    made_with(spark, tables, COUNTS, "count bigint, name string")
    tables.append(COUNTS, counts(spark, a=1))
    assert stored(tables) == {"a": 1}


def test_compact_puts_small_files_together_and_changes_no_record(tables, spark):
    for number in range(4):
        tables.append(COUNTS, counts(spark, **{f"n{number}": number}).coalesce(1))
    before = stored(tables)
    assert not tables.compact(COUNTS, most_files=4)
    assert tables.compact(COUNTS, by="name", most_files=3)
    assert len(tables.read(COUNTS).inputFiles()) == 1 and stored(tables) == before


class TwoLevels(Home):
    """A home in Spark's own catalog: names of three levels are understood by Databricks' Delta alone."""

    def table_address(self, table: str) -> str:
        return super().table_address(table).removeprefix("spark_catalog.")


@pytest.fixture
def catalog(spark, tmp_path, monkeypatch):
    """The tables of a schema of Spark's own catalog, which is asked the same way as Unity Catalog."""
    spark.sql(f"CREATE DATABASE made_here LOCATION '{tmp_path}'")
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "15.4")
    yield Tables(spark, TwoLevels("spark_catalog.made_here"))
    spark.sql("DROP DATABASE made_here CASCADE")


def test_tables_of_a_catalog_are_made_read_and_replaced(catalog, spark):
    assert not catalog.exists(COUNTS)
    catalog.append(COUNTS, counts(spark, a=1, b=2))
    catalog.replace_where(COUNTS, counts(spark, b=20), "name = 'b'")
    assert catalog.exists(COUNTS) and stored(catalog) == {"a": 1, "b": 20}
    first = catalog.version(COUNTS) - 1
    assert {row["name"]: row["count"] for row in catalog.read(COUNTS, first).collect()} == {"a": 1, "b": 2}
    catalog.delete(COUNTS, "name = 'a'")
    assert stored(catalog) == {"b": 20}


def test_a_table_of_a_catalog_gets_the_constraint_that_a_killed_process_did_not_add(catalog, spark, monkeypatch):
    table = dataclasses.replace(COUNTS, name="shares", checks=("count > 0",))
    with monkeypatch.context() as patch:
        patch.setattr(Tables, "_constrain", lambda *_: None)
        catalog.append(table, counts(spark, a=1))
    catalog.create(table)
    version = catalog.version(table)
    with pytest.raises(Exception, match="(?i)constraint sound"):
        catalog.append(table, counts(spark, b=0))
    assert catalog.version(table) == version  # it has the constraint, so that it is not added a second time
