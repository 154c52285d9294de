"""Which part of the holdout a page view belongs to, so that a gain can be looked at where it is made and lost.

A page view carries the names of its slices, `column: band`, as `with_slices` writes them; `slice_differences` compares
two sides inside each of them.
"""

import dataclasses
from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql import functions as F

from pagerec_dbx.errors import SettingError
from pagerec_dbx.evaluation.comparison import HERE, CompareResult, ComparisonRow, slice_order
from pagerec_dbx.evaluation.multiplicity import holm, two_sided
from pagerec_dbx.evaluation.power import normal_width, standard_error
from pagerec_dbx.evaluation.protocols import MENU

_OF_SLICE = (
    "baseline", "slice", "value_challenger", "value_baseline", "difference", "pages", "viewers", "effective_viewers",
)  # fmt: skip
_TOO_SMALL = dict.fromkeys(("difference", "lower", "upper", "p_adjusted"))
NEVER = "never shown before"
_UNKNOWN = "not known"
_MENU_ENDS, _HISTORY_ENDS, _POSITION_ENDS, _HOUR_ENDS = (10, 20, 30, 40), (0, 5, 10, 20), (0, 4, 9, 19), (5, 11, 17)
_BANDS = {"top 10 % of rows": 0.1, "top 10 to 50 %": 0.5, "top 50 to 100 %": 1.0}  # up to which share of the rows


def with_slices(examples: DataFrame, rows_before: DataFrame, named: Sequence[str]) -> DataFrame:
    """The examples with `slices`, an array of `column: band`.

    The clicked row is the first one in page order. History counts the titles kept: no titles is a viewer of whom
    nothing is known. Popularity is the place of the clicked row among all rows by clicks before the holdout.

    Args:
        examples: records of `examples`.
        rows_before: one record per row: row_id, clicks; as `row_counts` of the page views before the holdout.
        named: further columns of the examples, a slice for each value.

    Raises:
        SettingError: no such column, or one that holds lists or names each page view or viewer.
    """
    _require_columns(examples, named)
    place = F.expr("array_position(clicked, CAST(1 AS TINYINT)) - 1")
    clicked = examples.withColumn("_place", place).withColumn("_row", F.expr("menu[CAST(_place AS INT)]"))
    banded = clicked.join(F.broadcast(_bands(rows_before)), "_row", how="left")
    text = {
        "menu size": _band(F.size("menu"), _MENU_ENDS),
        "history": F.when(F.size("history") == 0, "none").otherwise(_band(F.size("history"), _HISTORY_ENDS)),
        "popularity": F.coalesce("_band", F.lit(NEVER)),
        "position": _band(F.col("_place"), _POSITION_ENDS),
        "hour": _band(F.col("hour"), _HOUR_ENDS, last=23),
        "device": _value("device"),
        "location": _value("location"),
        **{name: _value(name) for name in named},
    }
    names = [F.concat(F.lit(f"{name}: "), column) for name, column in text.items()]
    return banded.withColumn("slices", F.array(*names)).select(*examples.columns, "slices")


def _value(name: str) -> Column:
    return F.coalesce(F.col(name).cast("string"), F.lit(_UNKNOWN))


def _band(value: Column, ends: Sequence[int], last: int | None = None) -> Column:
    """`0 to 4`, `5 to 9`, ..., `20 and more`; each end belongs to its band."""
    first, words = 0, None
    for end in ends:
        name = str(end) if first == end else f"{first} to {end}"
        words = F.when(value <= end, name) if words is None else words.when(value <= end, name)
        first = end + 1
    return words.otherwise(f"{first} and more" if last is None else f"{first} to {last}")


def _bands(rows_before: DataFrame) -> DataFrame:
    """One record per row: _row, _band. Rows of equal clicks share the place of the last of them."""
    share = F.cume_dist().over(Window.orderBy(F.desc("clicks")))
    words = None
    for name, end in _BANDS.items():
        words = F.when(share <= end, name) if words is None else words.when(share <= end, name)
    return rows_before.select(F.col("row_id").alias("_row"), words.alias("_band"))


def _require_columns(examples: DataFrame, named: Sequence[str]) -> None:
    kinds = {field.name: field.dataType.typeName() for field in examples.schema.fields}
    unfit = ("page_view_id", "request_id", "user_hash", "served_at")  # a slice of one page view or viewer each
    fit = sorted(name for name, kind in kinds.items() if kind != "array" and name not in unfit)
    for name in named:
        if name not in fit:
            raise SettingError(
                f"the examples cannot be sliced by `{name}`", wanted=f"one of {', '.join(fit)}", got=repr(name)
            )


