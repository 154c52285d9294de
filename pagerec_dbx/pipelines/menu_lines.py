"""The menu of a page view's line: its candidates in order of position, and what is wrong with them.

Nearly every menu is tidy: its rows stand in order, each with its id. Functions over whole arrays tell which are, at a
fraction of the cost of a look at each row; only the others are put in order and judged row by row.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.pipelines import parsing, projection
from pagerec_dbx.pipelines.mapping import Form


def with_menu(lines: DataFrame, candidates: Column, form: Form) -> DataFrame:
    """Lines with `menu`, and `menu_fault`, which is null where all is well.

    Args:
        candidates: array<struct<row_id, row_title, position, pinned>> as it stands in the line.
    """
    tidy, offered = F.col("tidy_menu"), F.col("offered")
    return (
        lines.withColumn("tidy_menu", _is_tidy(candidates))
        .withColumn("offered", F.when(~tidy, _offered(candidates)))
        .withColumn("menu", F.when(tidy, candidates).otherwise(_menu(offered)))
        .withColumn("menu_fault", F.when(~tidy, _menu_fault(candidates, offered, form)))
    )


def _is_tidy(candidates: Column) -> Column:
    """True for rows in order of their positions, with ids and pins, no row twice, and no text that may be nested."""
    ids = candidates["row_id"]
    return F.coalesce(
        (candidates["position"] == F.sequence(F.lit(0), F.size(candidates) - 1))
        & parsing.all_told(ids)
        & (F.size(F.array_distinct(ids)) == F.size(ids))
        & F.forall(candidates["pinned"], lambda pinned: pinned.isNotNull())
        & parsing.none_nested(ids)
        & parsing.none_nested(candidates["row_title"]),
        F.lit(False),
    )


# --- a menu that is not tidy ------------------------------------------------------------------------------------------


def _offered(candidates: Column) -> Column:
    """The candidates in order of position, the index where there is none: array<struct<position, row_id, ...>>."""
    placed = F.transform(
        candidates,
        lambda row, index: F.struct(
            F.coalesce(row["position"], index).alias("position"),
            row["row_id"].alias("row_id"),
            row["row_title"].alias("row_title"),
            F.coalesce(row["pinned"], F.lit(False)).alias("pinned"),
        ),
    )
    return F.sort_array(placed)


def _menu_fault(candidates: Column, offered: Column, form: Form) -> Column:
    ids = offered["row_id"]
    return (
        F.when(F.size(candidates) == 0, "empty_menu")
        .when(F.exists(candidates, lambda row: row.isNull()), "wrong_type")
        .when(F.exists(ids, lambda row_id: row_id.isNull() | (row_id == "")), "missing_row_id")
        .when(_any_nested(ids, "row_id", form), "wrong_type")
        .when(_any_nested(offered["row_title"], "row_title", form), "wrong_type")
        .when(F.size(F.array_distinct(ids)) < F.size(ids), "duplicate_row")
        .when(offered["position"] != F.sequence(F.lit(0), F.size(ids) - 1), "position_gap")
    )


def _any_nested(texts: Column, name: str, form: Form) -> Column:
    """True where one of these texts of the menu is an object or a list."""
    menu, inside = form.place("candidates").path, form.place(f"candidates.{name}").path
    if not inside:
        return F.lit(False)
    return F.exists(texts, parsing.looks_nested) & projection.holds_nested_inside(F.col("line"), menu, inside)


def _menu(offered: Column) -> Column:
    return F.transform(offered, lambda row: F.struct(row["row_id"], row["row_title"], row["position"], row["pinned"]))
