"""What the benchmarks of training count, on records that can be counted by hand."""

from benchmarks import experiment, ranks, reduction, train, vocabulary
from benchmarks.train import Pair
from pagerec_dbx.features.snapshot import open_snapshot, require_undamaged
from tests.page_views import write_snapshot


def test_a_pair_s_ratio_is_the_median_over_its_pairs():
    # 4 / 2, 9 / 3, 8 / 8: 2, 3 and 1; the medians of the seconds, 3 and 8, would say 2.67
    assert Pair("", (2.0, 3.0, 8.0), (4.0, 9.0, 8.0), "").ratio == 2.0


def test_a_part_of_a_snapshot_is_a_snapshot_of_whole_files(tmp_path):
    whole = write_snapshot(tmp_path / "train-v1-0123456789abcdef", [5, 5, 4, 4])
    part = train.first_records(whole, 8)
    linked = ranks.linked(part, tmp_path / "part")
    again = open_snapshot(linked.folder)
    assert (again.manifest.records, again.manifest.row_groups) == (10, (5, 5))
    require_undamaged(again, range(2))
    assert train.first_records(whole, 11, ranks=2).manifest.row_groups == (5, 5, 4, 4)  # three would not be shared


def test_a_snapshot_s_files_are_linked_again_until_there_are_records_enough(tmp_path):
    whole = write_snapshot(tmp_path / "train-v1-0123456789abcdef", [5, 4])
    for wanted, groups in ((3, (5,)), (9, (5, 4)), (10, (5, 4, 5)), (19, (5, 4, 5, 4, 5))):
        more = open_snapshot(experiment.with_records(whole, wanted, tmp_path / str(wanted)).folder)
        assert more.manifest.row_groups == groups and more.manifest.records == sum(groups)
        require_undamaged(more, range(len(groups)))


def test_a_training_from_memory_takes_the_steps_of_one_that_streams(tmp_path, monkeypatch):
    taken = noted_steps(monkeypatch, train)
    monkeypatch.setattr(train, "BATCH", 3)
    train.training_from_memory(write_snapshot(tmp_path / "train-v1-0123456789abcdef", [5, 4]), 1)
    # nine records are three steps of three, in each of four epochs: both ways unmeasured, then both measured
    assert [[len(batch) for batch in epoch] for epoch in taken] == [[3, 3, 3]] * 4
    assert [sorted(sum(epoch, [])) for epoch in taken] == [list(range(9))] * 4


def noted_steps(monkeypatch, benchmark) -> list[list[list[int]]]:
    """In place of steps: of each call the batches that it was fed, of each of those the ids."""
    taken = []

    class Noted:
        def __init__(self, *_):
            pass

        def run(self, batches, number):
            taken.append([next(batches)["page_view_id"].numpy().tolist() for _ in range(number)])
            return (0.0,)

    monkeypatch.setattr(benchmark, "Steps", Noted)
    return taken


def test_the_vocabulary_s_measured_steps_are_on_batches_that_come_once(monkeypatch):
    taken = noted_steps(monkeypatch, vocabulary)
    monkeypatch.setattr(vocabulary, "BATCH", 3)
    monkeypatch.setattr(vocabulary, "STEPS", 2)
    vocabulary.measure("two_tower_softmax", 50, None, "sgd")
    # two calls of two steps of three records
    assert [[len(batch) for batch in call] for call in taken] == [[3, 3]] * 2
    assert len({one for call in taken for batch in call for one in batch}) == 12


def test_no_two_of_the_vocabulary_s_batches_have_the_same_titles(monkeypatch):
    monkeypatch.setattr(vocabulary, "BATCH", 3)
    history = vocabulary._batches(5_000_000, 4)["history"]
    assert history.shape == (4, 3, vocabulary.HISTORY)
    assert len({one.tobytes() for one in history}) == 4


def test_the_bytes_of_a_step_are_those_of_weights_and_of_rows_touched(tmp_path, monkeypatch):
    monkeypatch.setattr(ranks, "BATCH", 3)
    snapshot = write_snapshot(tmp_path / "train-v1-0123456789abcdef", [3])
    # titles and rows: 5 each, embeddings of 64; each of the 3 records has one title and one row, another for each:
    # 2 x 3 rows of 64 x 4 bytes, and their ids: titles' of 8 bytes, rows' too; whole tables are 5 x (64 + 1) x 4 bytes
    # dense: 128 x 256 + 256, 256 x 128 + 128, 128 x 64 + 64, 64 x 5 + 5 weights of 4 bytes
    dense = 4 * (33_024 + 32_896 + 8_256 + 325)
    assert ranks.reduced_bytes(snapshot, 4) == (dense + 2 * 5 * 65 * 4, 0)
    assert ranks.reduced_bytes(snapshot, 2) == (dense, 2 * 3 * (64 * 4 + 8))


def test_the_vocabulary_s_table_compares_with_its_first_case():
    cases = {"few": [vocabulary.Case(ms, 10**9, 5) for ms in (40, 50, 60)], "many": [vocabulary.Case(75, 4 * 10**9, 9)]}
    lines = vocabulary.table(cases).splitlines()
    assert lines[-2:] == ["| few | 5 | 50 | 1.00 | 1.0 |", "| many | 9 | 75 | 1.50 | 4.0 |"]


def test_the_reduction_s_table_has_the_median_ratio_of_its_rounds():
    # 2 / 4, 6 / 4, 4 / 4: .5, 1.5 and 1
    measured = {500: (480, [0.002, 0.006, 0.004], [0.004, 0.004, 0.004])}
    assert reduction.table(measured, 2).splitlines()[-1] == "| 500 | 480 | 4.0 | 4.0 | 1.00 |"


def test_ranks_draw_other_titles_and_popular_ones_most():
    first, second = (reduction.drawn(1_000, seed) for seed in (0, 1))
    assert len(first) == 2_048 * 20 and (first != second).any()
    # 1 / sum of 1 / k for k to 1,000, which is 7.4855: the first title is .1336 of all
    assert abs((first == 0).mean() - 0.1336) < 0.008  # 5 standard errors of .0017
