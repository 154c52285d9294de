"""What is refused of a model's settings, and that nothing is which somebody trains with."""

import pytest

from benchmarks.ceilings import CASES
from benchmarks.effects import EFFECTS
from benchmarks.effects import TRAINED as OF_EFFECTS
from benchmarks.ranklens import OTHERS, PARTS, TRAINED
from pagerec_dbx.config import ModelSettings, load_settings
from pagerec_dbx.errors import SettingError
from pagerec_dbx.models.config import ModelConfig, model_config
from pagerec_dbx.models.names import MODEL_NAMES, MODEL_SETTINGS

SIZES = {"title_count": 40, "row_count": 120, "shown_length": 5}


def a_config(name="two_tower_softmax", *overrides, **sizes):
    designed = MODEL_SETTINGS.get(name, {})
    return model_config(name, load_settings(overrides=overrides, designed=designed).model, **{**SIZES, **sizes})


BARE = ("page_ranker", "own_weights=false", "factorisation=false", "context=[]")


@pytest.mark.parametrize(
    ("asked", "what", "mended"),
    [
        (("two_tower_softmax", "cross_rank=3"), "`cross_rank` is of layers that are not there", "cross_layers=1"),
        (("two_tower_softmax", "sampling=clicks"), "`sampling` does nothing with loss=full", "loss=sampled_softmax"),
        (
            ("two_tower_softmax", "sampling=log_uniform", "loss=in_batch_softmax"),
            "`sampling` does nothing with loss=in_batch_softmax: wanted a loss for which rows are drawn: "
            "sampled_softmax or binary, got sampling=log_uniform. Train with one of those, or leave sampling out",
            "loss=binary",
        ),
        (("page_ranker", "sampling=clicks"), "`sampling` does nothing with loss=menu_softmax", "sampling=uniform"),
        (
            ("two_tower_softmax", "attribute_fields=[genre]"),
            "`attribute_fields` names what is not read: wanted row_attributes or title_attributes above 0, got "
            "row_attributes=0, title_attributes=0. Set row_attributes=40 too, or leave attribute_fields out",
            "title_attributes=3",
        ),
        ((*BARE, "history_encoder=gru"), "`history_encoder` does nothing without own_weights", "history_encoder=mean"),
        (
            ("two_tower_softmax", "title_buckets=40"),
            "`title_buckets` is no less than there are titles: wanted 2 to 39, .* got 40. Lower title_buckets",
            "title_buckets=39",
        ),
    ],
)
def test_a_setting_that_would_do_nothing_is_refused(asked, what, mended):
    with pytest.raises(SettingError, match=what):
        a_config(*asked)
    a_config(*asked, mended)  # the control


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        (("sampling=menu",), "`sampling` does not go with loss=full_softmax"),
        (("loss=sampled_softmax", "sampled_rows=120"), "`sampled_rows` is more than there are rows: wanted 1 to 119"),
        (("loss=in_batch_softmax", "label_smoothing=.1"), "`label_smoothing` does not go with loss=in_batch_softmax"),
        (("position_bias=additive",), "`position_bias` does not go with loss=full_softmax"),
        (("position_kept=true",), "`position_kept` keeps what is not learnt"),
        (
            ("loss=menu_softmax", "position_bias=additive", "propensities=em"),
            "`propensities` does not go with position_bias",
        ),
        (("viewer_taste=true",), "`viewer_taste` needs what rows are about"),
        (("row_network=4",), "`row_network` has nothing to read"),
        (("own_weights=false",), "`own_weights` leaves nothing that tells rows apart"),
    ],
)
def test_what_contradicts_itself_is_refused(asked, what):
    with pytest.raises(SettingError, match=what):
        a_config("two_tower_softmax", *asked)


def test_own_weights_and_what_was_shown_are_wanted_by_what_reads_them():
    with pytest.raises(SettingError, match="`own_weights` goes without .*, got factorisation, context. Add"):
        a_config("page_ranker", "own_weights=false")
    for asked in ("shown_attention=true", "row_memory=true", "context=[last_visit]"):
        a_config("two_tower_softmax", asked)
        with pytest.raises(
            SettingError, match=r"needs what was shown before: .* Run `pagerec prepare shown_length=100`"
        ):
            a_config("two_tower_softmax", asked, shown_length=0)


def test_a_saved_model_of_which_a_setting_did_nothing_is_still_one():
    assert ModelConfig("two_tower_softmax", 40, 12, sampling="clicks", cross_rank=3, attribute_fields=("genre",))


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_every_default_is_a_model(name):
    assert a_config(name).name == name
    assert model_config(name, ModelSettings(), **SIZES).loss == "full_softmax"


BENCHMARKS = {
    **CASES,
    **{f"{name}, few page views": case for name, case in OTHERS.items()},
    **{f"RankLens, {name}": ("page_ranker", *TRAINED, *part) for name, part in {"whole": (), **PARTS}.items()},
    **{
        f"{effect.name}, {option}": ("single_tower_softmax", *OF_EFFECTS, *effect.without, *option)
        for effect in EFFECTS
        for option in ((), effect.option)
    },
}


@pytest.mark.parametrize("case", BENCHMARKS)
def test_every_benchmark_s_settings_are_a_model(case):
    assert a_config(*BENCHMARKS[case]).name in MODEL_NAMES
