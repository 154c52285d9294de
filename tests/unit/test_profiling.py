"""The profile of some steps: what is traced, and the page that sums it up."""

import re

import numpy as np
import tensorflow as tf

from pagerec_dbx.config import TrainSettings
from pagerec_dbx.models.build import build
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.training.optimizer import optimizer_of
from pagerec_dbx.training.profiling import SUMMARY, Operation, Profiled, summary
from pagerec_dbx.training.steps import Steps
from tests.model_records import a_record


def test_the_page_names_parts_and_operations_by_their_share():
    operations = [
        Operation("while/body/model/dense/MatMul", "MatMul", 0.004),
        Operation("while/body/model/dense/MatMul", "MatMul", 0.002),
        Operation("while/body/gradient_tape/model/dense/MatMul/MatMul_1", "MatMul", 0.010),
        Operation("while/body/Adam/Adam/update/ResourceScatterSub", "ResourceScatterSub", 0.003),
        Operation("while/body/reduction/HorovodAllreduce_0", "HorovodAllreduce", 0.0006),
        Operation("while/body/reduction/UnsortedSegmentSum", "UnsortedSegmentSum", 0.0004),
        Operation("while", "While", 1.0),  # holds all others
        Operation("PyFunc", "PyFunc", 0.005),
    ]
    # 6 + 10 + 3 + 1 + 5 = 25 ms in two steps: 3, 5, 1.5, .5 and 2.5 ms a step
    page = summary(operations, steps=2, seconds=0.012, waited=0.001)
    assert "6.00 ms a step by the clock, 0.50 of them waiting for a batch" in page
    assert "under way for 12.50 ms a step" in page
    rows = re.findall(r"^\| ([a-z ]+) \| ([\d.]+) \| (\d+)% \|$", page, re.M)
    assert rows == [
        ("backward", "5.00", "40"), ("forward", "3.00", "24"), ("reading", "2.50", "20"), ("optimizer", "1.50", "12"),
        ("reduction over ranks", "0.50", "4"),
    ]  # fmt: skip
    assert "| MatMul | forward | 1.0 | 3.00 | 24% |" in page


def trained(folder, calls):
    """So many calls of three steps of a small model."""
    model = build(ModelConfig("two_tower_softmax", 50, 10, embedding_size=4, hidden_sizes=(8,)), seed=1)
    run = Steps(model, optimizer_of(TrainSettings(), 1, 10), lambda gradients, _: gradients).run
    record = {name: np.repeat(value, 6, axis=0) for name, value in a_record().items()}
    record["page_view_id"] = np.arange(6)
    batches = iter(tf.data.Dataset.from_tensor_slices(record).batch(6, drop_remainder=True).repeat())
    profiled = Profiled(run, folder)
    return [profiled(batches, 3) for _ in range(calls)]


def test_one_call_is_traced_once_the_graph_is_built(tmp_path):
    losses = [taken.loss for taken in trained(tmp_path / "profile", calls=4)]
    assert losses == sorted(losses, reverse=True) and len(set(losses)) == 4  # it trains all the same
    assert len(list((tmp_path / "profile").glob("plugins/profile/*/*.xplane.pb"))) == 1
    page = (tmp_path / "profile" / SUMMARY).read_text()
    assert page.startswith("# Where 3 steps spent their time")
    for part in ("forward", "backward", "optimizer"):
        assert f"| {part} |" in page
    assert re.search(r"\| \w*MatMul \| forward \|", page)
    assert "| While |" not in page


def test_nothing_is_traced_unless_it_is_asked_for_or_where_there_is_one_call(tmp_path):
    trained(None, calls=3)
    trained(tmp_path / "profile", calls=1)
    assert list(tmp_path.iterdir()) == []
