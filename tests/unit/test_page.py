"""The circumstances of a page view as fields."""

import numpy as np
import pytest
import tensorflow as tf

from pagerec_dbx.errors import SettingError
from pagerec_dbx.models.catalogue import Catalogue
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.page import _IDS, Page
from tests.model_records import a_record

NAMES = ("hour", "weekday", "device", "location", "menu_size", "pinned", "last_watched")  # and `last_visit`, below
CONFIG = ModelConfig("single_tower_softmax", 7, 6, device_count=4, location_count=5, embedding_size=3, context=NAMES)


def page_of(config):
    return Page(config, Catalogue(config))


def test_circumstances_are_read_off_the_record():
    record = a_record(
        hour=[23],
        weekday=[6],
        device=[3],
        location=[4],
        history=[[2, 3, 0]],
        history_age=[[9_999, 600, 0]],
        pinned=[[1, 0, 1, 0]],
    )
    # unknown hours and weekdays are -1, so theirs are one more; three rows are offered, two pinned; the last title
    # 600 s ago: log2(1 + 10) = 3.46 doublings of a minute, 3, and one more
    assert {name: int(_IDS[name](record)[0]) for name in NAMES} == {
        "hour": 24, "weekday": 7, "device": 3, "location": 4, "menu_size": 3, "pinned": 2,
        "last_watched": 4,
    }  # fmt: skip


@pytest.mark.parametrize(("history", "ages"), [([[0, 0, 0]], [[0, 0, 0]]), ([[2, 0, 0]], [[0, 0, 0]])])
def test_a_time_that_is_not_known_is_a_class_of_its_own(history, ages):
    record = a_record(hour=[-1], weekday=[-1], history=history, history_age=ages)
    assert [int(_IDS[name](record)[0]) for name in ("hour", "weekday", "last_watched")] == [0, 0, 0]


def test_each_circumstance_is_a_field_and_only_those_asked_for():
    page = page_of(CONFIG)
    fields = page(a_record())["fields"]
    assert len(fields) == 1 + len(NAMES) and {tuple(field.shape) for field in fields} == {(1, 3)}
    for name in NAMES:
        changed = {
            "menu_size": {"menu": [[2, 3, 0, 0]]},
            "pinned": {"pinned": [[1, 1, 0, 0]]},
            "last_watched": {"history_age": [[9, 9_000, 0]]},
        }
        others = page(a_record(**changed.get(name, {name: [2]})))["fields"]
        moved = [number for number, field in enumerate(fields) if np.abs(field - others[number]).max() > 0]
        assert moved == [1 + NAMES.index(name)]
    alone = page_of(ModelConfig("single_tower_softmax", 7, 6))(a_record())
    assert list(alone) == ["fields"] and len(alone["fields"]) == 1


def test_what_the_terms_read_is_handed_on_where_one_asks_for_it():
    shown = dict.fromkeys(("shown_row", "shown_position", "shown_clicked", "shown_age"), tf.constant([[9, 2]]))
    record = a_record(history=[[2, 3, 0]], history_age=[[9_000, 60, 0]]) | shown
    sizes = {"title_count": 7, "row_count": 6, "embedding_size": 3, "shown_length": 2}
    attentive = page_of(ModelConfig("single_tower_softmax", target_attention=True, **sizes))(record)
    assert set(attentive) == {"fields", "titles", "history", "history_age"} and attentive["titles"].shape == (1, 3, 3)
    remembering = page_of(ModelConfig("single_tower_softmax", row_memory=True, **sizes))(record)
    assert set(remembering) == {"fields", *shown}
    assert remembering["shown_row"].numpy().tolist() == [[1, 2]]  # of six rows none is 9: unknown


def test_a_visit_before_is_read_off_what_was_shown_there():
    # log2(1 + 180 / 60) = 2 doublings of a minute, and one more; 0 where nothing was shown before
    ages = {"shown_age": tf.constant([[180, 180, 9_999], [0, 0, 0]])}
    assert _IDS["last_visit"](ages).numpy().tolist() == [3, 0]
    with pytest.raises(SettingError, match=r"`context=\[last_visit\]` needs what was shown before"):
        ModelConfig("single_tower_softmax", 7, 6, context=("last_visit",))
    shown = dict.fromkeys(("shown_row", "shown_position", "shown_clicked"), tf.constant([[9, 2]])) | {
        "shown_age": tf.constant([[60, 60]])
    }
    page = page_of(ModelConfig("single_tower_softmax", 7, 6, context=("last_visit",), shown_length=2))
    assert len(page(a_record() | shown)["fields"]) == 2


def test_extremes_stay_within_their_tables():
    page = page_of(CONFIG)
    record = a_record(menu=[list(range(2, 702))], history=[[2]], history_age=[[2**31 - 1]], device=[99], location=[99])
    assert all(np.isfinite(field).all() for field in page(record)["fields"])
    assert int(_IDS["last_watched"](record)[0]) == 21
    assert tf.reduce_max(_IDS["last_watched"](record)) < 22


@pytest.mark.parametrize(("name", "most"), [("menu_size", 4), ("pinned", 10)])
def test_a_count_past_what_training_sees_is_the_most_that_it_sees(name, most):
    """Menus of training are cut to `menu_length`, here 4; those to be ranked are whole."""
    page = page_of(ModelConfig("single_tower_softmax", 99, 99, menu_length=4, embedding_size=3, context=(name,)))

    def field(count):
        menu = {"menu": [[2] * count + [0]], "pinned": [[1] * count + [0]]}
        return page(a_record(**menu))["fields"][1].numpy()

    np.testing.assert_array_equal(field(most + 9), field(most))
    assert np.abs(field(most - 1) - field(most)).max() > 0  # the control
    assert page._context[name].weights[0].shape[0] == most + 1
