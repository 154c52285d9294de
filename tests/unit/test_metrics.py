"""The NumPy referee against hand-worked lists, every order of the ties, scikit-learn and trec_eval."""

import functools
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, roc_auc_score

from pagerec_dbx.errors import ScoresError
from pagerec_dbx.evaluation import metrics
from tests.untied import by_trec_eval, untied_lists

INF = math.inf


def one(metric, scores, relevant, mask=None, **options):
    """The metric of a single list."""
    mask = [True] * len(scores) if mask is None else mask
    return float(metric(np.array([scores]), np.array([relevant]), np.array([mask]), **options)[0])


def enumerated(metric_of_order, scores, relevant, mask):
    """The mean of a plain metric over every order of the rows that falls in score: the definition itself."""
    rows = [(score, label) for score, label, real in zip(scores, relevant, mask, strict=True) if real]
    values = []
    for order in itertools.permutations(rows):
        if all(order[i][0] >= order[i + 1][0] for i in range(len(order) - 1)):
            values.append(metric_of_order([label for _, label in order]))
    return sum(values) / len(values)


def plain_ndcg(k):
    def value(labels):
        dcg = sum((2**label - 1) / math.log2(place + 2) for place, label in enumerate(labels[:k]))
        best = sorted(labels, reverse=True)[:k]
        return dcg / sum((2**label - 1) / math.log2(place + 2) for place, label in enumerate(best))

    return value


def plain_reciprocal_rank(k):
    return lambda labels: 1 / (labels.index(1) + 1) if labels.index(1) < (k or len(labels)) else 0.0


def plain_hit(k):
    return lambda labels: float(1 in labels[:k])


@st.composite
def tied_lists(draw):
    """A list of up to 6 rows with few distinct scores, -inf among them, at least one relevant, some padding."""
    length = draw(st.integers(1, 6))
    scores = draw(st.lists(st.sampled_from([-INF, -1.5, 0.0, 2.0]), min_size=length, max_size=length))
    relevant = draw(st.lists(st.integers(0, 1), min_size=length, max_size=length))
    relevant[draw(st.integers(0, length - 1))] = 1
    padding = draw(st.integers(0, 3))
    mask = [True] * length + [False] * padding
    return scores + [9.0] * padding, relevant + [1] * padding, mask


@settings(max_examples=150, deadline=None)
@given(tied_lists(), st.sampled_from([None, 1, 2, 3, 10]))
def test_metrics_are_the_mean_over_every_order_of_the_ties(case, k):
    scores, relevant, mask = case
    assert one(metrics.ndcg, scores, relevant, mask, k=k) == pytest.approx(
        enumerated(plain_ndcg(k), scores, relevant, mask), abs=1e-12
    )
    assert one(metrics.reciprocal_rank, scores, relevant, mask, k=k) == pytest.approx(
        enumerated(plain_reciprocal_rank(k), scores, relevant, mask), abs=1e-12
    )
    assert one(metrics.hit, scores, relevant, mask, k=k or 1) == pytest.approx(
        enumerated(plain_hit(k or 1), scores, relevant, mask), abs=1e-12
    )


def test_reciprocal_rank_follows_the_formula_of_several_tied_relevant_rows():
    # g = 1 row above; t = 4 tied rows, r = 2 of them relevant: p(j) = C(4-j, 1) / C(4, 2) = 3/6, 2/6, 1/6
    scores, relevant = [5, 1, 1, 1, 1], [0, 1, 0, 1, 0]
    assert one(metrics.reciprocal_rank, scores, relevant) == pytest.approx(3 / 6 / 2 + 2 / 6 / 3 + 1 / 6 / 4)
    assert one(metrics.reciprocal_rank, scores, relevant, k=3) == pytest.approx(3 / 6 / 2 + 2 / 6 / 3)
    # E[hit@3] = 1 - C(t-r, m) / C(t, m) with m = min(max(3 - 1, 0), 4) = 2: 1 - C(2, 2) / C(4, 2)
    assert one(metrics.hit, scores, relevant, k=3) == pytest.approx(1 - 1 / 6)
    assert one(metrics.hit, scores, relevant, k=1) == 0


def test_ndcg_of_two_relevant_rows_takes_the_mean_gain_of_each_tied_group():
    # places 1 (relevant), then 2 and 3 tied with one relevant: DCG = 1 + (1/2)(1/log2 3 + 1/2), ideal = 1 + 1/log2 3
    expected = (1 + (1 / math.log2(3) + 1 / 2) / 2) / (1 + 1 / math.log2(3))
    assert one(metrics.ndcg, [3, 2, 2], [1, 0, 1]) == pytest.approx(expected)


