"""How alike rows are: which way is taken to it, and which tables are held."""

import dataclasses

import pytest
import tensorflow as tf

from pagerec_dbx.models import row_kernel
from pagerec_dbx.models.build import build
from pagerec_dbx.models.export import save_ranker
from pagerec_dbx.models.inputs import record_specs
from pagerec_dbx.models.row_kernel import RowKernel
from tests.known_rows import CONFIG, KNOWLEDGE, learnt


@pytest.fixture
def catalogue():
    return learnt()


def test_a_single_page_is_ranked_without_the_table_of_all_pairs_and_a_batch_with_it(catalogue):
    kernel = RowKernel(CONFIG, catalogue)
    # 9 rows: 81 pairs; one page view has 5 x 5 = 25, three 75, four 100
    found = [bool(kernel.has_fewer_pairs(tf.zeros([pages, 5], tf.int32))) for pages in (1, 3, 4)]
    assert found == [False, False, True]
    many = tf.broadcast_to(tf.zeros([1, 1], tf.int32), [300_000, 100])
    assert bool(kernel.has_fewer_pairs(many))  # 3e9 pairs, which an int32 would take for a negative number


def test_tables_that_take_too_much_memory_are_not_made(catalogue, monkeypatch):
    kernel = RowKernel(CONFIG, catalogue)
    kernel.learn_tables()
    fields = len(set(KNOWLEDGE.fields()[KNOWLEDGE.row_tokens > 0]))
    assert kernel._tables.shape == [fields, 81] and fields == 3
    monkeypatch.setattr(row_kernel, "_MOST_BYTES", fields * 81 * 4 - 1)
    kernel.learn_tables()
    assert kernel._tables is None


def test_an_export_holds_no_tables(tmp_path):
    config = dataclasses.replace(CONFIG, name="page_ranker")
    model = build(config, seed=3)
    model.learn_knowledge(KNOWLEDGE)
    names = {"titles": 10, "rows": 7, "devices": 2, "locations": 2}
    vocabularies = {kind: [f"{kind} {number}" for number in range(count)] for kind, count in names.items()}
    module = save_ranker(model, config, vocabularies, tmp_path / "ranker").module

    def numbers() -> list[tuple[int, ...]]:
        """Shapes of what the graph holds beside variables and lookup tables."""
        graph = tf.function(module._masked, autograph=False).get_concrete_function(record_specs(config))
        return [tuple(one.shape) for one in graph.captured_inputs if one.dtype != tf.resource]

    assert numbers() == []
    model.learn_knowledge(KNOWLEDGE)  # the control
    assert numbers() == [(3, 81)]