def slice_differences(evaluations: DataFrame, challenger: str, baselines: Sequence[str], metric: str) -> DataFrame:
    """What the challenger has more than each baseline inside each slice, with all that an interval needs.

    One record per baseline and slice: baseline, slice, value_challenger, value_baseline, pages, viewers,
    effective_viewers, difference, squares (the sum over viewers of their squared residuals, see `evaluation.power`).
    Counted by Spark; nothing of a page view or a viewer reaches the driver.

    Args:
        evaluations: records of one holdout under one protocol, with their slices.
    """
    sides = [challenger, *baselines]
    value = {side: F.max(F.when(F.col("version") == side, F.col(metric))) for side in sides}
    paged = (
        evaluations.where(F.col("version").isin(sides))
        .groupBy("page_view_id", "user_hash")
        .agg(
            *(value[side].alias(f"v{number}") for number, side in enumerate(sides)),
            F.max(F.when(F.col("version") == challenger, F.col("slices"))).alias("slices"),  # a baseline has none
        )
    )
    others = F.array(
        *(F.struct(F.lit(side).alias("baseline"), F.col(f"v{n}").alias("theirs")) for n, side in enumerate(sides) if n)
    )
    each = paged.select("user_hash", "v0", "slices", F.explode(others).alias("other")).select(
        "user_hash", F.col("v0").alias("own"), "other.*", F.explode("slices").alias("slice")
    )
    of_viewers = each.groupBy("baseline", "slice", "user_hash").agg(
        F.sum("own").alias("own"), F.sum("theirs").alias("theirs"), F.count("*").cast("double").alias("n")
    )
    s, n = F.col("own") - F.col("theirs"), F.col("n")
    sums = of_viewers.groupBy("baseline", "slice").agg(
        F.sum("own").alias("own"), F.sum("theirs").alias("theirs"), F.sum(n).alias("n"), F.count("*").alias("viewers"),
        F.sum(s * s).alias("ss"), F.sum(s * n).alias("sn"), F.sum(n * n).alias("nn"),
    )  # fmt: skip
    difference = (F.col("own") - F.col("theirs")) / F.col("n")
    return (
        sums.withColumn("difference", difference)
        .select(
            "baseline", "slice", "difference", "viewers",
            (F.col("own") / F.col("n")).alias("value_challenger"),
            (F.col("theirs") / F.col("n")).alias("value_baseline"),
            F.col("n").cast("bigint").alias("pages"),
            (F.col("n") * F.col("n") / F.col("nn")).alias("effective_viewers"),
            # sum of (s - d n)^2, written out; rounding may leave it a little below 0
            F.greatest(
                F.lit(0.0),
                F.col("ss") - 2 * F.col("difference") * F.col("sn") + F.pow("difference", 2) * F.col("nn"),
            ).alias("squares"),
        )
    )  # fmt: skip


def sliced_comparison(result: CompareResult, sliced: Sequence[Row], metric: str, least: int) -> CompareResult:
    """The comparison with its slices: one row per baseline and slice, menu protocol, the verdict's metric.

    The interval of a slice is normal, by the standard error of `evaluation.power`: there are dozens of slices, and
    their page views need not be resampled to know how much viewers vary. `p_adjusted` is by Holm over the slices of
    one baseline that are compared.

    Args:
        sliced: records of `slice_differences`.
        least: slices of fewer page views, and those of one viewer, have a row without difference and interval.
    """
    common: dict = {"comparison_id": result.comparison_id, "holdout": result.holdout, "challenger": result.challenger}
    common |= {"protocol": MENU, "metric": metric, "measured": HERE, "compared_at": result.rows[0].compared_at}
    rows = []
    for baseline in dict.fromkeys(row.baseline for row in result.rows):
        mine = sorted((one for one in sliced if one["baseline"] == baseline), key=lambda one: slice_order(one["slice"]))
        shown = _shown([one for one in mine if one["viewers"] > 1 and one["pages"] >= least])
        rows += [
            ComparisonRow(**common, **{name: one[name] for name in _OF_SLICE} | shown.get(one["slice"], _TOO_SMALL))
            for one in mine
        ]
    return dataclasses.replace(result, rows=(*result.rows, *rows))


def _shown(large: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Interval and p-value of each slice of one baseline."""
    errors = [standard_error(one["squares"], one["pages"], one["viewers"]) for one in large]
    adjusted = holm([two_sided(one["difference"], error) for one, error in zip(large, errors, strict=True)])
    return {
        one["slice"]: {
            "lower": one["difference"] - normal_width(error),
            "upper": one["difference"] + normal_width(error),
            "p_adjusted": float(p),
        }
        for one, error, p in zip(large, errors, adjusted, strict=True)
    }