def test_ndcg_at_k_cuts_the_ideal_too():
    # two relevant rows at places 1 and 3; k = 1: DCG = ideal = 1
    assert one(metrics.ndcg, [3, 2, 1], [1, 0, 1], k=1) == 1


@pytest.mark.parametrize(
    ("scores", "relevant", "ndcg", "reciprocal_rank", "hit"),
    [
        ([3.0, 2.0, 1.0], [1, 0, 0], 1, 1, 1),
        ([3.0, 2.0, 1.0], [0, 0, 1], 1 / 2, 1 / 3, 0),
        ([0.0], [1], 1, 1, 1),
        ([0.0, 0.0], [1, 1], 1, 1, 1),
        ([0.0, 0.0], [1, 0], (1 + 1 / math.log2(3)) / 2, 3 / 4, 1 / 2),
        ([0.0, -INF, -INF], [0, 1, 0], (1 / math.log2(3) + 1 / 2) / 2, (1 / 2 + 1 / 3) / 2, 0),
        ([INF, 0.0], [1, 0], 1, 1, 1),
    ],
    ids=["first", "last", "one row", "all clicked", "tied pair", "tied at -inf", "+inf leads"],
)
def test_golden_lists(scores, relevant, ndcg, reciprocal_rank, hit):
    assert one(metrics.ndcg, scores, relevant) == pytest.approx(ndcg)
    assert one(metrics.reciprocal_rank, scores, relevant) == pytest.approx(reciprocal_rank)
    assert one(metrics.hit, scores, relevant) == pytest.approx(hit)


def random_lists(seed, lists=200, length=12, distinct=5):
    """Lists with ties, of uneven length, each with a relevant row."""
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, distinct, (lists, length)).astype(float)
    lengths = generator.integers(2, length + 1, lists)
    mask = np.arange(length) < lengths[:, None]
    relevant = (generator.random((lists, length)) < 0.2) & mask
    relevant[np.arange(lists), generator.integers(0, lengths)] = True
    return scores, relevant, mask


@pytest.mark.parametrize("k", [None, 1, 3, 10])
def test_ndcg_equals_scikit_learn(k):
    scores, relevant, mask = random_lists(seed=1)
    ours = metrics.ndcg(scores, relevant, mask, k=k)
    for i in range(len(scores)):
        theirs = ndcg_score([relevant[i, mask[i]].astype(int)], [scores[i, mask[i]]], k=k)
        assert ours[i] == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize(
    ("measure", "ours"),
    [
        ("ndcg", metrics.ndcg),
        ("ndcg_cut.10", functools.partial(metrics.ndcg, k=10)),
        ("recip_rank", metrics.reciprocal_rank),
        ("success.1", metrics.hit),
        ("success.5", functools.partial(metrics.hit, k=5)),
    ],
)
def test_metrics_equal_trec_eval_on_lists_without_ties(measure, ours):
    lists = untied_lists(seed=9)
    np.testing.assert_allclose(ours(*lists), by_trec_eval(measure, *lists), atol=1e-6)


def test_trec_eval_knows_no_ties_and_differs_where_there_are_some():
    """The control: it breaks ties by the name of the row."""
    lists = random_lists(seed=9)
    assert np.abs(metrics.ndcg(*lists) - by_trec_eval("ndcg", *lists)).max() > 0.1


def by_plain_sort(metric_of_order, scores, relevant, mask):
    """What a metric that knows no ties makes of a list: the first order that sorting happens to give."""
    real = np.flatnonzero(mask)
    order = real[np.argsort(-np.asarray(scores)[real], kind="stable")]
    return metric_of_order(np.asarray(relevant, int)[order].tolist())


def test_a_plain_sort_equals_neither_enumeration_nor_scikit_learn_on_tied_lists():
    """The control of the tests above: both would find a metric that takes ties in the order of the log."""
    for scores, tied in (([1, 1, 0, 0], True), ([3, 2, 1, 0], False)):
        relevant, mask = [0, 1, 1, 0], [True] * 4
        for plain in (plain_ndcg(None), plain_ndcg(3), plain_reciprocal_rank(None), plain_hit(1)):
            wanted, got = enumerated(plain, scores, relevant, mask), by_plain_sort(plain, scores, relevant, mask)
            assert (got != pytest.approx(wanted, abs=1e-6)) is tied
    scores, relevant, mask = random_lists(seed=1)
    differ = 0
    for i in range(len(scores)):
        theirs = ndcg_score([relevant[i, mask[i]].astype(int)], [scores[i, mask[i]]])
        differ += by_plain_sort(plain_ndcg(None), scores[i], relevant[i], mask[i]) != pytest.approx(theirs, abs=1e-6)
    assert differ > len(scores) / 4


