"""What the benchmarks compute from their measurements."""

import dataclasses
import datetime as dt

import numpy as np
import pytest

from benchmarks import ceilings, effects, homes, ranklens, sampled
from benchmarks.baselines import table
from benchmarks.data import growth_exponent, step_table
from benchmarks.paired_samples import paired_sample
from benchmarks.processes import Measured
from benchmarks.seeds import against
from benchmarks.verdict import Sample, World, line, missed, split_into_pages
from pagerec_dbx.evaluation.compare import Side
from pagerec_dbx.evaluation.intervals import Intervals
from pagerec_dbx.evaluation.protocols import METRICS


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


def side(*values):
    """One viewer a value, with a page view each, and every metric the same."""
    return Side(np.repeat(np.array(values, float)[:, None], len(METRICS), axis=1), np.ones(len(values)))


def test_several_seeds_are_held_against_each_other_by_their_means():
    # (.2 + .4) / 2 = .3 and (.6 + .8) / 2 = .7 on two page views: .5; the other .9 on both; .9 - .5 = .4, of the first
    # page view .6 and of the second .2
    found = against([side(0.2, 0.6), side(0.4, 0.8)], [[side(0.9, 0.9)]], "ndcg")
    np.testing.assert_allclose(found.difference, [0.5, 0.9, 0.4])
    assert (found.lower[2], found.upper[2]) == (pytest.approx(0.2), pytest.approx(0.6))
    assert found.pages.tolist() == [2, 2, 2]


def test_an_effect_s_line_says_whether_it_came_out_as_it_must():
    def of(lower, upper):
        return Intervals(
            np.array([0.5, 0.51, 0.01]),
            np.array([0, 0, lower]),
            np.array([1, 1, upper]),
            np.array([1_234] * 3),
            *[0] * 2,
        )

    context = effects.Effect("context", (), (), ())
    of_three = dataclasses.replace(context, judged="hour: 3")
    row = "| context | yes | 1,234 | 0.5000 | 0.5100 | +0.0100 [+0.0010, +0.0200] | as it must |"
    assert effects.line(context, True, of(0.001, 0.02)) == row
    assert effects.line(context, True, of(-0.001, 0.02)).endswith("| NOT |")
    assert effects.line(of_three, False, of(-0.001, 0.0029)).endswith("| as it must |")
    assert effects.line(of_three, False, of(-0.001, 0.0031)).endswith("| NOT |")
    assert "(hour: 3)" in effects.line(of_three, False, of(0, 0))


def test_the_share_of_the_distance_is_from_popularity_to_each_ceiling():
    # as served: (.5 - .4) / (.6 - .4) = .5; ordered by chance: (.45 - .35) / (.475 - .35) = .8
    found = {
        "floor:popularity": (100, 0.4, 10, 0.35), "7": (100, 0.5, 10, 0.45),
        "ceiling:with_position": (100, 0.6, 10, 0.5), "ceiling:without_position": (10, 0.475, 10, 0.475),
    }  # fmt: skip
    lines = ceilings.table(found, {"a model": "7"}, 1_000).splitlines()
    assert "100 page views as served, 10 ordered by chance" in lines[0]
    assert lines[-2] == "| a model | 0.5000 | 0.500 | 0.4500 | 0.800 |"


def test_ranklens_says_what_each_case_has_more_than_the_trees():
    lines = ranklens.table({"trees": [side(0.5, 0.5)], "ours": [side(0.6, 0.6), side(0.8, 0.8)]}).splitlines()
    assert lines[-2:] == ["| trees | 0.5000 | | | |", "| ours | 0.7000 | 0.1414 | +0.2000 | +0.2000 to +0.2000 |"]


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


