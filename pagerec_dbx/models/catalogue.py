"""What is known of rows and titles beside the page views of a batch: their attributes, and how rows fared before.

It is learnt from tables before the first step, never trained, and saved with the weights.
"""

import dataclasses
import io
import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

from pagerec_dbx.errors import TrainingError
from pagerec_dbx.home import write_atomically
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.names import MOMENTS

_RARE = 30  # rows that share an attribute, and it says all that it can


@dataclasses.dataclass(frozen=True)
class Knowledge:
    """The arrays of a catalogue; `stages.knowledge` makes them."""

    row_tokens: np.ndarray  # [rows, row_attributes] int32 ids of attributes, 0 is padding
    title_tokens: np.ndarray  # [titles, title_attributes] int32
    is_new: np.ndarray  # [rows] int32, 1 for a row that no record of training offers
    moments: np.ndarray  # [MOMENTS] int32 seconds since 1970, rising
    common_rate: np.ndarray  # [MOMENTS + 2] clicks of all rows for each time that one was offered
    clicks: np.ndarray  # [rows, MOMENTS + 2] before each moment: see `features.row_counts`
    impressions: np.ndarray  # [rows, MOMENTS + 2] times offered

    def rarity(self, tokens: int) -> np.ndarray:
        """[tokens] float32: 1 of an attribute of at most 30 rows; less, by the root, the more rows have it."""
        counts = np.bincount(self.row_tokens.ravel(), minlength=tokens)
        return np.sqrt(_RARE / np.maximum(counts, _RARE)).astype(np.float32)

    def save(self, file: Path) -> None:
        """Write the arrays; the file appears whole or not at all."""
        file.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()  # a Databricks volume takes no random writes, which zip needs
        np.savez(buffer, **dataclasses.asdict(self))
        write_atomically(file, buffer.getvalue())


def load_knowledge(file: Path) -> Knowledge:
    """The arrays of a run.

    Raises:
        TrainingError: they are not there, or are others.
    """
    try:
        with np.load(file, allow_pickle=False) as saved:
            return Knowledge(**{name: saved[name] for name in saved.files})
    except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise TrainingError(
            "what is known of rows and titles cannot be read", got=f"{file}: {type(error).__name__}", fix="Train anew"
        ) from error


class Catalogue(tf_keras.layers.Layer):
    """The arrays of `Knowledge` that a configuration asks for, as weights that are not trained."""

    def __init__(self, config: ModelConfig):
        super().__init__(name="catalogue", autocast=False)
        rows, moments, self._token_count = config.row_count, MOMENTS + 2, config.attribute_tokens
        shapes: dict[str, tuple[list[int], tf.DType]] = {}
        if config.row_attributes:
            shapes |= {"row_tokens": ([rows, config.row_attributes], tf.int32), "is_new": ([rows], tf.int32)}
        if config.viewer_taste:
            shapes["rarity"] = ([config.attribute_tokens], tf.float32)
        if config.title_attributes:
            shapes["title_tokens"] = ([config.title_count, config.title_attributes], tf.int32)
        if config.row_rates:
            shapes |= {"moments": ([MOMENTS], tf.int32), "common_rate": ([moments], tf.float32)}
            shapes |= dict.fromkeys(("clicks", "impressions"), ([rows, moments], tf.float32))
        self._weights_by_name = {
            name: self.add_weight(
                name, shape=shape, dtype=kind, initializer="zeros", trainable=False, experimental_autocast=False
            )
            for name, (shape, kind) in shapes.items()
        }

    def learn(self, knowledge: Knowledge) -> None:
        """Take the arrays, before the first step."""
        known = {**vars(knowledge), "rarity": knowledge.rarity(self._token_count)}
        for name, weight in self._weights_by_name.items():
            weight.assign(known[name])

    def warm(self, rows: tf.Tensor) -> tf.Tensor:
        """The ids by whose own weights rows are known: unknown (1) for one that training never saw.

        Without attributes a row is known by its own, whatever it was trained with.
        """
        if "is_new" not in self._weights_by_name:
            return rows
        return tf.where(tf.gather(self._weights_by_name["is_new"], rows) > 0, tf.ones_like(rows), rows)

    def of_seen(self, scores: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """What rows' own weights say, [batch, n] of rows [batch, n] or [n], 0 of those that training never saw: what
        stands at their ids was never trained."""
        if "is_new" not in self._weights_by_name:
            return scores
        return scores * tf.cast(1 - tf.gather(self._weights_by_name["is_new"], rows), scores.dtype)

    def tokens(self, rows: tf.Tensor) -> tf.Tensor:
        """int32 ids of rows of any shape -> [..., row_attributes] int32."""
        return tf.gather(self._weights_by_name["row_tokens"], rows)

    def rarity(self, tokens: tf.Tensor) -> tf.Tensor:
        """int32 ids of attributes of any shape -> float32: 1 for one of at most 30 rows, less the more rows have it."""
        return tf.gather(self._weights_by_name["rarity"], tokens)

    def title_tokens(self, titles: tf.Tensor) -> tf.Tensor:
        """int32 ids of titles of any shape -> [..., title_attributes] int32."""
        return tf.gather(self._weights_by_name["title_tokens"], titles)

    def moment(self, record: dict[str, tf.Tensor]) -> tf.Tensor:
        """[batch] int32: how many moments had passed when the page was served; a page to be ranked comes after all."""
        if "served_at" not in record:
            return tf.fill([tf.shape(record["menu"])[0]], MOMENTS + 1)
        moments = tf.broadcast_to(self._weights_by_name["moments"], [tf.shape(record["menu"])[0], MOMENTS])
        return tf.searchsorted(moments, record["served_at"][:, None], side="right")[:, 0]

    def counts(self, rows: tf.Tensor, moment: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """[batch, n] float32 each, of rows [batch, n], or [n] for all alike: clicks and times offered, as they were
        known at each page view."""
        return self._at("clicks", rows, moment), self._at("impressions", rows, moment)

    def common_rate(self, moment: tf.Tensor) -> tf.Tensor:
        """[batch] float32: that of all rows, as it was known."""
        return tf.gather(self._weights_by_name["common_rate"], moment)

    def _at(self, name: str, rows: tf.Tensor, moment: tf.Tensor) -> tf.Tensor:
        offered = tf.broadcast_to(rows, [tf.shape(moment)[0], tf.shape(rows)[-1]])
        return tf.gather_nd(self._weights_by_name[name], tf.stack([offered, _spread(moment, offered)], axis=2))


def _spread(moment: tf.Tensor, offered: tf.Tensor) -> tf.Tensor:
    return tf.broadcast_to(moment[:, None], tf.shape(offered))
