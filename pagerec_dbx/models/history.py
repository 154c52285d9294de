"""Encoders of what was watched: ids and ages of titles, oldest first, to one vector a page view; chosen by name.

Ages are seconds before the page view, 0 where they are not known; padding (0) stands at the end.
"""

from collections.abc import Callable, Mapping

import tensorflow as tf
import tf_keras

from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.embeddings import Embeddings
from pagerec_dbx.models.names import ATTENTION, GRU, MEAN, RECENCY

DAY = 86_400.0  # seconds
_UNKNOWN_GAP, _FARTHEST = 16, 19  # bucket of a gap that is not known; distance from which on all are alike
_ONE_DAY_S_LOGARITHM = 11.4  # of its seconds: ages are seen as logarithms of about 1


class HistoryEncoder(tf_keras.layers.Layer):
    """Titles' vectors, and one vector of them all."""

    def __init__(self, config: ModelConfig):
        super().__init__(name="history")
        self.titles = Embeddings(config.title_count, config.embedding_size, name="titles", buckets=config.title_buckets)

    def call(self, ids: tf.Tensor, ages: tf.Tensor) -> tf.Tensor:
        """[batch, length] int32 twice -> [batch, embedding]; zeros where nothing was watched."""
        raise NotImplementedError


class Mean(HistoryEncoder):
    """All titles alike."""

    def call(self, ids, ages):
        return self.titles.mean(ids)


class RecencyMean(HistoryEncoder):
    """Titles weigh by how many came after them and by how long ago they were watched; by how much is learnt."""

    def __init__(self, config: ModelConfig):
        super().__init__(config)
        self.recency = Recency()

    def call(self, ids, ages):
        return self.titles.mean(ids, softmax(self.recency(ids, ages), axis=1) * tf.cast(ids > 0, tf.float32))


def softmax(scores: tf.Tensor, axis: int) -> tf.Tensor:
    """Scores of any shape to shares that add up to 1 along an axis.

    As tf.nn.softmax, whose shape a loaded model does not know: TensorFlow's planner would say so on the terminal.
    """
    return tf.exp(tf.nn.log_softmax(scores, axis=axis))


class Recency(tf_keras.layers.Layer):
    """The logarithm of what a title weighs for its order and age: three numbers that are learnt.

    Two where every age is known. They begin at 0, where all titles weigh alike: so it costs nothing where order and age
    say nothing.
    """

    def __init__(self, ages_known: bool = False):
        super().__init__(name="recency")
        number = {"shape": [], "initializer": "zeros", "experimental_autocast": False}
        self._by_order, self._by_day = self.add_weight("by_order", **number), self.add_weight("by_day", **number)
        self._without_age = 0.0 if ages_known else self.add_weight("without_age", **number)

    def call(self, ids: tf.Tensor, ages: tf.Tensor) -> tf.Tensor:
        """[batch, length] int32 twice -> [batch, length] float32; very low where there is padding."""
        real = tf.cast(ids > 0, tf.float32)
        after = tf.cumsum(real, axis=1, reverse=True, exclusive=True)
        days = tf.cast(ages, tf.float32) / DAY
        by_age = tf.where(ages > 0, -self._by_day * days, self._without_age)
        return tf.where(ids > 0, by_age - self._by_order * after, -1e9)


class Recurrent(HistoryEncoder):
    """A gated recurrent unit over titles and the time since the one before (Hidasi et al. 2016); its last state.

    How long ago the last title was watched it does not see; `context=[last_watched]` says that.
    """

    def __init__(self, config: ModelConfig):
        super().__init__(config)
        self._unit = tf_keras.layers.GRU(config.embedding_size, return_sequences=True)

    def call(self, ids, ages):
        return last_state(self.states(ids, ages), ids)

    def states(self, ids, ages):
        """[batch, length, embedding]: after each title; those of padding mean nothing."""
        earlier, later = ages[:, :-1], ages[:, 1:]
        known = tf.logical_and(earlier > 0, later > 0)
        since = tf.where(known, tf.math.log1p(tf.cast(tf.maximum(earlier - later, 0), tf.float32)), 0.0)
        times = tf.stack([since / _ONE_DAY_S_LOGARITHM, tf.cast(known, tf.float32)], axis=2)
        before = tf.pad(times, [[0, 0], [1, 0], [0, 0]])  # of the first title nothing came before
        vectors = self.titles(ids)
        return self._unit(tf.concat([vectors, tf.cast(before, vectors.dtype)], axis=2), mask=ids > 0)


