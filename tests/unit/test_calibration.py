"""The reliability curve in NumPy, against pairs worked out by hand and a plain cut of sorted pairs."""

import math

import numpy as np
import pytest

from pagerec_dbx.errors import ScoresError
from pagerec_dbx.evaluation import metrics
from pagerec_dbx.evaluation.calibration import Groups, bin_ends, binned, click_targets, reliability


def menus(seed, pages=400, longest=12):
    """Menus of uneven length with scores that are never equal, one or two clicks each; what a model sees of them."""
    generator = np.random.default_rng(seed)
    scores = 2 * generator.standard_normal((pages, longest))
    mask = np.arange(longest) < generator.integers(2, longest + 1, pages)[:, None]
    clicked = mask & (generator.random(mask.shape) < 0.1)
    clicked[:, 0] = True
    return scores, clicked, mask


def pairs_of(scores, clicked, mask):
    probabilities = np.exp(metrics.log_probabilities(scores, mask))
    return probabilities[mask], click_targets(clicked & mask)[mask]


def test_targets_are_spread_evenly_over_the_clicked_rows():
    targets = click_targets(np.array([[1, 0, 1], [0, 1, 0], [1, 1, 1], [0, 0, 0]]))
    np.testing.assert_allclose(targets, [[1 / 2, 0, 1 / 2], [0, 1, 0], [1 / 3] * 3, [0, 0, 0]])


def test_reliability_of_four_pairs_in_two_bins():
    # in order .1 .2 | .3 .4, their targets 0 1 | 0 0: |.15 - .5| and |.35 - 0|, two pairs each
    found = reliability(np.array([0.3, 0.1, 0.4, 0.2]), np.array([0.0, 0.0, 0.0, 1.0]), bins=2)
    assert found.error == pytest.approx((2 * 0.35 + 2 * 0.35) / 4)
    np.testing.assert_allclose([found.lower, found.upper], [[0.1, 0.3], [0.2, 0.4]])
    np.testing.assert_allclose([found.mean_probability, found.mean_target], [[0.15, 0.35], [0.5, 0.0]])
    assert (found.pairs.tolist(), found.count) == ([2, 2], 4)


def test_pairs_of_one_probability_share_their_targets_whatever_their_order():
    # .5 three times with one target, then .9: the bins hold .5 .5 | .5 .9, so 2/3 of a target and 1/3 + 1
    for targets in ([1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1]):
        found = reliability(np.array([0.5, 0.5, 0.5, 0.9]), np.array(targets, float), bins=2)
        np.testing.assert_allclose(found.mean_target, [2 / 3 / 2, (1 / 3 + 1) / 2])
        assert found.error == pytest.approx((2 * (0.5 - 1 / 3) + 2 * (0.7 - 2 / 3)) / 4)


def test_an_error_of_a_known_size():
    # always .9 for what is clicked in half the cases: .4 off in each bin
    found = reliability(np.full(1_000, 0.9), np.tile([0.0, 1.0], 500))
    assert found.error == pytest.approx(0.4)
    assert len(found.pairs) == 15 and set(found.pairs) == {66, 67}  # 1,000 / 15 = 66.7


def test_a_constant_model_is_calibrated_whatever_is_clicked():
    # 1 / menu size on every row, and the targets of a page sum to 1: equal on the whole for every size of menu
    scores, clicked, mask = menus(seed=1)
    assert reliability(*pairs_of(np.zeros_like(scores), clicked, mask)).error == pytest.approx(0, abs=1e-12)
    assert reliability(*pairs_of(5 * scores, clicked, mask)).error > 0.02  # the control: sure of what it cannot know


@pytest.mark.parametrize(
    ("scores", "clicked", "error"),
    [
        ([[3.0]], [[1]], 0.0),  # one row: sure, and right
        ([[1.0, 1.0]], [[1, 1]], 0.0),  # all clicked: half each
        ([[2.0, -math.inf]], [[0, 1]], 1.0),  # sure, and wrong: 1 for 0 and 0 for 1
        ([[math.inf, 0.0]], [[1, 0]], 0.0),
    ],
    ids=["one row", "all clicked", "sure and wrong", "infinite"],
)
def test_calibration_of_golden_menus(scores, clicked, error):
    scores, clicked = np.array(scores), np.array(clicked, bool)
    assert reliability(*pairs_of(scores, clicked, np.ones_like(clicked))).error == pytest.approx(error)


def test_reliability_equals_a_plain_cut_where_no_two_probabilities_are_equal():
    probabilities, targets = pairs_of(*menus(seed=2))
    assert len(np.unique(probabilities)) == len(probabilities)
    order = np.argsort(probabilities)
    ends = bin_ends(len(order))
    means = [[values[order[a:b]].mean() for values in (probabilities, targets)] for a, b in zip(ends, ends[1:])]  # noqa: B905
    found = reliability(probabilities, targets)
    np.testing.assert_allclose(np.transpose([found.mean_probability, found.mean_target]), means, atol=1e-12)
    assert found.error == pytest.approx(
        sum((b - a) * abs(p - t) for a, b, (p, t) in zip(ends, ends[1:], means, strict=False)) / len(order), abs=1e-12
    )


def test_fewer_pairs_than_bins_leave_bins_empty():
    found = reliability(np.array([0.2, 0.8]), np.array([0.0, 1.0]))
    assert found.pairs.tolist() == [1, 1] and found.error == pytest.approx(0.2)
    nothing = reliability(np.array([]), np.array([]))
    assert nothing.count == 0 and len(nothing.pairs) == 0 and math.isnan(nothing.error)


def test_coarser_groups_give_the_same_bins_if_no_bin_begins_inside_one():
    probabilities, targets = np.arange(8) / 10, np.array([0, 0, 1, 0, 1, 0, 1, 1.0])
    exact = reliability(probabilities, targets, bins=2)
    # ranks 1 and 2, and 5 and 6, are together; the first and the last pair of each bin stand alone
    firsts, sizes = np.array([0, 0.1, 0.3, 0.4, 0.5, 0.7]), np.array([1, 2, 1, 1, 2, 1])
    sums = [np.add.reduceat(values, np.cumsum(sizes) - sizes) for values in (probabilities, targets)]
    found = binned(Groups(firsts, sizes, *sums), bins=2)
    for name in ("lower", "upper", "pairs", "mean_probability", "mean_target"):
        np.testing.assert_allclose(getattr(found, name), getattr(exact, name), err_msg=name)


def test_what_is_no_probability_is_refused():
    for wrong in (-0.1, 1.1, math.nan):
        with pytest.raises(ScoresError, match="a probability is none: wanted 0 to 1, got"):
            reliability(np.array([0.5, wrong]), np.zeros(2))
    with pytest.raises(ScoresError, match=r"do not fit together.*\(2,\), \(3,\)"):
        reliability(np.zeros(2), np.zeros(3))
