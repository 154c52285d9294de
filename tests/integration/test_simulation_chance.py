"""One notion of chance: Spark's draws and NumPy's are the same."""

import numpy as np
import pytest
from pyspark.sql import functions as F

from pagerec_dbx.simulation.chance import Chance
from pagerec_dbx.simulation.draws import Draws

CHANCE = Chance(17)
KEYS = [(0, 0), (1, -1), (2**63 - 1, 5), (-(2**63), 7), (123_456_789_012, 3_000)]


@pytest.fixture(scope="module")
def drawn(spark):
    """What Spark draws for the keys."""
    columns = {
        "bits": CHANCE.bits("click", "viewer", "page"),
        "uniform": CHANCE.uniform("click", "viewer", "page"),
        "happens": CHANCE.happens(0.5, "click", "viewer", "page"),
        "below": CHANCE.below(140, "click", "viewer", "page"),
        "between": CHANCE.between(20, 40, "click", "viewer", "page"),
        "gumbel": CHANCE.gumbel("click", "viewer", "page"),
        "narrow": CHANCE.bits("click", F.col("page").cast("int")),
    }
    frame = spark.createDataFrame(KEYS, "viewer bigint, page bigint").coalesce(1).withColumns(columns)
    return frame.toPandas()


def test_numpy_draws_what_spark_draws(drawn):
    draws = Draws(CHANCE)
    viewer, page = np.array(KEYS).T
    key = ("click", viewer, page)
    np.testing.assert_array_equal(draws.bits(*key).view(np.int64), drawn.bits)
    np.testing.assert_array_equal(draws.uniform(*key), drawn.uniform)
    np.testing.assert_array_equal(draws.happens(0.5, *key), drawn.happens)
    np.testing.assert_array_equal(draws.below(140, *key), drawn.below)
    np.testing.assert_array_equal(draws.between(20, 40, *key), drawn.between)
    np.testing.assert_allclose(-np.log(draws.exponential(*key)), drawn.gumbel, rtol=1e-12)
    np.testing.assert_array_equal(draws.bits("click", page.astype(np.int32)).view(np.int64), drawn.narrow)


def test_another_seed_or_purpose_draws_otherwise(drawn):
    viewer, page = np.array(KEYS).T
    for draws, purpose in ((Draws(Chance(18)), "click"), (Draws(CHANCE), "clicks")):
        assert not np.intersect1d(draws.bits(purpose, viewer, page).view(np.int64), drawn.bits).size
