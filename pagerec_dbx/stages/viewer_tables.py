"""Which tables hold what of a viewer: read off the schemas, so that a new table is in a class or a test names it."""

import re

from pagerec_dbx import schemas
from pagerec_dbx.pipelines.bronze import BRONZE_TABLES
from pagerec_dbx.schemas import Table

ID_NAMES = ("page_view_id", "click_id")  # what stands for a record of one viewer
# Counts, names and decisions over many viewers, or none: nothing of one of them.
WITHOUT_VIEWERS = (
    schemas.TITLES, schemas.ROWS, schemas.INGESTED_FILES, schemas.JOIN_HEALTH,
    schemas.VOCABULARIES, schemas.HOLDOUT_LOOKS, schemas.CALIBRATIONS, schemas.COMPARISONS, schemas.VERDICTS,
    schemas.PROMOTIONS, schemas.DRIFT,
)  # fmt: skip
LIST = schemas.FORGOTTEN  # it keeps the hashes on purpose


def every_table() -> list[Table]:
    """All tables that `schemas` describes."""
    return [value for value in vars(schemas).values() if isinstance(value, Table)]


def hash_tables() -> list[Table]:
    """Tables whose records name their viewer, bronze last: from it a killed run finds the ids again."""
    named = [table for table in every_table() if "user_hash" in table.column_names and table is not LIST]
    return sorted(named, key=lambda table: table in BRONZE_TABLES)


def id_tables() -> list[Table]:
    """Tables without a hash, whose records are found by the ids of the viewer's page views and clicks.

    A click and the page view that it is matched with are of one viewer, so the id in the key finds them all.
    """
    return [table for table in _without_hash() if set(table.key) & set(ID_NAMES)]


def key_id(table: Table) -> str:
    """By which id the records of one of `id_tables` are found."""
    return next(name for name in ID_NAMES if name in table.key)


def cut_tables() -> list[Table]:
    """Tables in which a page view only marks a place in time, inside a struct."""
    return [table for table in _without_hash() if any("." in path for path in id_paths(table))]


def text_tables() -> list[Table]:
    """Tables that keep the text of refused lines."""
    return [table for table in hash_tables() if "raw" in table.column_names]


def unclassified() -> list[Table]:
    """Tables of which nobody has said what they hold of a viewer."""
    known = [*hash_tables(), *id_tables(), *cut_tables(), *WITHOUT_VIEWERS, LIST]
    return [table for table in every_table() if table not in known]


def _without_hash() -> list[Table]:
    return [table for table in every_table() if "user_hash" not in table.column_names]


def id_paths(table: Table) -> dict[str, str]:
    """Where ids stand in a record, also inside a struct: path -> name of the id."""
    paths = {}
    for column in table.columns:
        if column.name in ID_NAMES:
            paths[column.name] = column.name
        for name in ID_NAMES:
            if column.type.startswith("struct<") and re.search(rf"\b{name}:bigint\b", column.type):
                paths[f"{column.name}.{name}"] = name
    return paths


def text_columns(table: Table) -> list[str]:
    """Columns that are texts; a user hash could stand in any of them."""
    return [column.name for column in table.columns if column.type == "string"]
