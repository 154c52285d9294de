"""What the benchmarks compute from their measurements."""

import numpy as np
import pytest

from benchmarks.baselines import table
from benchmarks.data import growth_exponent, step_table
from benchmarks.paired_samples import paired_sample
from benchmarks.processes import Measured
from benchmarks.verdict import Sample, World, line, missed, split_into_pages
from pagerec_dbx.evaluation.compare import Side


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


def test_the_page_views_of_a_sample_add_up_to_their_viewers():
    generator = np.random.default_rng(2)
    sums, counts = paired_sample(generator, 5_000, 0.01)
    assert counts.sum() == 5_000 and counts.min() >= 1
    pages, ones = split_into_pages(generator, sums, counts)
    ends = np.cumsum(counts)
    np.testing.assert_allclose(np.add.reduceat(pages, ends - counts), sums, atol=1e-9)
    assert ones.sum() == len(ones) == 5_000


def test_verdict_line_counts_what_the_intervals_say():
    # covers 0: the first two; above 0: the third; moved by .005 above 0: -.004 and .001
    samples = [Sample(-0.004, 0.01, 10.0), Sample(-0.006, 0.01, 30.0), Sample(0.001, 0.01, 20.0)]
    cells = line(World("how", 1_000), samples).split(" | ")
    assert cells[:4] == ["| how", "3", "1,000", "20"]
    assert [cell.split()[0] for cell in cells[4:]] == ["66.7%", "33.3%", "66.7%"]


def test_the_verdict_benchmark_names_the_bound_that_is_missed():
    right = [Sample(-0.004, 0.004, 10.0)] * 95 + [Sample(0.001, 0.004, 10.0)] * 3 + [Sample(-0.004, -0.001, 10.0)] * 2
    assert missed(right) == []
    narrow = right[:92] + [Sample(0.001, 0.004, 10.0)] * 3 + [Sample(-0.004, -0.001, 10.0)] * 5
    assert missed(narrow) == ["the interval covers the truth in 92.0% of samples, not in 93% to 97%."]
    hasty = right[:96] + [Sample(0.001, 0.004, 10.0)] * 4
    assert missed(hasty) == ['"better" is said without a difference in 5.0% of samples, more than 3.5%.']
    blind = [Sample(-0.006, 0.004, 10.0)] * 6 + right[6:]
    assert missed(blind) == ["a gain of 0.005 is seen in 94.0% of samples, less than 95%."]


def test_table_of_baselines_pairs_everybody_with_popularity():
    pages = np.ones(2)
    sides = {
        name: Side(np.full((2, 4), value), pages) for name, value in (("floor:popularity", 0.5), ("baseline:als", 0.75))
    }
    head, _, *lines = table(sides, "ndcg", {"baseline:als": 7.4}).splitlines()
    assert head.startswith("2 page views of 2 viewers; protocol menu, split holdout")
    assert lines[2:] == [
        "| baseline:als | 0.7500 | 0.7500 to 0.7500 | +0.2500 | +0.2500 to +0.2500 | 7 |",
        "| floor:popularity | 0.5000 | 0.5000 to 0.5000 | | | |",
    ]