def test_page_views_drawn_over_a_vocabulary_follow_popularity_and_the_history():
    records = sampled.drawn(rows=300, page_views=4_000, seed=1)
    menu, clicked = records["menu"], records["clicked"]
    assert menu.shape == clicked.shape == (4_000, sampled.MENU)
    assert menu.min() >= 2 and menu.max() < 302 and (clicked.sum(axis=1) == 1).all()
    assert all(len(set(rows)) == sampled.MENU for rows in menu.tolist())  # each row once
    counts = np.bincount(menu[:, 0], minlength=302)[2:]
    assert counts[:30].sum() > 3 * counts[-30:].sum()  # ids are in order of popularity
    # Titles beside which a row was clicked more often than chance has it: of another page view's they are not.
    together = np.zeros([302, sampled.TITLES + 2])
    np.add.at(together, (menu[:2_000, :1], records["history"][:2_000]), 1)
    own = together[menu[2_000:, :1], records["history"][2_000:]].mean()
    others = together[menu[2_000:, :1], np.roll(records["history"][2_000:], 1, axis=0)].mean()
    assert own > 1.2 * others


def test_a_way_takes_an_epoch_of_the_drawn_page_views(monkeypatch):
    monkeypatch.setattr(sampled, "BATCH", 32)
    records = sampled.drawn(rows=60, page_views=64, seed=1)
    way = sampled.Way("some", {"loss": "sampled_softmax", "sampled_rows": 20, "sampling": "log_uniform"})
    trainer = sampled.Trainer(way, rows=60, steps=2)
    before = sampled.ndcg(trainer.model, records)
    for epoch in range(12):
        trainer.epoch(records, epoch)
    of_all, of_menu, loss = sampled.ndcg(trainer.model, records)
    assert len(trainer.seconds) == 12 and 0 < of_all < of_menu < 1
    assert loss < before[2]


def test_the_way_s_line_is_its_fastest_epoch_s():
    # 2 s for 100 steps are 20 ms, .5 s are 5 ms, a quarter
    found = {"full": ([9.0, 2.0], 0.1, 0.5, 8.0), "some": ([3.0, 0.5], 0.09, 0.4, 8.1)}
    assert sampled.table(found, 100).splitlines()[2:] == [
        "| full | 20 | 1.00 | 0.1000 | 0.5000 | 8.000 |",
        "| some | 5 | 0.25 | 0.0900 | 0.4000 | 8.100 |",
    ]


def test_a_home_is_made_once_and_one_stopped_halfway_is_not_taken_for_done(tmp_path, monkeypatch):
    commands, home = [], tmp_path / "home"

    def run(*command):
        home.mkdir(exist_ok=True)
        commands.append(command[0])
        if command[0] == "prepare" and len(commands) == 4:
            raise SystemExit("stopped")

    monkeypatch.setattr(homes, "run", run)
    with pytest.raises(SystemExit, match="stopped"):
        homes.prepared_home(tmp_path / "logs", home, ("simulate",))
    with pytest.raises(SystemExit, match="was not finished"):
        homes.prepared_home(tmp_path / "logs", home, ("simulate",))
    home.rmdir()
    for _ in range(2):
        assert homes.prepared_home(tmp_path / "logs", home, ("simulate",)) == str(home)
    assert commands == ["simulate", "ingest", "join", "prepare"] * 2  # and not a third time
    with pytest.raises(SystemExit, match="made otherwise: wanted simulate prepare catalogue=true"):
        homes.prepared_home(tmp_path / "logs", home, ("simulate",), ("catalogue=true",))


@pytest.mark.parametrize("asked", [["--ablation"], ["--share", ".5"], ["dropout=.3"]])
def test_nothing_is_chosen_on_the_holdout_of_ranklens(asked, tmp_path, capsys):
    with pytest.raises(SystemExit):
        ranklens.main([str(tmp_path / "events"), "--folder", str(tmp_path), *asked])
    assert "with --validation" in capsys.readouterr().err


def test_looks_at_the_holdout_of_ranklens_add_up(tmp_path):
    file, now = tmp_path / "looks.jsonl", dt.datetime(2026, 11, 29, tzinfo=dt.UTC)
    assert "so far: 10 trained" in ranklens.looks(file, {"a": ("a",), "b": ("b", "dropout=.1")}, 5, now)
    assert "so far: 13 trained" in ranklens.looks(file, {"a": ("a",)}, 3, now)
