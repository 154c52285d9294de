"""A model's name to the model, built and with weights."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tf_keras

from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.inputs import record_specs, require_legacy_keras
from pagerec_dbx.models.names import LEGACY_BINARY, PAGE_RANKER, require_model_name
from pagerec_dbx.models.page_ranker import PageRanker
from pagerec_dbx.models.row_ranker import RowRanker
from pagerec_dbx.models.single_tower_softmax import SingleTowerSoftmax
from pagerec_dbx.models.two_tower_binary import TwoTowerBinary
from pagerec_dbx.models.two_tower_softmax import TwoTowerSoftmax
from pagerec_dbx.schemas import SHOWN

_MODELS: dict[str, Callable[[ModelConfig], RowRanker]] = {
    "two_tower_softmax": TwoTowerSoftmax,
    "single_tower_softmax": SingleTowerSoftmax,
    "two_tower_binary": TwoTowerBinary,
    PAGE_RANKER: PageRanker,
    LEGACY_BINARY: TwoTowerBinary,
}


def build(config: ModelConfig, seed: int, precision: str = "float32") -> RowRanker:
    """A model with seeded initial weights; the same seed gives the same weights in every process.

    Args:
        precision: float32, or bfloat16 for what is computed between weights and logits, which stay float32.

    Raises:
        UnknownModelError: no model has that name.
        KerasError: Keras 3 is in use.
    """
    require_legacy_keras()
    require_model_name(config.name)
    tf_keras.utils.set_random_seed(seed)
    others = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy("float32" if precision == "float32" else f"mixed_{precision}")
    try:
        model = _MODELS[config.name](config)
        model(one_record(config))  # makes the variables
    finally:
        tf_keras.mixed_precision.set_global_policy(others)
    return model


def one_record(config: ModelConfig) -> dict[str, tf.Tensor]:
    """A record of unknown ids, batch of one."""
    lengths = {"history": config.history_length, "history_age": config.history_length, "menu": 1, "pinned": 1}
    lengths |= dict.fromkeys(SHOWN, config.shown_length)
    return {name: tf.ones([1, lengths[name]] if name in lengths else [1], tf.int32) for name in record_specs(config)}


def parameter_count(model) -> int:
    """Trainable numbers of a model."""
    return int(sum(np.prod(variable.shape) for variable in model.trainable_variables))
