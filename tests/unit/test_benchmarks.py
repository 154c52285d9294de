"""What the benchmarks compute from their measurements."""

import pytest

from benchmarks.data import growth_exponent, step_table
from benchmarks.processes import Measured


def test_growth_exponent_is_the_slope_on_logarithmic_axes():
    assert growth_exponent({100: 1.0, 1_000: 10.0, 10_000: 100.0}) == pytest.approx(1.0)
    assert growth_exponent({100: 1.0, 400: 16.0}) == pytest.approx(2.0)  # four times the size, sixteen times the time
    assert growth_exponent({100: 1.0}) is None


def test_step_table_gives_shares_of_the_pipeline_and_leaves_the_simulation_out():
    steps = {name: Measured(seconds, 2_000_000_000, {}) for name, seconds in
             (("simulate", 90.0), ("ingest", 6.0), ("join", 3.0), ("prepare", 1.0))}  # fmt: skip
    lines = step_table({1_000: steps}).splitlines()
    assert lines[2] == "| 1,000 | simulate | 90 | 11 | - | 2.0 |"
    assert lines[3] == "| 1,000 | ingest | 6 | 167 | 60% | 2.0 |"
    assert lines[-1] == "| 1,000 | raw lines to snapshots | 10 | 100 | 100% | - |"
