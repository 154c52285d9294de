"""The Keras metrics agree with the NumPy referee to 1e-6, streaming, masked, weighted, eager and in a graph."""

import math

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import ndcg_score

from pagerec_dbx.evaluation import metrics
from pagerec_dbx.models import metrics as keras_metrics
from tests.untied import by_trec_eval, untied_lists

CASES = {
    "ndcg": (keras_metrics.NDCG, {}, metrics.ndcg),
    "ndcg_at_10": (keras_metrics.NDCG, {"k": 10}, metrics.ndcg),
    "reciprocal_rank": (keras_metrics.ReciprocalRank, {}, metrics.reciprocal_rank),
    "reciprocal_rank_at_3": (keras_metrics.ReciprocalRank, {"k": 3}, metrics.reciprocal_rank),
    "hit_at_1": (keras_metrics.Hit, {"k": 1}, metrics.hit),
    "hit_at_5": (keras_metrics.Hit, {"k": 5}, metrics.hit),
    "hit_at_4": (keras_metrics.Hit, {"k": 4}, metrics.hit),
}


def standard_metrics():
    """New metrics under the names that the referee uses."""
    return [keras_metrics.NDCG(), keras_metrics.NDCG(k=10), keras_metrics.ReciprocalRank(), keras_metrics.Hit(k=1)]


def mean_over_lists(values):
    """The mean of the lists that have a value, and how many have none."""
    known = values[~np.isnan(values)]
    return float(known.mean()), len(values) - len(known)


def pages(seed, lists=300, length=40, distinct=15):
    """Menus of uneven length with ties, -inf among the scores, several clicks, some pages without any."""
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, distinct, (lists, length)).astype(np.float32)
    scores[generator.random((lists, length)) < 0.1] = -np.inf
    mask = np.arange(length) < generator.integers(1, length + 1, lists)[:, None]
    relevant = ((generator.random((lists, length)) < 0.1) & mask).astype(np.float32)
    return scores, relevant, mask


@pytest.mark.parametrize("name", list(CASES))
def test_keras_metric_equals_the_referee_over_batches(name):
    kind, options, referee = CASES[name]
    scores, relevant, mask = pages(seed=1)
    metric = kind(**options)
    for part in (slice(0, 128), slice(128, 256), slice(256, None)):  # batches of uneven size: every list weighs alike
        metric.update_state(relevant[part], scores[part], mask=mask[part])
    expected, left_out = mean_over_lists(referee(scores, relevant, mask, **options))
    assert 0 < left_out < 100
    assert metric.name == name
    assert float(metric.result()) == pytest.approx(expected, abs=1e-6)
    metric.reset_state()
    assert float(metric.result()) == 0


@pytest.mark.parametrize(
    ("name", "measure"),
    [("ndcg", "ndcg"), ("ndcg_at_10", "ndcg_cut.10"), ("reciprocal_rank", "recip_rank"), ("hit_at_5", "success.5")],
)
def test_keras_metric_equals_trec_eval_on_lists_without_ties(name, measure):
    kind, options, _ = CASES[name]
    scores, relevant, mask = untied_lists(seed=4)
    metric = kind(**options)
    for part in (slice(0, 64), slice(64, None)):
        metric.update_state(relevant[part], scores[part].astype(np.float32), mask=mask[part])
    assert float(metric.result()) == pytest.approx(by_trec_eval(measure, scores, relevant, mask).mean(), abs=1e-6)


def test_keras_ndcg_equals_scikit_learn():
    scores, relevant, mask = pages(seed=5, lists=60)
    kept = relevant.any(axis=1) & (mask.sum(axis=1) > 1)
    scores, relevant, mask = np.maximum(scores[kept], -1.0), relevant[kept], mask[kept]  # which knows no -inf
    metric = keras_metrics.NDCG()
    metric.update_state(relevant, scores, mask=mask)
    theirs = [ndcg_score([y[m]], [x[m]]) for x, y, m in zip(scores, relevant, mask, strict=True)]
    assert float(metric.result()) == pytest.approx(np.mean(theirs), abs=1e-6)


def test_metrics_are_the_same_in_a_graph_and_without_a_mask():
    scores, relevant, _ = pages(seed=2, length=506)
    everywhere = np.ones(scores.shape, dtype=bool)
    for metric in standard_metrics():

        @tf.function
        def update(labels, logits, metric=metric):
            metric.update_state(labels, logits)

        update(tf.constant(relevant), tf.constant(scores))
        _, options, referee = CASES[metric.name]
        expected, _ = mean_over_lists(referee(scores, relevant, everywhere, **options))
        assert float(metric.result()) == pytest.approx(expected, abs=1e-6)


def test_weights_count_a_list_as_often_as_they_say():
    # RR 1 with weight 3, RR 1/2 with weight 1: 3.5 / 4
    metric = keras_metrics.ReciprocalRank()
    metric.update_state([[1, 0], [1, 0]], [[2.0, 1.0], [1.0, 2.0]], sample_weight=[3.0, 1.0])
    assert float(metric.result()) == pytest.approx(3.5 / 4)


def test_a_target_spread_over_two_rows_is_two_relevant_rows():
    metric = keras_metrics.NDCG()
    metric.update_state([[0.5, 0.0, 0.5]], [[3.0, 2.0, 1.0]])
    assert float(metric.result()) == pytest.approx((1 + 1 / 2) / (1 + 1 / math.log2(3)))


def test_padding_never_counts_whatever_it_scores():
    for fill in (np.nan, np.inf, -np.inf, 5.0):
        for metric in standard_metrics():
            metric.update_state([[0, 1, 1]], [[2.0, -np.inf, fill]], mask=[[True, True, False]])
            expected = {"ndcg": 1 / math.log2(3), "ndcg_at_10": 1 / math.log2(3), "reciprocal_rank": 0.5, "hit_at_1": 0}
            assert float(metric.result()) == pytest.approx(expected[metric.name])


def test_a_nan_score_makes_the_result_nan():
    metric = keras_metrics.Hit()
    metric.update_state([[1, 0], [1, 0]], [[np.nan, 1.0], [2.0, 1.0]])
    assert math.isnan(float(metric.result()))


def test_metrics_are_restored_from_their_configuration():
    for kind, options, _ in CASES.values():
        metric = kind(**options)
        again = kind.from_config(metric.get_config())
        assert (again.name, again.k) == (metric.name, metric.k)
