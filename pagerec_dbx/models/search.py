"""What is left to look for in a model, and whether any of it can be trained."""

import itertools
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from pagerec_dbx.config import ModelSettings
from pagerec_dbx.errors import SettingError, UsageError
from pagerec_dbx.models.names import SEARCH_SPACES, Range, Space, require_model_name

T = TypeVar("T")


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
        raise UsageError(
            f"model `{model_name}` stays as it was designed and is not tuned",
            wanted="one of " + ", ".join(SEARCH_SPACES),
            fix="Tune two_tower_binary, which is the same network",
        )
    fixed = {*given, *(_without_effect(model) if model else ())}
    left = {name: values for name, values in space.items() if name not in fixed}
    if not left:
        raise UsageError(
            f"nothing of model `{model_name}` is left to tune",
            wanted="one of these not given: " + ", ".join(space),
            fix="Leave one out, or run `pagerec train` with these settings",
        )
    return left


def _without_effect(model: ModelSettings) -> set[str]:
    """What would be refused beside other settings, or do nothing."""
    names = set() if model.row_rates else {"row_network"}
    if not model.own_weights:
        names |= {"history_encoder", "context", "cross_layers", "hidden_sizes", "embedding_size"}
    return names


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
