"""The reliability curve counted in Spark equals the referee's, whatever the ties and the parts of the data."""

import numpy as np
import pytest

from pagerec_dbx.evaluation import calibration_counts
from pagerec_dbx.evaluation.calibration import reliability
from pagerec_dbx.evaluation.calibration_counts import counted_reliability, shares_by_position

SCHEMA = "probabilities array<float>, targets array<float>"
FIGURES = ("lower", "upper", "pairs", "mean_probability", "mean_target")


def pages_of(spark, probabilities, targets, parts=3):
    """A frame of lists, with a page view that has none."""
    records = [(one.tolist(), other.tolist()) for one, other in zip(probabilities, targets, strict=True)]
    return spark.createDataFrame([*records, (None, None)], SCHEMA).repartition(parts)


def menus(seed, sharpness, distinct=None, pages=600):
    """Menus of 1 to 20 rows with one click each, their softmax; `distinct` scores make ties."""
    generator = np.random.default_rng(seed)
    probabilities, targets = [], []
    for length in generator.integers(1, 21, pages):
        scores = generator.integers(0, distinct, length) if distinct else generator.standard_normal(length)
        weights = np.exp(sharpness * scores)
        probabilities.append((weights / weights.sum()).astype(np.float32))
        targets.append(np.eye(length, dtype=np.float32)[generator.integers(0, length)])
    return probabilities, targets


@pytest.mark.parametrize(
    ("sharpness", "distinct"),
    [(1.0, None), (0.0, None), (3.0, 3), (40.0, None)],
    ids=["no ties", "constant", "many ties", "collapsed to 0 and 1"],
)
def test_counted_curve_equals_the_referee(spark, sharpness, distinct):
    probabilities, targets = menus(1, sharpness, distinct)
    exact = reliability(np.concatenate(probabilities), np.concatenate(targets))
    found = counted_reliability(pages_of(spark, probabilities, targets))
    assert found.error == pytest.approx(exact.error, abs=1e-12)
    for name in FIGURES:
        np.testing.assert_allclose(getattr(found, name), getattr(exact, name), rtol=0, atol=1e-12, err_msg=name)


def test_without_the_finer_count_the_curve_is_only_near(spark, monkeypatch):
    """The control: the groups of the first count would be cut in straight lines."""
    probabilities, targets = menus(2, 1.0)
    exact = reliability(np.concatenate(probabilities), np.concatenate(targets))
    monkeypatch.setattr(calibration_counts, "_COARSE", 20)
    monkeypatch.setattr(calibration_counts, "_with_an_end", lambda counted, bins: np.array([], dtype=int))
    coarse = counted_reliability(pages_of(spark, probabilities, targets))
    assert not np.allclose(coarse.mean_target, exact.mean_target, rtol=0, atol=1e-12)
    assert coarse.error == pytest.approx(exact.error, abs=0.01)


def test_counted_curve_of_no_page_view_has_no_bin(spark):
    found = counted_reliability(pages_of(spark, [], []))
    assert (found.count, len(found.pairs)) == (0, 0) and np.isnan(found.error)


def test_shares_by_position_are_means_over_the_page_views_that_have_the_position(spark):
    probabilities = [np.float32([0.5, 0.25, 0.25]), np.float32([0.75, 0.25])]
    targets = [np.float32([0, 0.5, 0.5]), np.float32([1, 0])]
    found = shares_by_position(pages_of(spark, probabilities, targets)).orderBy("position").collect()
    assert [tuple(record) for record in found] == [(0, 2, 0.625, 0.5), (1, 2, 0.25, 0.25), (2, 1, 0.25, 0.5)]
