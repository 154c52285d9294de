"""What `tune` looks for: every point of every model's space is a model, and what is given is not looked for."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagerec_dbx.config import ModelSettings, flat, load_settings, settings_from
from pagerec_dbx.errors import SettingError, UnknownModelError, UsageError
from pagerec_dbx.models.config import model_config
from pagerec_dbx.models.names import MODEL_NAMES, MODEL_SETTINGS, SEARCH_SPACES, Range
from pagerec_dbx.models.search import first_possible, search_space
from pagerec_dbx.training.study import as_overrides


def points(space):
    """Hypothesis draws settings of a space; ranges at their ends too, as Optuna may."""
    return st.fixed_dictionaries(
        {
            name: st.floats(values.low, values.high) if isinstance(values, Range) else st.sampled_from(values)
            for name, values in space.items()
        }
    )


@settings(max_examples=60, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(SEARCH_SPACES)))
def test_every_point_of_a_space_is_a_model(data, name):
    chosen = data.draw(points(SEARCH_SPACES[name]))
    made = settings_from(flat(load_settings(designed=MODEL_SETTINGS.get(name))) | chosen)
    config = model_config(name, made.model, title_count=40, row_count=12, shown_length=5)
    everything = flat(made)
    assert {setting: everything[setting] for setting in chosen} == chosen
    assert config.loss == chosen.get("loss", made.model.loss)


def test_what_would_do_nothing_is_not_looked_for():
    designed = settings_from(MODEL_SETTINGS["page_ranker"]).model
    assert {"row_network", "context"} < set(search_space("page_ranker", (), designed))
    without_rates = dataclasses.replace(designed, row_rates=False)
    left = set(search_space("page_ranker", ("row_rates",), designed)) - {"row_network"}
    assert set(search_space("page_ranker", ("row_rates",), without_rates)) == left
    bare = dataclasses.replace(designed, own_weights=False, factorisation=False, context=())
    sought = search_space("page_ranker", ("own_weights", "factorisation"), bare)
    assert set(sought) == {"learning_rate", "batch_size", "dropout", "l2", "attribute_tokens", "row_network"}


GIVEN = {
    "loss": ("full_softmax", "menu_softmax", "sampled_softmax", "in_batch_softmax", "binary"),
    "sampling": ("uniform", "log_uniform", "clicks", "menu"),
    "label_smoothing": (0.0, 0.1),
    "position_bias": (None, "additive"),
    "cross_layers": (0, 1),
    "cross_rank": (None, 3),
    "row_attributes": (0, 3),
    "title_attributes": (0, 2),
    "attribute_fields": ((), ("genre",)),
    "row_rates": (True, False),
    "viewer_taste": (True, False),
    "row_network": (0, 4),
    "own_weights": (True, False),
    "factorisation": (True, False),
    "context": ((), ("hour",)),
}


@settings(max_examples=150, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(SEARCH_SPACES)))
def test_whatever_is_given_each_trial_is_a_model_and_nothing_idle_is_looked_for(data, name):
    chosen = data.draw(st.fixed_dictionaries({}, optional={key: st.sampled_from(of) for key, of in GIVEN.items()}))
    model = settings_from(flat(load_settings(designed=MODEL_SETTINGS.get(name))) | chosen).model

    def made(others):
        of_model = {key: value for key, value in others.items() if hasattr(model, key)}
        return model_config(name, dataclasses.replace(model, **of_model), title_count=40, row_count=120, shown_length=5)

    space = search_space(name, chosen, model)
    try:
        first_possible({key: values for key, values in space.items() if hasattr(model, key)}, made)
    except SettingError:
        return  # refused before the first trial
    config = made(data.draw(points(space)))
    looks_for = set(space)
    assert not looks_for & set(chosen)
    assert "label_smoothing" not in looks_for or config.loss in ("full_softmax", "menu_softmax", "binary")
    assert "sampling" not in looks_for or config.loss in ("sampled_softmax", "binary")
    assert "attribute_tokens" not in looks_for or config.row_attributes or config.title_attributes
    assert "row_network" not in looks_for or config.row_rates
    if not config.own_weights:
        assert not looks_for & {"history_encoder", "context", "cross_layers", "hidden_sizes", "embedding_size"}
        assert "dropout" not in looks_for or config.row_network or "row_network" in looks_for


def test_what_goes_with_some_choices_leaves_the_others_out():
    def left(name, **asked):
        made = settings_from(flat(load_settings(designed=MODEL_SETTINGS.get(name))) | asked)
        return search_space(name, asked, made.model)

    assert "label_smoothing" in left("two_tower_softmax")
    for loss in ("sampled_softmax", "in_batch_softmax"):
        assert "label_smoothing" not in left("two_tower_softmax", loss=loss)
    assert left("two_tower_softmax", position_bias="additive")["loss"] == ("menu_softmax",)
    assert left("two_tower_softmax", cross_rank=3)["cross_layers"] == (1, 2)
    assert left("two_tower_binary", loss="sampled_softmax")["sampling"] == ("uniform", "clicks")
    assert "attribute_tokens" not in left("page_ranker", row_attributes=0, viewer_taste=False)
    bare = {"own_weights": False, "factorisation": False, "context": ()}
    assert "dropout" in left("page_ranker", **bare)
    assert "dropout" not in left("page_ranker", **bare, row_network=0)


@settings(max_examples=30, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(SEARCH_SPACES)))
def test_settings_are_shown_as_the_command_line_takes_them(data, name):
    chosen = data.draw(points(SEARCH_SPACES[name]))
    rounded = {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in chosen.items()}
    again = flat(load_settings(overrides=as_overrides(rounded).split()))
    assert {setting: again[setting] for setting in rounded} == rounded


def test_a_space_is_of_settings_that_its_model_s_training_knows():
    assert set(SEARCH_SPACES) <= set(MODEL_NAMES) - {"legacy_binary"}  # a model that is added need not be tuned
    known = set(flat(load_settings()))
    assert all(set(space) <= known for space in SEARCH_SPACES.values())


def test_what_is_given_is_not_looked_for():
    whole = search_space("two_tower_softmax")
    left = search_space("two_tower_softmax", {"loss", "epochs"})
    assert set(whole) - set(left) == {"loss"}


@pytest.mark.parametrize(
    ("name", "given_settings", "kind", "said"),
    [
        ("magic", (), UnknownModelError, "unknown model `magic`: .*, got 'magic'. Choose one with --model"),
        ("page_rankr", (), UnknownModelError, "got 'page_rankr'. Write --model page_ranker, perhaps"),
        ("legacy_binary", (), UsageError, "stays as it was designed and is not tuned: wanted one of two_tower_softmax"),
        ("two_tower_binary", tuple(SEARCH_SPACES["two_tower_binary"]), UsageError, "nothing of model .* is left"),
    ],
)
def test_what_cannot_be_tuned_is_refused(name, given_settings, kind, said):
    with pytest.raises(kind, match=said):
        search_space(name, given_settings)


def of_loss(loss, **others):
    return model_config("two_tower_softmax", ModelSettings(loss=loss, **others), title_count=40, row_count=12)


def test_settings_that_go_with_one_choice_are_possible_and_those_that_go_with_none_are_not():
    space = {"loss": ("full_softmax", "menu_softmax"), "dropout": Range(0.1, 0.5)}
    config = first_possible(space, lambda chosen: of_loss(position_bias="additive", **chosen))
    assert (config.loss, config.dropout) == ("menu_softmax", 0.1)
    with pytest.raises(SettingError, match="`position_bias` does not go with loss=full_softmax"):
        first_possible({"loss": space["loss"][:1]}, lambda chosen: of_loss(position_bias="additive", **chosen))
