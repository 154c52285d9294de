"""The model that docs/models.md shows how to add: it is as short as it says, and all else takes it from there."""

import re
from pathlib import Path

import numpy as np
import pytest

from pagerec_dbx.models import build as models
from pagerec_dbx.models import names
from pagerec_dbx.models.build import build
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.export import load_ranker, save_ranker
from tests.knowledge import some_knowledge
from tests.unit.test_model_options import VOCABULARIES, records

DOCS = Path(__file__).parents[2] / "docs" / "models.md"
CONFIG = ModelConfig(
    "dot_product", 12, 9, device_count=4, location_count=4, history_length=4, shown_length=5, embedding_size=3,
    context=("device",), row_attributes=3, attribute_tokens=7, row_memory=True, loss="menu_softmax",
)  # fmt: skip


@pytest.fixture
def added(monkeypatch):
    text = re.search(r"```python\n(import tensorflow.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)[1]
    assert len(text.splitlines()) <= 30
    found: dict = {}
    exec(compile(text, str(DOCS), "exec"), found)
    monkeypatch.setitem(models._MODELS, "dot_product", found["DotProduct"])
    monkeypatch.setattr(names, "MODEL_NAMES", (*names.MODEL_NAMES, "dot_product"))


def test_the_model_of_the_docs_scores_learns_and_is_exported_with_all_options(added, tmp_path):
    model, batch = build(CONFIG, seed=3), records(7)
    model.learn_knowledge(some_knowledge(CONFIG))
    every = model.vocabulary_scores(batch).numpy()
    menu = np.minimum(batch["menu"].numpy(), 8)
    known = batch["menu"].numpy() < 9
    np.testing.assert_allclose(
        model.menu_scores(batch).numpy()[known], np.take_along_axis(every, menu, 1)[known], atol=1e-5
    )
    assert np.isfinite(float(model.compute_loss(batch, training=True)))
    saved = save_ranker(model, CONFIG, VOCABULARIES, tmp_path / "ranker")
    arrays = {name: values.numpy() for name, values in batch.items()}
    loaded = load_ranker(tmp_path / "ranker", "1")
    np.testing.assert_allclose(loaded.menu_scores(arrays), saved.menu_scores(arrays), atol=1e-6)