def test_auc_equals_scikit_learn_and_leaves_out_lists_where_every_row_is_relevant():
    scores, relevant, mask = random_lists(seed=2)
    relevant[0] = mask[0]
    ours = metrics.auc(scores, relevant, mask)
    assert np.isnan(ours[0])
    for i in np.flatnonzero((relevant | ~mask).sum(axis=1) < mask.shape[1]):
        assert ours[i] == pytest.approx(roc_auc_score(relevant[i, mask[i]], scores[i, mask[i]]), abs=1e-9)


def test_a_constant_model_scores_the_random_floor_whatever_the_order_of_the_menu():
    # 4 rows, one relevant: RR = (1 + 1/2 + 1/3 + 1/4) / 4, hit@1 = 1/4
    for relevant in itertools.permutations([1, 0, 0, 0]):
        assert one(metrics.reciprocal_rank, [7.0] * 4, list(relevant)) == pytest.approx(25 / 48)
        assert one(metrics.hit, [7.0] * 4, list(relevant)) == pytest.approx(1 / 4)
        assert one(metrics.ndcg, [7.0] * 4, list(relevant)) == pytest.approx(
            (1 + 1 / math.log2(3) + 1 / 2 + 1 / math.log2(5)) / 4
        )


def test_the_order_of_the_rows_changes_nothing():
    scores, relevant, mask = random_lists(seed=3)
    shuffled = np.random.default_rng(4).permuted(np.tile(np.arange(12), (200, 1)), axis=1)
    for metric in (metrics.ndcg, metrics.reciprocal_rank, metrics.hit, metrics.auc, metrics.log_loss):
        again = metric(*(np.take_along_axis(array, shuffled, axis=1) for array in (scores, relevant, mask)))
        np.testing.assert_allclose(metric(scores, relevant, mask), again, atol=1e-12)


def test_padding_never_counts():
    scores, relevant, mask = random_lists(seed=5)
    for fill in (-INF, INF, 0.0, np.nan):
        wider = np.concatenate([scores, np.full((200, 3), fill)], axis=1)
        labels = np.concatenate([relevant, np.ones((200, 3), dtype=bool)], axis=1)
        real = np.concatenate([mask, np.zeros((200, 3), dtype=bool)], axis=1)
        for metric in (metrics.ndcg, metrics.reciprocal_rank, metrics.hit, metrics.auc, metrics.log_loss):
            np.testing.assert_allclose(metric(wider, labels, real), metric(scores, relevant, mask), atol=1e-12)


def test_relevant_rows_outside_the_list_count_in_the_ideal_and_are_never_found():
    # one of two clicked rows is listed, at place 1: NDCG = 1 / (1 + 1/log2 3); RR finds it at once
    assert one(metrics.ndcg, [2.0, 1.0], [1, 0], unlisted=[1]) == pytest.approx(1 / (1 + 1 / math.log2(3)))
    assert one(metrics.reciprocal_rank, [2.0, 1.0], [1, 0], unlisted=[1]) == 1
    for metric in (metrics.ndcg, metrics.reciprocal_rank, metrics.hit):
        assert one(metric, [2.0, 1.0], [0, 0], unlisted=[2]) == 0
    # more of them than the list has rows: ideal = 1 + 1/log2 3 + 1/2
    assert one(metrics.ndcg, [2.0], [1], unlisted=[2]) == pytest.approx(1 / (1.5 + 1 / math.log2(3)))


def test_lists_without_a_relevant_row_have_no_value():
    values = metrics.ndcg(np.zeros((3, 2)), np.array([[1, 1], [0, 0], [1, 1]]), np.ones((3, 2)))
    np.testing.assert_array_equal(values, [1, np.nan, 1])


def test_a_nan_score_is_an_error_that_names_the_page_view():
    scores, relevant, mask = np.array([[1.0, 0.0], [np.nan, 0.0]]), np.array([[1, 0], [1, 0]]), np.ones((2, 2), bool)
    with pytest.raises(ScoresError, match="page view 23 has a row whose score is NaN.*NaN in 1 of 2 lists"):
        metrics.tied_places(scores, relevant, mask, names=[17, 23])
    with pytest.raises(ScoresError, match="list 1"):
        metrics.log_loss(scores, relevant, mask)
    mask[1, 0] = False  # the control: the same NaN in padding is no error
    metrics.tied_places(scores, relevant & mask, mask, names=[17, 23])


