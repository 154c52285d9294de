"""The exported ranker: raw strings in, the same order and scores as the trained model gives for ids."""

import dataclasses
import subprocess
import sys

import mlflow.models
import numpy as np
import pandas as pd
import pytest

from pagerec_dbx.errors import RegistryError
from pagerec_dbx.models.build import build
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.export import load_ranker, pack_ranker, raw_fields, save_ranker, unpack_ranker
from pagerec_dbx.models.pyfunc import PyfuncRanker
from pagerec_dbx.registry.packaging import save_pyfunc
from pagerec_dbx.scoring.request import page_from_request
from pagerec_dbx.stages.promote import rank_latency_ms

TITLES, ROWS = ["title a", "título", "c"], ["row 1", "zeile-ü", "row 3", "row 4"]
CONFIG = ModelConfig("two_tower_softmax", title_count=5, row_count=6, embedding_size=4, hidden_sizes=(8,))


@pytest.fixture(scope="module")
def model():
    return build(CONFIG, seed=5)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "ranker"
    save_ranker(model, CONFIG, {"titles": TITLES, "rows": ROWS, "devices": ["tv"], "locations": []}, folder)
    return folder


@pytest.fixture(scope="module")
def ranker(folder):
    return load_ranker(folder, "7")


def pages(history, menu):
    count = len(menu)
    return {
        "history": np.array(history, object),
        "history_age": np.zeros((count, len(history[0])), np.int32),
        "menu": np.array(menu, object),
        "hour": np.full(count, -1, np.int32),
        "weekday": np.full(count, -1, np.int32),
        "device": np.array(["tv"] * count, object),
        "location": np.array([""] * count, object),
    }


def record(history, menu):
    count = len(menu)
    ones = np.ones(count, np.int32)
    return {
        "history": np.array(history, np.int32),
        "history_age": np.zeros((count, len(history[0])), np.int32),
        "menu": np.array(menu, np.int32),
        "hour": ones, "weekday": ones, "device": ones, "location": ones,
    }  # fmt: skip


def test_ranker_ranks_raw_strings_as_the_model_ranks_ids(ranker, model):
    # ids from 2 in vocabulary order; "new" is unknown, 1
    menus = [["zeile-ü", "row 4", "new", ""], ["row 3", "row 1", "", ""]]
    raw = ranker.rank(pages([["c", "new", ""], ["", "", ""]], menus))
    ids = record([[4, 1, 0], [0, 0, 0]], [[3, 5, 1, 0], [4, 2, 0, 0]])
    scores = model.menu_scores(ids).numpy()
    names = [["zeile-ü", "row 4", "new"], ["row 3", "row 1"]]
    for number, offered in enumerate(names):
        order = np.argsort(-scores[number, : len(offered)], kind="stable")
        assert list(raw["row_id"][number, : len(offered)]) == [offered[place] for place in order]
        np.testing.assert_allclose(raw["score"][number, : len(offered)], scores[number][order], atol=1e-6)


def test_parts_of_raw_strings_add_up_to_the_scores(ranker):
    raw = pages([["c", "new", ""], ["", "", ""]], [["zeile-ü", "row 4", "new", ""], ["row 3", "row 1", "", ""]])
    ranked, (only,) = ranker.rank(raw), ranker.parts(raw).values()  # this model's own score is all there is
    for number, offered in enumerate((["zeile-ü", "row 4", "new"], ["row 3", "row 1"])):
        scores = dict(zip(ranked["row_id"][number], ranked["score"][number], strict=True))
        np.testing.assert_allclose(only[number, : len(offered)], [scores[row] for row in offered], atol=1e-6)


def test_two_tokens_swapped_change_the_order(ranker, model, tmp_path):
    """The control of the test above: a vocabulary in another order ranks other rows first."""
    swapped = [ROWS[1], ROWS[0], *ROWS[2:]]
    vocabularies = {"titles": TITLES, "rows": swapped, "devices": ["tv"], "locations": []}
    other = save_ranker(model, CONFIG, vocabularies, tmp_path / "swapped")
    page = pages([["c"]], [["row 1", "zeile-ü"]])
    first, second = (one.rank(page) for one in (ranker, other))
    assert list(first["row_id"][0]) == list(second["row_id"][0])[::-1]


def test_ranker_puts_padding_last_and_ties_in_menu_order(ranker):
    # three unknown rows share one score
    raw = ranker.rank(pages([["c"]], [["x", "", "z", "y", ""]]))
    assert list(raw["row_id"][0]) == ["x", "z", "y", "", ""]
    assert list(np.isneginf(raw["score"][0])) == [False, False, False, True, True]


