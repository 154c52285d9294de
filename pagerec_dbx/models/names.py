"""The models there are, readable without TensorFlow so that a wrong name is refused at once."""

from collections.abc import Mapping

from pagerec_dbx.errors import UnknownModelError

LEGACY_BINARY = "legacy_binary"
MODEL_NAMES = ("two_tower_softmax", LEGACY_BINARY)

# Settings that a model was designed with, where they differ from everybody's; what a user sets goes before them.
MODEL_SETTINGS: Mapping[str, Mapping[str, object]] = {
    LEGACY_BINARY: {"embedding_size": 100, "hidden_sizes": (128, 64), "dropout": 0.2, "epochs": 40},
}


def require_model_name(name: str) -> str:
    """The name, if a model has it.

    Raises:
        UnknownModelError: no model has it.
    """
    if name not in MODEL_NAMES:
        raise UnknownModelError(
            f"unknown model `{name}`", wanted="one of " + ", ".join(MODEL_NAMES), fix="Choose one with --model"
        )
    return name
