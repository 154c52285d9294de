"""What is known of a page view before any row is looked at: the history and, if wished, its circumstances."""

from collections.abc import Callable, Mapping

import tensorflow as tf
import tf_keras

from pagerec_dbx.models.attributes import TitleAttributes
from pagerec_dbx.models.catalogue import Catalogue
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.embeddings import Embeddings
from pagerec_dbx.models.history import history_encoder
from pagerec_dbx.models.inputs import known_ids
from pagerec_dbx.schemas import SHOWN

_MOST_PINNED = 10


def _of_clock(name: str) -> Callable[[dict[str, tf.Tensor]], tf.Tensor]:
    return lambda record: record[name] + 1  # -1 is unknown


def _menu_size(record: dict[str, tf.Tensor]) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(record["menu"] > 0, tf.int32), axis=1)


def _pinned(record: dict[str, tf.Tensor]) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(record["pinned"] > 0, tf.int32), axis=1)


def _last_watched(record: dict[str, tf.Tensor]) -> tf.Tensor:
    """Doublings of a minute since the last title; 0 where it is not known, or nothing was watched."""
    count = tf.reduce_sum(tf.cast(record["history"] > 0, tf.int32), axis=1)
    return _doublings(tf.gather(record["history_age"], tf.maximum(count - 1, 0), batch_dims=1))


def _last_visit(record: dict[str, tf.Tensor]) -> tf.Tensor:
    """Doublings of a minute since the page view before; 0 where there was none."""
    return _doublings(record["shown_age"][:, 0])


def _doublings(seconds: tf.Tensor) -> tf.Tensor:
    doublings = tf.math.log1p(tf.cast(seconds, tf.float32) / 60.0) / tf.math.log(2.0)
    return tf.where(seconds > 0, 1 + tf.minimum(tf.cast(doublings, tf.int32), _DOUBLINGS), 0)


_DOUBLINGS = 20  # of a minute: two years
_IDS: Mapping[str, Callable[[dict[str, tf.Tensor]], tf.Tensor]] = {
    "hour": _of_clock("hour"),
    "weekday": _of_clock("weekday"),
    "device": lambda record: record["device"],
    "location": lambda record: record["location"],
    "menu_size": _menu_size,
    "pinned": _pinned,
    "last_watched": _last_watched,
    "last_visit": _last_visit,
}
_COUNTS = ("menu_size", "pinned")  # past its table's end a count is its last entry


def _sizes(config: ModelConfig) -> Mapping[str, int]:
    return {
        "hour": 25, "weekday": 8, "device": config.device_count, "location": config.location_count,
        "menu_size": config.menu_length + 1, "pinned": _MOST_PINNED + 1,
        "last_watched": _DOUBLINGS + 2, "last_visit": _DOUBLINGS + 2,
    }  # fmt: skip


class Known(tf_keras.layers.Layer):
    """What the terms of `row_terms` read of a page view beside its fields."""

    def __init__(self, config: ModelConfig, catalogue: Catalogue):
        super().__init__(name="known")
        self._catalogue, self._row_count, self._has_rates = catalogue, config.row_count, config.row_rates
        self._has_shown = config.shown_attention or config.row_memory or config.viewer_taste

    def call(self, record: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """What was shown before and the page's `moment`, for terms that read them."""
        query = {name: record[name] for name in SHOWN} if self._has_shown else {}
        if self._has_shown:
            query["shown_row"] = known_ids(record["shown_row"], self._row_count)
        if self._has_rates:
            query["moment"] = self._catalogue.moment(record)
        return query


class Page(tf_keras.layers.Layer):
    """The fields of a page view as vectors of the embedding's size: the history, then each circumstance.

    Beside them what the terms of `row_terms` read.
    """

    def __init__(self, config: ModelConfig, catalogue: Catalogue):
        super().__init__(name="page")
        self._known = Known(config, catalogue)
        self.history = history_encoder(config)
        self._about = TitleAttributes(config, catalogue) if config.title_attributes else None
        self._has_titles, self._title_count = config.target_attention, config.title_count
        self._sizes = _sizes(config)
        self._context = {
            name: Embeddings(self._sizes[name], config.embedding_size, name=name) for name in config.context
        }

    def call(self, record: dict[str, tf.Tensor]) -> dict[str, tf.Tensor | list[tf.Tensor]]:
        """`fields`: [batch, embedding] each. For target attention also `titles`, [batch, length, embedding], and of the
        record `history` and `history_age`; and what `Known` gives."""
        ids, ages = record["history"], record["history_age"]
        circumstances = (table(self._id(name, record)) for name, table in self._context.items())
        about = [] if self._about is None else [self._about(known_ids(ids, self._title_count))]
        query: dict[str, tf.Tensor | list[tf.Tensor]] = {"fields": [self.history(ids, ages), *about, *circumstances]}
        if self._has_titles:
            query |= {"titles": self.history.titles(ids), "history": ids, "history_age": ages}
        return query | self._known(record)

    def _id(self, name: str, record: dict[str, tf.Tensor]) -> tf.Tensor:
        """[batch] int32: the entry of the circumstance's table."""
        number = _IDS[name](record)
        return tf.minimum(number, self._sizes[name] - 1) if name in _COUNTS else number
