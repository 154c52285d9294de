"""The models and what they can be trained for, readable without TensorFlow so that a wrong name is refused at once."""

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

from pagerec_dbx.errors import UnknownModelError

LEGACY_BINARY, PAGE_RANKER = "legacy_binary", "page_ranker"
MODEL_NAMES = ("two_tower_softmax", "single_tower_softmax", "two_tower_binary", PAGE_RANKER, LEGACY_BINARY)

FULL_SOFTMAX, MENU_SOFTMAX, SAMPLED_SOFTMAX = "full_softmax", "menu_softmax", "sampled_softmax"
IN_BATCH_SOFTMAX, BINARY = "in_batch_softmax", "binary"
MEAN, RECENCY, GRU, ATTENTION = "mean", "recency", "gru", "attention"  # encoders of the history
ADDITIVE, EXAMINATION = "additive", "examination"  # forms of the position bias
MOMENTS = 100  # at which rows' counts are kept, with as many page views between two of them

# Settings that a model was designed with, where they differ from everybody's; what a user sets goes before them.
MODEL_SETTINGS: Mapping[str, Mapping[str, object]] = {
    "two_tower_binary": {"loss": BINARY, "hidden_sizes": (128, 64)},
    PAGE_RANKER: {
        "loss": MENU_SOFTMAX,
        "hidden_sizes": (64,),
        "embedding_size": 32,
        "dropout": 0.2,
        "l2": 1e-4,
        "history_encoder": RECENCY,
        "context": ("hour", "weekday", "device"),
        "factorisation": True,
        "row_memory": True,
        "row_attributes": 40,
        "row_rates": True,
        "viewer_taste": True,
    },  # fmt: skip
    LEGACY_BINARY: {"loss": BINARY, "embedding_size": 100, "hidden_sizes": (128, 64), "dropout": 0.2, "epochs": 40},
}


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers between two, both of them included; four digits of each are tried."""

    low: float
    high: float
    log: bool = False  # each power of ten is as likely as the next one


Space = Mapping[str, Range | tuple[Any, ...]]  # setting -> its range, or its choices

_EVERY_MODEL: Space = {
    "learning_rate": Range(1e-4, 1e-2, log=True),
    "batch_size": (256, 512, 1_024, 2_048),
    "embedding_size": (16, 32, 64, 128),
    "dropout": Range(0.0, 0.5),
    "l2": Range(1e-8, 1e-3, log=True),
    "history_encoder": (MEAN, RECENCY, GRU, ATTENTION),
    "context": ((), ("hour", "weekday", "device"), ("hour", "weekday", "device", "location", "last_watched")),
    "cross_layers": (0, 1, 2),
}
_SOFTMAX: Space = {
    "hidden_sizes": ((64,), (128, 64), (256, 128, 64)),
    "loss": (FULL_SOFTMAX, MENU_SOFTMAX),
    "label_smoothing": (0.0, 0.05, 0.1),
}
# What `tune` looks for in each model; a setting that is given is no longer looked for. The legacy stays as it was
# designed: a tuned one would be another model, and that is `two_tower_binary`.
SEARCH_SPACES: Mapping[str, Space] = {
    "two_tower_softmax": {**_EVERY_MODEL, **_SOFTMAX},
    "single_tower_softmax": {**_EVERY_MODEL, **_SOFTMAX},
    "two_tower_binary": {
        **_EVERY_MODEL,
        "hidden_sizes": ((64,), (128, 64)),
        "sampling": ("uniform", "clicks", "menu"),
    },
    PAGE_RANKER: {
        **_EVERY_MODEL,
        "hidden_sizes": ((32,), (64,), (128, 64)),
        "attribute_tokens": (300, 1_000, 3_000),
        "row_network": (0, 16, 32),
    },
}


def require_model_name(name: str) -> str:
    """The name, if a model has it.

    Raises:
        UnknownModelError: no model has it.
    """
    if name not in MODEL_NAMES:
        close = difflib.get_close_matches(name, MODEL_NAMES, n=1)
        raise UnknownModelError(
            f"unknown model `{name}`",
            wanted="one of " + ", ".join(MODEL_NAMES),
            got=repr(name),
            fix=f"Write --model {close[0]}, perhaps" if close else "Choose one with --model",
        )
    return name
