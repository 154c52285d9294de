"""What is left to look for in a model, and whether any of it can be trained."""

import dataclasses
import itertools
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from pagerec_dbx.config import ModelSettings
from pagerec_dbx.errors import SettingError, UsageError
from pagerec_dbx.models.config import model_config
from pagerec_dbx.models.names import LEGACY_BINARY, SEARCH_SPACES, Range, Space, require_model_name

T = TypeVar("T")
_SIZES = ("embedding_size", "hidden_sizes", "attribute_tokens")  # which go with everything
# Of data that every setting goes with: what contradicts the data itself is refused before the first trial.
_ANY_DATA = {"title_count": 2**31, "row_count": 2**31, "shown_length": 1}


def search_space(model_name: str, given: Collection[str] = (), model: ModelSettings | None = None) -> Space:
    """The settings of a model that are to be looked for.

    Args:
        given: names of settings that somebody asked for; they stay as they are.
        model: all settings, those given among them; what does nothing beside these is not looked for.

    Raises:
        UnknownModelError: no model has that name.
        UsageError: it is not to be tuned, or every setting of its space is given.
    """
    space = SEARCH_SPACES.get(require_model_name(model_name))
    if space is None:
        designed = model_name == LEGACY_BINARY
        raise UsageError(
            f"model `{model_name}` "
            + ("stays as it was designed and is not tuned" if designed else "has no search space"),
            wanted="one of " + ", ".join(SEARCH_SPACES),
            fix="Tune two_tower_binary, which is the same network" if designed else "Give it one in SEARCH_SPACES",
        )
    left: Space = {name: values for name, values in space.items() if name not in given}
    if model:
        left = _with_effect(_possible(left, model_name, model), model)
    if not left:
        raise UsageError(
            f"nothing of model `{model_name}` is left to tune",
            wanted="one of these not given: " + ", ".join(space),
            fix="Leave one out, or run `pagerec train` with these settings",
        )
    return left


def _possible(space: Space, model_name: str, model: ModelSettings) -> Space:
    """Without the choices that contradict what is given, whatever the others are; all of them where nothing goes."""
    of_model = {field.name for field in dataclasses.fields(ModelSettings)} - {*_SIZES}
    choices = {name: values for name, values in space.items() if name in of_model and isinstance(values, tuple)}
    kept: dict[str, list] = {name: [] for name in choices}
    for chosen in itertools.product(*choices.values()):
        others = dict(zip(choices, chosen, strict=True))
        if _is_refused(model_name, dataclasses.replace(model, **others)):
            continue
        for name, value in others.items():
            if value not in kept[name]:
                kept[name].append(value)
    return {**space, **{name: tuple(one for one in choices[name] if one in kept[name]) for name in kept if kept[name]}}


def _is_refused(model_name: str, model: ModelSettings) -> bool:
    try:
        model_config(model_name, model, **_ANY_DATA)
    except SettingError:
        return True
    return False


def _with_effect(space: Space, model: ModelSettings) -> Space:
    """Without what would do nothing beside other settings, and without a choice of one that stands already."""
    idle = {name for name, values in space.items() if values == (getattr(model, name, None),)}
    if not (model.row_attributes or model.title_attributes):
        idle |= {"attribute_tokens"}
    if not model.own_weights:
        idle |= {"history_encoder", "context", "cross_layers", "hidden_sizes", "embedding_size"}
        if not model.row_network and "row_network" not in space.keys() - idle:
            idle |= {"dropout"}
    return {name: values for name, values in space.items() if name not in idle}


def first_possible(space: Space, build: Callable[[Mapping[str, Any]], T]) -> T:
    """What is built of the first combination of choices that can be, the low ends of ranges with them.

    Args:
        build: takes a value of each setting of the space; raises SettingError where they contradict each other or
            others that are given.

    Raises:
        SettingError: there is a contradiction in every combination; the first one.
    """
    choices = [[values.low] if isinstance(values, Range) else values for values in space.values()]
    first: SettingError | None = None
    for chosen in itertools.product(*choices):
        try:
            return build(dict(zip(space, chosen, strict=True)))
        except SettingError as error:
            first = first or error
    raise first  # a product has one combination at least
