"""Many slices: Holm by hand, against brute force, and what it is for."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagerec_dbx.evaluation.multiplicity import below, holm, two_sided


def test_holm_by_hand():
    # sorted .01, .03, .04: times 3, 2, 1 = .03, .06, .04, and none smaller than the one before it
    assert holm([0.04, 0.01, 0.03]).tolist() == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.5, 0.9]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.999))
def test_holm_refuses_what_stepping_down_refuses(p_values, level):
    """The procedure as it is told: from the smallest on, as long as p <= level / how many are left."""
    refused = set()
    for step, at in enumerate(sorted(range(len(p_values)), key=lambda number: p_values[number])):
        if p_values[at] * (len(p_values) - step) > level:
            break
        refused.add(at)
    assert {at for at, p in enumerate(holm(p_values)) if p <= level} == refused


def test_a_false_finding_among_forty_slices_is_as_rare_as_one_alone():
    draws = np.random.default_rng(3).normal(size=(500, 40))
    found = [[two_sided(value, 1.0) for value in row] for row in draws]
    alone = np.mean([min(row) < 0.05 for row in found])
    together = np.mean([min(holm(row)) < 0.05 for row in found])
    # without the correction 1 - .95^40 = 87 %; with it 5 %, standard deviation of 500 draws 1 %
    assert alone > 0.8 and together < 0.085


def test_chances_by_hand():
    assert two_sided(1.959964, 1.0) == pytest.approx(0.05, abs=1e-6)
    assert two_sided(-1.959964, 1.0) == pytest.approx(0.05, abs=1e-6)
    assert below(-1.644854, 1.0) == pytest.approx(0.05, abs=1e-6)
    assert below(0.0, 2.0) == 0.5
    assert (two_sided(0.0, 0.0), two_sided(0.1, 0.0)) == (1.0, 0.0)  # every viewer differs alike
    assert (below(-0.1, 0.0), below(0.1, 0.0)) == (0.0, 1.0)
    assert math.isnan(below(math.nan, 0.0))
