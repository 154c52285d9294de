"""What the table `rows` says of each row, as numbers: its numeric fields, and whether it has each frequent value."""

import dataclasses

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.baselines.counts import places


@dataclasses.dataclass(frozen=True)
class RowFields:
    """The last line of the matrix is that of a row without fields."""

    names: tuple[str, ...]
    values: np.ndarray  # [rows + 1, fields] float32; NaN where a number is not given


def row_fields(row_attributes: DataFrame, row_ids: pa.StringArray, most: int) -> RowFields:
    """The fields that most rows have.

    Args:
        row_attributes: row_id, attributes map<string, array<string>>, numbers map<string, double>.
        row_ids: the rows asked about, in order.
        most: numeric fields, and as many values of other fields; a value must be shared by 2 % of the rows.
    """
    numbers = row_attributes.select("row_id", F.explode("numbers").alias("name", "value"))
    least = max(2, round(0.02 * len(row_ids)))
    parts = [_matrix(numbers, row_ids, most, 1, np.nan), shared_values(row_attributes, row_ids, most, least)]
    return RowFields(sum((names for names, _ in parts), ()), np.hstack([matrix for _, matrix in parts]))


def shared_values(
    row_attributes: DataFrame, row_ids: pa.StringArray, most: int, least: int
) -> tuple[tuple[str, ...], np.ndarray]:
    """The values of fields that at least so many rows have, the most frequent ones, and [rows + 1, values] 1 or 0."""
    listed = row_attributes.select("row_id", F.explode("attributes").alias("field", "all"))
    each = listed.select("row_id", "field", F.explode(F.array_distinct("all")).alias("one"))
    values = each.select("row_id", F.concat("field", F.lit(": "), "one").alias("name"))
    return _matrix(values.withColumn("value", F.lit(1.0)), row_ids, most, least, 0.0)


def _matrix(
    fields: DataFrame, row_ids: pa.StringArray, most: int, least: int, absent: float
) -> tuple[tuple[str, ...], np.ndarray]:
    """The names that the most rows have, and [rows + 1, names] their values."""
    frequent = fields.groupBy("name").count().where(F.col("count") >= least).orderBy(F.desc("count"), "name")
    names = tuple(record["name"] for record in frequent.limit(most).collect())
    matrix = np.full((len(row_ids) + 1, len(names)), absent, np.float32)
    if names:
        held = fields.where(F.col("name").isin(list(names))).toPandas()  # at most `most` a row
        row = places(pa.array(held["row_id"], pa.string()), row_ids)
        name = places(pa.array(held["name"], pa.string()), pa.array(names, pa.string()))
        asked = row >= 0
        matrix[row[asked], name[asked]] = held["value"].to_numpy(np.float32)[asked]
    return names, matrix
