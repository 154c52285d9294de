"""Tables of another version of the package: `ingest`, `join`, `prepare` refuse them, and nothing is written to them."""

import pytest
from pyspark.sql.types import ArrayType, IntegerType, StringType, StructField, StructType

from pagerec_dbx.config import IngestSettings, JoinSettings
from pagerec_dbx.errors import SchemaError
from pagerec_dbx.features.examples import renew_examples
from pagerec_dbx.hashing import ensure_key
from pagerec_dbx.schemas import BRONZE_EVENTS, EXAMPLES, PAGE_VIEWS, SHOWN, Table
from pagerec_dbx.stages.ingest import ingest
from pagerec_dbx.stages.join import join
from pagerec_dbx.tables import spark_schema
from tests.log_lines import NOW, click, write

CHANGES = {  # of the column `day`, and what the error says was found
    "type": (lambda field: [StructField("day", IntegerType())], "got day int"),
    "missing": (lambda field: [], "got day no such column"),
    "extra": (lambda field: [field, StructField("week", IntegerType())], "got week int"),
}


def _make(tables, table: Table, change: str) -> None:
    fields = [new for field in spark_schema(table).fields
              for new in (CHANGES[change][0](field) if field.name == "day" else [field])]  # fmt: skip
    empty = tables.spark.createDataFrame([], StructType(fields))
    empty.write.format("delta").save(tables.home.table_address(table.name))


@pytest.mark.parametrize("change", CHANGES)
def test_ingest_refuses_a_table_of_another_version(tables, tmp_path, change):
    _make(tables, BRONZE_EVENTS, change)
    write(tmp_path / "logs", "click_logs", [click()])
    key, _ = ensure_key(tables.home, derived_from_seed=1)
    with pytest.raises(SchemaError, match=f"`bronze_events` was made by another version.*{CHANGES[change][1]}"):
        ingest(tables, tmp_path / "logs", key, IngestSettings(), NOW)
    assert tables.version(BRONZE_EVENTS) == 0


@pytest.mark.parametrize("change", CHANGES)
def test_join_refuses_a_table_of_another_version(tables, change):
    _make(tables, PAGE_VIEWS, change)
    with pytest.raises(SchemaError, match=f"`page_views` was made by another version.*{CHANGES[change][1]}"):
        join(tables, JoinSettings())
    assert tables.version(PAGE_VIEWS) == 0


def test_examples_with_the_impressions_of_before_are_refused(tables):
    """What a version of layout 7 wrote, should somebody have changed the layout's number by hand."""
    fields = [field for field in spark_schema(EXAMPLES).fields if field.name not in SHOWN]
    before = StructType([*fields, StructField("impressions", ArrayType(StringType()))])
    tables.spark.createDataFrame([], before).write.format("delta").save(tables.home.table_address(EXAMPLES.name))
    wanted = "`examples` was made by another version.*wanted shown_row array<string>.*got.*impressions array<string>"
    with pytest.raises(SchemaError, match=f"{wanted}.*start a new home"):
        renew_examples(tables, None, 0, history_length=3, shown_length=0)
    assert tables.version(EXAMPLES) == 0
