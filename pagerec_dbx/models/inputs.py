"""What every model reads: the fixed-length record as tensors, and the Keras that all of them need."""

import importlib.util
import os

from pagerec_dbx.errors import KerasError
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.schemas import SHOWN


def require_legacy_keras() -> None:
    """Refuse to go on under Keras 3, for which TensorFlow Recommenders and the optimizers used here are not made.

    Raises:
        KerasError: `tf.keras` is Keras 3, or tf-keras is not installed.
    """
    if importlib.util.find_spec("tf_keras") is None:
        raise KerasError("tf-keras is not installed", wanted="tf-keras 2.16", fix="Install it beside TensorFlow")
    import tensorflow as tf
    import tf_keras

    if tf.keras.layers.Layer is not tf_keras.layers.Layer:
        raise KerasError(
            "TensorFlow uses Keras 3",
            wanted="tf-keras 2 (TF_USE_LEGACY_KERAS=1)",
            got=f"TF_USE_LEGACY_KERAS={os.environ.get('TF_USE_LEGACY_KERAS', 'unset')}",
            fix="Set TF_USE_LEGACY_KERAS=1 before TensorFlow is imported, on every worker too",
        )


require_legacy_keras()

import tensorflow as tf  # noqa: E402

tf.get_logger().setLevel("ERROR")  # Keras warns about every subclassed model it saves

UNKNOWN = 1  # the id of every token that a vocabulary lacks; 0 is padding


def known_ids(ids: tf.Tensor, size: int) -> tf.Tensor:
    """Ids at or past a vocabulary's size read as 1 (unknown), so that an older model can read a newer vocabulary's ids.

    Args:
        ids: int32 of any shape.
        size: entries of the vocabulary that the model was trained with, padding and unknown included.
    """
    return tf.where(ids < size, ids, UNKNOWN * tf.ones_like(ids))


def record_specs(config: ModelConfig) -> dict[str, tf.TensorSpec]:
    """The fields that a ranker scores from, int32: [batch, length] for lists, [batch] for single numbers, all open.

    Only a ranker with a `shown_length` reads what was shown before, and only one with `pinned` in its context the pins.
    """
    pins = ("pinned",) if "pinned" in config.context else ()
    lists = ("history", "history_age", "menu", *pins, *(SHOWN if config.shown_length else ()))
    specs = {name: tf.TensorSpec([None, None], tf.int32) for name in lists}
    return specs | {name: tf.TensorSpec([None], tf.int32) for name in ("hour", "weekday", "device", "location")}
