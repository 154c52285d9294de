"""Every table is in a class: what it holds of a viewer is known."""

import pytest

from pagerec_dbx import schemas
from pagerec_dbx.schemas import Column, Table
from pagerec_dbx.stages import viewer_tables
from pagerec_dbx.stages.viewer_tables import cut_tables, hash_tables, id_tables, unclassified


def _names(tables) -> set[str]:
    return {table.name for table in tables}


def test_every_table_of_the_schemas_is_in_one_class():
    assert unclassified() == []
    classes = [hash_tables(), id_tables(), cut_tables(), viewer_tables.WITHOUT_VIEWERS]
    assert sum(map(len, classes)) + 1 == len(viewer_tables.every_table())
    assert _names(id_tables()) >= {"click_matches", "ranked_menus"}
    assert _names(cut_tables()) == {"preparations"}
    assert [table.name for table in hash_tables()][-3:] == [
        "bronze_page_views",
        "bronze_events",
        "bronze_attributes",
    ]


@pytest.mark.parametrize(
    ("column", "found_by"),
    [
        (Column("user_hash", "string"), hash_tables),
        (Column("page_view_id", "bigint"), id_tables),
        (Column("click_id", "string"), unclassified),
        (Column("first", "struct<page_view_id:bigint>"), cut_tables),
        (Column("household", "string"), unclassified),
    ],
)
def test_a_new_table_is_found_by_its_columns_or_named_by_this_test(monkeypatch, column, found_by):
    new = Table("new", "thing", (column,), key=(column.name,) if column.type == "bigint" else ())
    monkeypatch.setattr(schemas, "NEW", new, raising=False)
    assert new in found_by()


def test_no_table_without_viewers_could_hold_one():
    """A user_hash or an id in one of these columns would be found here."""
    for table in viewer_tables.WITHOUT_VIEWERS:
        assert "user_hash" not in table.column_names and not viewer_tables.id_paths(table), table.name
