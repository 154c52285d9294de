"""The draws in NumPy against XXH64 in plain Python."""

import numpy as np
import pytest

from pagerec_dbx.simulation.chance import Chance
from pagerec_dbx.simulation.draws import Draws
from tests.simulation_oracle import uniform, xxhash64

DRAWS = Draws(Chance(17))
KEYS = np.array([0, 1, -1, 2**63 - 1, -(2**63), 123_456_789_012])


def test_bits_are_the_hash_of_code_and_keys():
    code = Chance(17).code("click")
    wanted = [xxhash64([code, int(key), 3]) for key in KEYS]
    assert DRAWS.bits("click", KEYS, np.full(len(KEYS), 3)).tolist() == wanted
    assert DRAWS.bits("offer", KEYS, np.full(len(KEYS), 3)).tolist() != wanted


def test_bits_of_keys_that_broadcast_are_those_of_every_pair():
    table = DRAWS.bits("offer", KEYS[:, None], np.arange(5)[None, :])
    assert table.shape == (6, 5)
    for column in range(5):
        np.testing.assert_array_equal(table[:, column], DRAWS.bits("offer", KEYS, np.full(6, column)))


def test_uniform_draws_equal_the_plain_ones_and_lie_between_0_and_1():
    found = DRAWS.uniform("page", KEYS)
    assert found.tolist() == [uniform(17, "page", key) for key in KEYS]
    many = DRAWS.uniform("page", np.arange(100_000))
    assert 0 < many.min() < 1e-3 and 1 - 1e-3 < many.max() < 1
    counts = np.histogram(many, bins=20, range=(0, 1))[0]
    assert np.abs(counts - 5_000).max() < 5 * np.sqrt(5_000 * 0.95)


def test_what_is_made_of_uniform_draws_has_its_range_and_law():
    keys = np.arange(20_000)
    between = DRAWS.between(3, 6, "size", keys)
    assert set(between.tolist()) == {3, 4, 5, 6}
    assert set(DRAWS.below(2, "coin", keys).tolist()) == {0, 1}
    assert DRAWS.happens(0.2, "rare", keys).mean() == pytest.approx(0.2, abs=4 * np.sqrt(0.16 / 20_000))
    assert not DRAWS.happens(0.0, "never", keys).any() and DRAWS.happens(1.0, "always", keys).all()
    assert DRAWS.exponential("wait", keys).mean() == pytest.approx(1, abs=4 / np.sqrt(20_000))
