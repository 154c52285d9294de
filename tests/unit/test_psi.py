"""The population stability index: by hand, by definition, and what chance alone gives."""

import dataclasses
import math

import numpy as np
import pytest
from scipy.stats import chi2

from pagerec_dbx.monitoring.psi import NOTHING, Side, chance_limit, decile_edges, shift


def side(*viewers) -> Side:
    """What each viewer has in each cell."""
    own = np.array(viewers, np.float64)
    return Side(own.sum(axis=0), (own**2).sum(axis=0), (own * own.sum(axis=1, keepdims=True)).sum(axis=0))


def alone(*counts) -> Side:
    """As many viewers as things."""
    return side(*np.repeat(np.eye(len(counts)), counts, axis=0))


def test_psi_of_two_cells_by_hand():
    # q = .5, .5 and p = .8, .2: (.3) ln(1.6) + (-.3) ln(.4) = .3 x (.470004 + .916291) = .415888
    found = shift(alone(50, 50), alone(8, 2))
    assert found.value == pytest.approx(0.415888, abs=1e-6)
    # every viewer has one thing: (cells - 1) (1/n + 1/m) = 1/10 + 1/100
    assert found.expected_by_chance == pytest.approx(0.11)
    assert found.cells == 2
    assert {type(value) for value in dataclasses.astuple(found)} == {float, int}  # Spark takes no NumPy numbers


def test_an_empty_cell_counts_as_half_an_observation():
    # Training 60, 40, 0 becomes 60, 40, .5 of 100.5: q = .597015, .398010, .004975; the day is p = .3, .5, .2.
    #   (.3 - .597015) ln(.3 / .597015) = -.297015 x -.688160 = .204394
    #   (.5 - .398010) ln(.5 / .398010) =  .101990 x  .228131 = .023267
    #   (.2 - .004975) ln(.2 / .004975) =  .195025 x 3.693867 = .720396
    found = shift(alone(60, 40, 0), alone(30, 50, 20))
    assert found.value == pytest.approx(0.204394 + 0.023267 + 0.720396, abs=2e-6)
    assert found.moved == 2


def test_a_cell_that_both_lack_does_not_count():
    with_empty, without = shift(alone(0, 5, 5), alone(0, 2, 8)), shift(alone(5, 5), alone(2, 8))
    assert with_empty.value == pytest.approx(without.value)
    assert with_empty.expected_by_chance == pytest.approx(without.expected_by_chance)
    assert with_empty.cells == without.cells == 2
    assert (with_empty.moved, without.moved) == (1, 0)


def test_equal_shares_have_not_shifted_and_nothing_says_nothing():
    assert shift(alone(10, 30), alone(1, 3)).value == 0
    assert shift(side([0, 0]), alone(1, 3)) == shift(alone(1, 3), side([0, 0])) == NOTHING


def test_viewers_with_many_like_things_count_as_few():
    # Four viewers, ten things each, all of a viewer in one cell: 40 things that say as much as 4. The design effect of
    # a share of 1/2 is 4 x (10 - 5)^2 / (40 x 1/4) = 10, so chance gives 10/40 on this side and 1/1000 on the other.
    bunched = side([10, 0], [10, 0], [0, 10], [0, 10])
    assert bunched.design_effects() == pytest.approx([10, 10])
    assert shift(alone(500, 500), bunched).expected_by_chance == pytest.approx(10 / 40 + 1 / 1000)
    # The control: as many things of as many viewers.
    assert shift(alone(500, 500), alone(20, 20)).expected_by_chance == pytest.approx(1 / 40 + 1 / 1000)


@pytest.mark.parametrize("freedom", [1, 2, 10, 60])
def test_the_limit_of_chance_is_that_of_chi_squared(freedom):
    assert chance_limit(freedom, freedom) == pytest.approx(chi2.ppf(0.99, freedom), rel=0.01)


@pytest.mark.parametrize("things", [1, 8])
def test_chance_alone_gives_what_is_expected_of_it(things):
    """500 days on which nothing changed, of viewers with one thing each or with eight that resemble each other."""
    generator = np.random.default_rng(17)
    shares = np.array([0.4, 0.3, 0.2, 0.1])

    def drawn(viewers: int) -> Side:
        own = generator.dirichlet(shares * 2, viewers) if things > 1 else np.tile(shares, (viewers, 1))
        return side(*generator.multinomial(things, own))

    found = [shift(drawn(1_000), drawn(200)) for _ in range(500)]
    values = np.array([one.value for one in found])
    expected = np.mean([one.expected_by_chance for one in found])
    assert values.mean() == pytest.approx(expected, rel=0.1)
    past = np.mean([one.value > one.chance_99 for one in found])
    assert 0.002 <= past <= 0.025  # one in a hundred is meant
    plain = 3 * (1 / (200 * things) + 1 / (1_000 * things))
    if things > 1:  # the control: things taken for viewers would promise too little
        assert values.mean() > 2 * plain
    else:
        assert expected == pytest.approx(plain, rel=0.1)


def test_deciles_of_numbers_by_hand():
    # Ten numbers once each: a cell begins at each, and one behind the last.
    assert decile_edges(np.arange(10), np.ones(10)).tolist() == list(range(11))
    # Half of them are 20: below it lies nothing, below 30 five tenths, below 40 nine tenths; from 41 on nothing.
    assert decile_edges(np.array([20, 30, 40]), np.array([5, 4, 1])).tolist() == [20, 30, 40, 41]
    assert decile_edges(np.array([7]), np.array([3])).tolist() == [7, 8]
    # Small parts share a cell: below 1, 2, 3 lie 2, 4 and 6 hundredths.
    assert decile_edges(np.array([0, 1, 2, 3, 4]), np.array([2, 2, 2, 44, 50])).tolist() == [0, 4, 5]


def test_psi_is_the_sum_of_its_definition():
    generator = np.random.default_rng(3)
    training, day = generator.integers(1, 90, 12), generator.integers(1, 90, 12)
    q, p = training / training.sum(), day / day.sum()
    expected = sum((one - other) * math.log(one / other) for one, other in zip(p, q, strict=True))
    assert shift(alone(*training), alone(*day)).value == pytest.approx(expected)