def test_loaded_scores_equal_the_trained_model_s(ranker, model):
    ids = record([[2, 3, 0]], [[2, 3, 4, 5]])
    np.testing.assert_allclose(ranker.menu_scores(ids), model.menu_scores(ids), atol=1e-6)
    np.testing.assert_allclose(ranker.vocabulary_scores(ids), model.vocabulary_scores(ids), atol=1e-6)


def test_an_empty_history_is_scored_as_the_model_scores_it(ranker, model):
    ids = record([[0, 0, 0]], [[2, 3, 4, 0]])
    scores = np.asarray(ranker.menu_scores(ids))
    assert np.isfinite(scores[:, :3]).all()
    np.testing.assert_allclose(scores[:, :3], model.menu_scores(ids)[:, :3], atol=1e-6)


def test_older_ranker_reads_newer_ids_as_unknown(ranker):
    newer = ranker.menu_scores(record([[9, 3, 0]], [[2, 6, 700]]))
    older = ranker.menu_scores(record([[1, 3, 0]], [[2, 1, 1]]))
    np.testing.assert_array_equal(newer, older)


def test_ranker_takes_500_rows(ranker):
    menu = [f"row {number}" for number in range(500)]
    assert sorted(ranker.rank(pages([["c"]], [menu]))["row_id"][0]) == sorted(menu)


def test_packed_ranker_travels_as_bytes(folder, ranker):
    ids = record([[2, 3, 0]], [[2, 3, 4, 5]])
    travelled = unpack_ranker(pack_ranker(folder), "7")
    np.testing.assert_array_equal(travelled.menu_scores(ids), ranker.menu_scores(ids))


def test_load_ranker_refuses_other_folders(tmp_path):
    with pytest.raises(
        RegistryError, match="holds no ranker: wanted ranker.json .* Name the folder of a registered version"
    ):
        load_ranker(tmp_path, "1")
    (tmp_path / "ranker.json").write_text('{"format": 99, "config": {}}')
    with pytest.raises(RegistryError, match="another format: wanted 2, got 99"):
        load_ranker(tmp_path, "1")


def test_pyfunc_ranks_lists_of_any_length(ranker):
    frame = pd.DataFrame(
        {
            "history": [["c"], []], "history_age": [[9], []], "menu": [["row 3", "row 1"], ["row 4"]],
            "hour": [1, 2], "weekday": [0, 6], "device": ["tv", "x"], "location": ["", ""],
        }
    )  # fmt: skip
    ranked = PyfuncRanker(ranker).predict(frame)
    assert sorted(ranked["row_id"][0]) == ["row 1", "row 3"]
    assert ranked["row_id"][1] == ["row 4"]
    assert ranked["score"][0] == sorted(ranked["score"][0], reverse=True)


def test_pins_are_taken_by_a_model_that_has_them_in_its_context_and_by_no_other(tmp_path):
    config = dataclasses.replace(CONFIG, context=("pinned",))
    vocabularies = {"titles": TITLES, "rows": ROWS, "devices": [], "locations": []}
    save_ranker(build(config, seed=5), config, vocabularies, tmp_path / "saved")
    ranker = load_ranker(tmp_path / "saved", "8")
    assert set(raw_fields(config)) - set(raw_fields(CONFIG)) == {"pinned"}
    candidates = [{"row_id": "row 3", "pinned": True}, {"row_id": "row 1"}]
    asked = [page_from_request({"candidates": candidates[at:]}, history_length=2).raw() for at in (0, 1)]
    assert [fed["pinned"].tolist() for fed in asked] == [[[1, 0]], [[0]]]
    pinned, free = (ranker.rank({**asked[0], "pinned": np.array([pins])})["score"] for pins in ([1, 0], [0, 0]))
    assert np.abs(pinned - free).max() > 1e-6
    np.testing.assert_array_equal(ranker.rank(asked[0])["score"], pinned)
    frame = pd.DataFrame({name: [np.asarray(values[0]).tolist()] for name, values in asked[0].items()})
    np.testing.assert_allclose(PyfuncRanker(ranker).predict(frame)["score"][0], pinned[0], atol=1e-6)
    assert rank_latency_ms(ranker, repeats=1) > 0  # its page says what is pinned too
    save_pyfunc(tmp_path / "model", tmp_path / "saved")
    inputs = mlflow.models.Model.load(str(tmp_path / "model")).signature.inputs
    assert inputs.input_names() == list(pages([["c"]], [["row 1"]])) + ["pinned"]


def test_keras_3_is_refused():
    code = "import pagerec_dbx.models.inputs"
    environment = {"TF_USE_LEGACY_KERAS": "0", "PATH": "/usr/bin", "PYTHONPATH": ":".join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert "KerasError: TensorFlow uses Keras 3: wanted tf-keras 2" in ended.stderr
