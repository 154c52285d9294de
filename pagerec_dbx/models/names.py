"""The models and what they can be trained for, readable without TensorFlow so that a wrong name is refused at once."""

from collections.abc import Mapping

from pagerec_dbx.errors import UnknownModelError

LEGACY_BINARY = "legacy_binary"
MODEL_NAMES = ("two_tower_softmax", "single_tower_softmax", "two_tower_binary", LEGACY_BINARY)

FULL_SOFTMAX, MENU_SOFTMAX, SAMPLED_SOFTMAX = "full_softmax", "menu_softmax", "sampled_softmax"
IN_BATCH_SOFTMAX, BINARY = "in_batch_softmax", "binary"
MEAN, RECENCY, GRU, ATTENTION = "mean", "recency", "gru", "attention"  # encoders of the history
ADDITIVE, EXAMINATION = "additive", "examination"  # forms of the position bias

# Settings that a model was designed with, where they differ from everybody's; what a user sets goes before them.
MODEL_SETTINGS: Mapping[str, Mapping[str, object]] = {
    "two_tower_binary": {"loss": BINARY, "hidden_sizes": (128, 64)},
    LEGACY_BINARY: {"loss": BINARY, "embedding_size": 100, "hidden_sizes": (128, 64), "dropout": 0.2, "epochs": 40},
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
