"""What is logged is held against what was trained, before anything is registered."""

import pytest

from pagerec_dbx.errors import RegistryError
from pagerec_dbx.models.build import build
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.export import save_ranker
from pagerec_dbx.stages.export import require_equal_scores
from tests.page_views import write_snapshot

CONFIG = ModelConfig("two_tower_softmax", title_count=14, row_count=14, embedding_size=4, hidden_sizes=(8,))
VOCABULARIES = {
    "titles": [f"t{number}" for number in range(12)],
    "rows": [f"r{number}" for number in range(12)],
    "devices": [],
    "locations": [],
}


@pytest.fixture
def validation(tmp_path):
    return write_snapshot(tmp_path / "validation", [6, 6])


@pytest.mark.parametrize("change", [1e-5, float("nan")])
def test_a_model_whose_weights_were_changed_is_not_registered(validation, tmp_path, change):
    model = build(CONFIG, seed=1)
    trained = save_ranker(model, CONFIG, VOCABULARIES, tmp_path / "ranker")
    require_equal_scores(trained, validation, tmp_path / "ranker")  # the control: as it was trained
    *others, bias = model.get_weights()
    bias[5] += change  # the logit of one row
    model.set_weights([*others, bias])
    changed = save_ranker(model, CONFIG, VOCABULARIES, tmp_path / "changed")
    with pytest.raises(RegistryError, match="the logged model's menu_scores differ from the trained model's"):
        require_equal_scores(changed, validation, tmp_path / "ranker")