class SelfAttention(HistoryEncoder):
    """One block of causal self-attention (Kang and McAuley 2018) that sees how far apart two titles are in order and
    time (Li et al. 2020); its last state."""

    def __init__(self, config: ModelConfig):
        super().__init__(config)
        size = config.embedding_size
        self._query, self._key, self._value, self._inner, self._outer = (
            tf_keras.layers.Dense(size, name=name, activation="relu" if name == "inner" else None)
            for name in ("query", "key", "value", "inner", "outer")
        )
        self._norms = [tf_keras.layers.LayerNormalization() for _ in range(2)]
        self._by_distance = self.add_weight(
            "by_distance", shape=[_FARTHEST + 1], initializer="zeros", experimental_autocast=False
        )
        self._by_gap = self.add_weight(
            "by_gap", shape=[_UNKNOWN_GAP + 1], initializer="zeros", experimental_autocast=False
        )
        self._scale = size**-0.5

    def call(self, ids, ages):
        return last_state(self.states(ids, ages), ids)

    def states(self, ids, ages):
        """[batch, length, embedding]: after each title; those of padding mean nothing."""
        vectors = self.titles(ids)  # [batch, length, embedding]
        scores = tf.matmul(self._query(vectors), self._key(vectors), transpose_b=True) * self._scale
        scores = tf.cast(scores, tf.float32) + self._bias(ages)  # [batch, to, from]
        places = tf.range(tf.shape(ids)[1])
        seen = tf.logical_and((places[None, :] <= places[:, None])[None], (ids > 0)[:, None, :])
        weights = softmax(tf.where(seen, scores, -1e9), axis=2)
        mixed = tf.matmul(tf.cast(weights, vectors.dtype), self._value(vectors))
        states = self._norms[0](vectors + mixed)
        return self._norms[1](states + self._outer(self._inner(states)))

    def _bias(self, ages: tf.Tensor) -> tf.Tensor:
        """[batch, to, from] of order and time between two titles."""
        places = tf.range(tf.shape(ages)[1])
        distance = tf.clip_by_value(places[:, None] - places[None, :], 0, _FARTHEST)
        gaps = tf.maximum(ages[:, None, :] - ages[:, :, None], 0)  # seconds from the earlier title to the later one
        bucket = tf.math.log1p(tf.cast(gaps, tf.float32) / 60.0) / tf.math.log(2.0)  # doublings of a minute
        bucket = tf.minimum(tf.cast(bucket, tf.int32), _UNKNOWN_GAP - 1)
        known = tf.logical_and(ages[:, None, :] > 0, ages[:, :, None] > 0)
        bucket = tf.where(known, bucket, _UNKNOWN_GAP)
        return tf.gather(self._by_distance, distance)[None] + tf.gather(self._by_gap, bucket)


def last_state(states: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
    """[batch, length, size] -> [batch, size]: of the last title that is not padding; zeros where all is."""
    count = tf.reduce_sum(tf.cast(ids > 0, tf.int32), axis=1)
    last = tf.gather(states, tf.maximum(count - 1, 0), batch_dims=1)
    return tf.where((count > 0)[:, None], last, tf.zeros_like(last))


_ENCODERS: Mapping[str, Callable[[ModelConfig], HistoryEncoder]] = {
    MEAN: Mean,
    RECENCY: RecencyMean,
    GRU: Recurrent,
    ATTENTION: SelfAttention,
}


def history_encoder(config: ModelConfig) -> HistoryEncoder:
    """The encoder that a configuration names."""
    return _ENCODERS[config.history_encoder](config)
