"""A model that reads what was shown before, from raw strings and from ids; one that does not takes no notice of it."""

import dataclasses

import mlflow.models
import numpy as np
import pandas as pd
import pytest

from pagerec_dbx.models import build as models
from pagerec_dbx.models.build import build, one_record
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.export import load_ranker, ranker_config, raw_fields, record_fields, save_ranker
from pagerec_dbx.models.pyfunc import PyfuncRanker
from pagerec_dbx.registry.packaging import save_pyfunc
from pagerec_dbx.schemas import SHOWN
from pagerec_dbx.stages.promote import rank_latency_ms
from tests.reads_shown import ReadsShown

CONFIG = ModelConfig(
    "two_tower_softmax", title_count=4, row_count=5, history_length=2, shown_length=3, embedding_size=4,
    hidden_sizes=(8,),
)  # fmt: skip
VOCABULARIES = {"titles": ["t", "u"], "rows": ["a", "b", "c"], "devices": [], "locations": []}
ALWAYS = ("history", "history_age", "menu", "hour", "weekday", "device", "location")
# Two pages; b and the unknown zz were shown before the first one, nothing before the second.
IDS = {
    "history": [[2, 0], [0, 0]], "history_age": [[9, 0], [0, 0]], "menu": [[2, 3, 4], [4, 3, 0]],
    "hour": [1, 2], "weekday": [0, 6], "device": [0, 0], "location": [0, 0],
    "shown_row": [[3, 1, 0], [0, 0, 0]], "shown_position": [[2, 3, 0], [0, 0, 0]],
    "shown_clicked": [[1, 0, 0], [0, 0, 0]], "shown_age": [[60, 60, 0], [0, 0, 0]],
}  # fmt: skip
RAW = IDS | {
    "history": [["t", ""], ["", ""]], "menu": [["a", "b", "c"], ["c", "b", ""]], "device": ["", ""],
    "location": ["", ""], "shown_row": [["b", "zz", ""], ["", "", ""]],
}  # fmt: skip


def arrays(fields) -> dict[str, np.ndarray]:
    found = {name: np.array(values) for name, values in fields.items()}
    return {name: values.astype(object if values.dtype.kind == "U" else np.int32) for name, values in found.items()}


@pytest.fixture(scope="module")
def model():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models._MODELS, CONFIG.name, ReadsShown)
        return build(CONFIG, seed=3)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shown") / "ranker"
    save_ranker(model, CONFIG, VOCABULARIES, folder)
    return folder


@pytest.fixture(scope="module")
def ranker(folder):
    return load_ranker(folder, "1")


def in_menu_order(ranked, menus) -> list[list[float]]:
    return [
        [float(scores[list(rows).index(row)]) for row in menu if row]
        for rows, scores, menu in zip(ranked["row_id"], ranked["score"], menus, strict=True)
    ]


def test_the_exported_model_scores_raw_strings_as_the_model_scores_ids(model, ranker):
    wanted = model.menu_scores(arrays(IDS)).numpy()
    found = in_menu_order(ranker.rank(arrays(RAW)), RAW["menu"])
    np.testing.assert_allclose(found[0], wanted[0], atol=1e-6)
    np.testing.assert_allclose(found[1], wanted[1, :2], atol=1e-6)
    np.testing.assert_allclose(ranker.menu_scores(arrays(IDS))[0], wanted[0], atol=1e-6)
    all_rows = model.vocabulary_scores(arrays(IDS))
    np.testing.assert_allclose(ranker.vocabulary_scores(arrays(IDS)), all_rows, atol=1e-6)
    # .5 + .25 x 2 - 2 x 1 + .1 x ln 61 = -.589: by so much b of the first page has less than without its place
    without = model.menu_scores(arrays(IDS | {"shown_row": [[0, 0, 0], [0, 0, 0]]})).numpy()
    np.testing.assert_allclose((wanted - without)[:, :2], [[0, -0.5889], [0, 0]], atol=1e-3)


@pytest.mark.parametrize("name", SHOWN)
def test_each_field_counts(ranker, name):
    """Control: any of the four fields in another place's stead changes the scores."""
    changed = {"shown_row": [["a", "zz", ""], ["", "", ""]]}.get(name, [[9, 3, 0], [0, 0, 0]])
    before, after = (in_menu_order(ranker.rank(arrays(fields)), RAW["menu"]) for fields in (RAW, RAW | {name: changed}))
    assert np.abs(np.array(before[0]) - after[0]).max() > 1e-2 and before[1] == after[1]


def test_more_places_than_the_model_was_trained_with_are_cut_to_the_most_recent(ranker):
    longer = {name: [[*places, 2, 2] for places in IDS[name]] for name in SHOWN}
    np.testing.assert_array_equal(ranker.menu_scores(arrays(IDS | longer)), ranker.menu_scores(arrays(IDS)))


def test_the_mlflow_model_reads_lists_of_any_length(ranker):
    unpadded = {name: [[value for value in values if value != ""] for values in RAW[name]]
                for name in ("history", "menu", "shown_row")}  # fmt: skip
    sizes = {name: [RAW[name][0][:2], []] for name in SHOWN[1:]}
    frame = pd.DataFrame(RAW | unpadded | sizes | {"history_age": [[9], []]})
    found = PyfuncRanker(ranker).predict(frame)
    assert in_menu_order(found, RAW["menu"]) == in_menu_order(ranker.rank(arrays(RAW)), RAW["menu"])


def test_the_fields_are_those_of_the_configuration(folder, ranker):
    without = dataclasses.replace(CONFIG, shown_length=0)
    assert set(raw_fields(CONFIG)) == set(record_fields(CONFIG)) == {*ALWAYS, *SHOWN}
    assert set(raw_fields(without)) == set(record_fields(without)) == set(one_record(without)) == set(ALWAYS)
    assert {name: one_record(CONFIG)[name].shape.as_list() for name in SHOWN} == dict.fromkeys(SHOWN, [1, 3])
    assert ranker_config(folder) == CONFIG
    assert rank_latency_ms(ranker, repeats=1) > 0  # its page has all fields too


def test_a_model_that_makes_nothing_of_them_takes_them_all_the_same(tmp_path):
    plain = build(CONFIG, seed=3)
    save_ranker(plain, CONFIG, VOCABULARIES, tmp_path / "ranker")
    ranker, other = load_ranker(tmp_path / "ranker", "1"), RAW | {"shown_row": [["c", "c", "c"], ["c", "c", "c"]]}
    found = in_menu_order(ranker.rank(arrays(RAW)), RAW["menu"])
    np.testing.assert_allclose(found[0], plain.menu_scores(arrays(IDS))[0], atol=1e-6)
    assert found == in_menu_order(ranker.rank(arrays(other)), RAW["menu"])


def test_a_model_without_them_takes_no_notice(tmp_path):
    config = dataclasses.replace(CONFIG, shown_length=0)
    ranker = save_ranker(build(config, seed=3), config, VOCABULARIES, tmp_path / "ranker")
    other = IDS | {"shown_row": [[2, 2, 2], [2, 2, 2]]}
    np.testing.assert_array_equal(ranker.menu_scores(arrays(IDS)), ranker.menu_scores(arrays(other)))


def test_mlflow_s_signature_names_them(folder, ranker, tmp_path):
    save_pyfunc(tmp_path / "model", folder)
    inputs = mlflow.models.Model.load(str(tmp_path / "model")).signature.inputs
    assert inputs.input_names() == [*ALWAYS, *SHOWN]
    assert str(inputs.input_types()[-4:]) == "[Array(string), Array(long), Array(long), Array(long)]"
