"""Places and times at which a row was offered and clicked, as the network over rows is told of them."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from pagerec_dbx.errors import SettingError, TrainingError
from pagerec_dbx.models.build import build
from pagerec_dbx.models.catalogue import Catalogue, load_knowledge
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.row_counts import counted_parts
from tests.knowledge import some_knowledge
from tests.unit.test_model_options import records

CONFIG = ModelConfig(
    "page_ranker", 12, 9, device_count=4, location_count=4, history_length=4, embedding_size=3, hidden_sizes=(5,),
    loss="menu_softmax", row_rates=True, row_network=4, row_counts=True,
)  # fmt: skip


def test_places_and_times_worked_out_by_hand():
    """Row 2 stood at place 9 on the mean and was last offered 99 hours ago: log10 of 10 and of 100; clicked at place 0
    within the hour. Row 3 was offered and never clicked. Row 4 is new: marked, and nothing is invented."""
    known = some_knowledge(CONFIG)
    known.mean_places[2:5, 7] = [[9, 0], [99, -1], [-1, -1]]
    known.hours_since[2:5, 7] = [[99, 0], [0, -1], [-1, -1]]
    catalogue = Catalogue(CONFIG)
    catalogue.learn(known)
    wanted = [[1, 2, 0, 0, 0, 0], [2, 0, 0, 0, 0, 1], [0, 0, 1, 0, 0, 1]]
    for rows in ([[2, 3, 4]], [2, 3, 4]):
        got = counted_parts(catalogue, tf.constant(rows), tf.constant([7]))
        np.testing.assert_allclose(got[0], wanted, atol=1e-6)


def a_model(knowledge):
    """Whose network says something."""
    model, draw = build(CONFIG, seed=3), np.random.default_rng(4)
    model.learn_knowledge(knowledge)
    for weight in model._terms._network.trainable_variables:
        weight.assign(draw.normal(size=weight.shape))
    return model


def later_ones_changed(known, first):
    """From that column on rows have other places and times."""
    places, hours = known.mean_places.copy(), known.hours_since.copy()
    places[:, first:], hours[:, first:] = 3.0, 70.0
    return dataclasses.replace(known, mean_places=places, hours_since=hours)


def test_a_page_view_is_scored_by_what_was_known_at_its_moment():
    """Moments are the seconds 10, 20, ...: at 35 s three had passed, and columns from 4 on are of what came later."""
    known, batch = some_knowledge(CONFIG), records(6)
    batch["served_at"] = tf.fill([6], 35)
    scores, later, sooner = (
        a_model(one).menu_scores(batch).numpy()
        for one in (known, later_ones_changed(known, 4), later_ones_changed(known, 3))
    )
    np.testing.assert_array_equal(scores, later)
    assert np.abs(scores - sooner).max() > 0.01  # the control
    del batch["served_at"]  # a page to be ranked comes after all
    scores, later = (a_model(one).menu_scores(batch).numpy() for one in (known, later_ones_changed(known, 4)))
    assert np.abs(scores - later).max() > 0.01


def test_counts_are_refused_where_no_network_reads_them():
    with pytest.raises(SettingError, match="`row_counts` is read by a network alone: wanted row_network above 0"):
        dataclasses.replace(CONFIG, row_network=0)


def test_what_a_run_knew_before_there_were_counts_is_read(tmp_path):
    plain = dataclasses.replace(CONFIG, row_counts=False)
    known = some_knowledge(plain)
    old = {name: values for name, values in vars(known).items() if name not in ("mean_places", "hours_since")}
    np.savez(tmp_path / "old.npz", **old)
    Catalogue(plain).learn(load_knowledge(tmp_path / "old.npz"))
    np.savez(tmp_path / "older.npz", **{name: values for name, values in old.items() if name != "clicks"})
    with pytest.raises(TrainingError, match="cannot be read"):
        load_knowledge(tmp_path / "older.npz")
