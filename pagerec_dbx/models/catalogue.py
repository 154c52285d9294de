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

MOST_FIELDS = 64  # of attributes that are told apart; all others count as the last of them
_RARE = 30  # rows that share an attribute, and it says all that it can


@dataclasses.dataclass(frozen=True)
class Knowledge:
    """The arrays of a catalogue; `stages.knowledge` makes them."""

    row_tokens: np.ndarray  # [rows, row_attributes] int32 ids of attributes, 0 is padding
    title_tokens: np.ndarray  # [titles, title_attributes] int32
    token_fields: np.ndarray  # [attributes] int32: of which field each is, from 0; -1 for the tenth of a number
    is_new: np.ndarray  # [rows] int32, 1 for a row that no record of training offers
    moments: np.ndarray  # [MOMENTS] int32 seconds since 1970, rising
    common_rate: np.ndarray  # [MOMENTS + 2] clicks of all rows for each time that one was offered
    clicks: np.ndarray  # [rows, MOMENTS + 2] before each moment: see `features.row_counts`
    impressions: np.ndarray  # [rows, MOMENTS + 2] times offered
    # [rows, MOMENTS + 2, 2] when offered and when clicked, from 0; hours since the last offer and the last click. Both
    # -1 where it never was. A run that began before they were counted asks for none.
    mean_places: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0, 2)))
    hours_since: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0, 2)))

    def commonness(self) -> np.ndarray:
        """[attributes] float32: the root of ten times the share of rows that have it; at least that of a hundredth."""
        having = np.bincount(self.row_tokens.ravel(), minlength=len(self.token_fields)) / len(self.row_tokens)
        return np.sqrt(10 * np.maximum(having, 0.01)).astype(np.float32)

    def fields(self) -> np.ndarray:
        """[rows, row_attributes] int32: of which field each attribute of a row is; 0 for the tenth of a number."""
        return np.clip(self.token_fields[self.row_tokens], 0, MOST_FIELDS - 1).astype(np.int32)

    def likeness(self) -> np.ndarray:
        """[rows, row_attributes] float32: what an attribute says of how alike two rows are. 1 if at most 30 rows have
        it, less, by the root, the more have it; over the root of how many of the same field the row has. 0 at padding,
        and of the tenth of a number: rows of the same year are hardly liked by the same viewers.
        """
        counts = np.bincount(self.row_tokens.ravel(), minlength=len(self.token_fields))
        rarity, fields = np.sqrt(_RARE / np.maximum(counts, _RARE)), self.fields()
        real = (self.row_tokens > 0) & (self.token_fields[self.row_tokens] >= 0)
        of_field = np.zeros((len(fields), MOST_FIELDS))
        np.add.at(of_field, (np.arange(len(fields))[:, None], fields), real)
        roots = np.sqrt(np.maximum(np.take_along_axis(of_field, fields, axis=1), 1.0))
        return (real * rarity[self.row_tokens] / roots).astype(np.float32)

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
        rows, moments = config.row_count, MOMENTS + 2
        shapes: dict[str, tuple[list[int], tf.DType]] = {}
        if config.row_attributes:
            shapes |= {"row_tokens": ([rows, config.row_attributes], tf.int32), "is_new": ([rows], tf.int32)}
            shapes["commonness"] = ([config.attribute_tokens], tf.float32)
        if config.viewer_taste:
            of_rows = [rows, config.row_attributes]
            shapes |= {"likeness": (of_rows, tf.float32), "fields": (of_rows, tf.int32)}
        if config.title_attributes:
            shapes["title_tokens"] = ([config.title_count, config.title_attributes], tf.int32)
        if config.row_rates:
            shapes |= {"moments": ([MOMENTS], tf.int32), "common_rate": ([moments], tf.float32)}
            shapes |= dict.fromkeys(("clicks", "impressions"), ([rows, moments], tf.float32))
        if config.row_counts:
            shapes |= dict.fromkeys(("mean_places", "hours_since"), ([rows, moments, 2], tf.float32))
        self._weights_by_name = {
            name: self.add_weight(
                name, shape=shape, dtype=kind, initializer="zeros", trainable=False, experimental_autocast=False
            )
            for name, (shape, kind) in shapes.items()
        }

    def learn(self, knowledge: Knowledge) -> None:
        """Take the arrays, before the first step."""
        derived = {name: getattr(knowledge, name) for name in ("commonness", "likeness", "fields")}
        for name, weight in self._weights_by_name.items():
            weight.assign(derived[name]() if name in derived else getattr(knowledge, name))

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

    def commonness(self, tokens: tf.Tensor) -> tf.Tensor:
        """int32 ids of attributes of any shape -> float32: see `Knowledge.commonness`."""
        return tf.gather(self._weights_by_name["commonness"], tokens)

    def likeness(self, rows: tf.Tensor) -> tf.Tensor:
        """int32 ids of rows of any shape -> [..., row_attributes] float32: see `Knowledge.likeness`."""
        return tf.gather(self._weights_by_name["likeness"], rows)

    def fields(self, rows: tf.Tensor) -> tf.Tensor:
        """int32 ids of rows of any shape -> [..., row_attributes] int32: the field of each attribute."""
        return tf.gather(self._weights_by_name["fields"], rows)

    def likeness_of_all(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """[rows, row_attributes] each: what each attribute says, its id, and its field."""
        return tuple(self._weights_by_name[name].numpy() for name in ("likeness", "row_tokens", "fields"))

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

    def places_and_times(self, rows: tf.Tensor, moment: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """[batch, n, 2] float32 each: mean places when offered and when clicked, and hours since; -1 of never."""
        return self._at("mean_places", rows, moment), self._at("hours_since", rows, moment)

    def common_rate(self, moment: tf.Tensor) -> tf.Tensor:
        """[batch] float32: that of all rows, as it was known."""
        return tf.gather(self._weights_by_name["common_rate"], moment)

    def _at(self, name: str, rows: tf.Tensor, moment: tf.Tensor) -> tf.Tensor:
        offered = tf.broadcast_to(rows, [tf.shape(moment)[0], tf.shape(rows)[-1]])
        return tf.gather_nd(self._weights_by_name[name], tf.stack([offered, _spread(moment, offered)], axis=2))


def _spread(moment: tf.Tensor, offered: tf.Tensor) -> tf.Tensor:
    return tf.broadcast_to(moment[:, None], tf.shape(offered))