def test_shapes_that_do_not_fit_are_an_error():
    with pytest.raises(ScoresError, match=r"\(1, 2\), \(1, 2\), \(1, 3\)"):
        metrics.ndcg(np.zeros((1, 2)), np.ones((1, 2)), np.ones((1, 3)))


def test_log_loss_spreads_the_target_over_the_relevant_rows():
    # softmax of (ln 2, ln 1, ln 1) = (1/2, 1/4, 1/4); rows 0 and 1 clicked: (ln 2 + ln 4) / 2
    assert one(metrics.log_loss, [math.log(2), 0.0, 0.0], [1, 1, 0]) == pytest.approx(1.5 * math.log(2))
    assert one(metrics.log_loss, [-INF, -INF], [1, 0]) == pytest.approx(math.log(2))
    assert one(metrics.log_loss, [INF, 0.0], [1, 0]) == 0
    assert one(metrics.log_loss, [-INF, 0.0], [1, 0]) == INF


def test_the_best_place_is_tied_where_several_rows_share_the_best_score():
    scores = np.array([[2.0, 2.0, 1.0], [2.0, 1.0, 1.0], [-INF, -INF, 9.0], [1.0, 9.0, 9.0], [0.0, 0.0, 0.0]])
    mask = np.array([[1, 1, 1], [1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 1, 1]], bool)  # padding shares nothing
    places = metrics.tied_places(scores, mask[:, ::-1] & mask, mask)
    np.testing.assert_array_equal(metrics.tied_top_of(places), [1, 0, 1, 0, 1])


def test_long_lists_are_sorted_and_not_compared_pair_by_pair():
    generator = np.random.default_rng(6)
    scores = generator.integers(0, 90, (300, 506)).astype(np.float32)
    clicked = generator.integers(0, 506, 300)
    own = scores[np.arange(300), clicked][:, None]
    above, tied = (scores > own).sum(axis=1), (scores == own).sum(axis=1)
    relevant = np.arange(506) == clicked[:, None]
    expected = [sum(1 / (g + j) for j in range(1, t + 1)) / t for g, t in zip(above, tied, strict=True)]
    values = metrics.reciprocal_rank(scores, relevant, np.ones((300, 506), bool))
    np.testing.assert_allclose(values, expected, rtol=1e-12)


def test_expected_metrics_weigh_each_possible_click_by_its_probability():
    scores, mask = [3.0, 1.0, 1.0, 8.0], [True, True, True, False]
    probabilities = np.array([[0.2, 0.5, 0.3, 0.9]])  # the last is padding
    expected = metrics.expected_metrics(np.array([scores]), probabilities, np.array([mask]))
    # places: row 0 first; rows 1 and 2 share places 2 and 3
    tied = (1 / math.log2(3) + 1 / 2) / 2
    assert expected["ndcg"][0] == pytest.approx(0.2 * 1 + 0.5 * tied + 0.3 * tied)
    assert expected["reciprocal_rank"][0] == pytest.approx(0.2 * 1 + 0.8 * (1 / 2 + 1 / 3) / 2)
    assert expected["hit_at_1"][0] == pytest.approx(0.2)


def test_expected_metrics_are_the_mean_of_the_observed_ones():
    scores, _, mask = random_lists(seed=7, lists=50)
    probabilities = np.where(mask, np.random.default_rng(8).random(scores.shape), 0.0)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    observed = dict.fromkeys(("ndcg", "ndcg_at_10", "reciprocal_rank", "hit_at_1", "hit_at_5"), 0.0)
    for row in range(scores.shape[1]):  # a click on each row in turn
        clicked = np.zeros(scores.shape)
        clicked[:, row] = mask[:, row]
        one_click = {
            "ndcg": metrics.ndcg(scores, clicked, mask),
            "ndcg_at_10": metrics.ndcg(scores, clicked, mask, k=10),
            "reciprocal_rank": metrics.reciprocal_rank(scores, clicked, mask),
            "hit_at_1": metrics.hit(scores, clicked, mask, k=1),
            "hit_at_5": metrics.hit(scores, clicked, mask, k=5),
        }
        observed = {name: observed[name] + probabilities[:, row] * np.nan_to_num(one_click[name]) for name in observed}
    expected = metrics.expected_metrics(scores, probabilities, mask)
    for name in observed:
        np.testing.assert_allclose(expected[name], observed[name], atol=1e-12)
