"""The referee's metrics for training: streaming, masked, weighted Keras metrics with the same exact ties.

Each is updated with `y_true` and `y_pred`, [batch, length]: a row is relevant where `y_true` is above 0, so a target
that is spread over several rows will do. `mask`, [batch, length], is True where there is a row (None: everywhere);
`sample_weight` is [batch]. Lists without a relevant row are left out. A row whose score is NaN makes the result NaN.
"""

import dataclasses
import math

import tensorflow as tf
import tf_keras


@dataclasses.dataclass(frozen=True)
class _Places:
    """Lists in falling order of score, as `evaluation.metrics.TiedPlaces`; all [batch, length] float64."""

    gain: tf.Tensor  # expected gain at each place
    size: tf.Tensor  # rows in the tied group that fills it
    broken: tf.Tensor  # [batch] True where a row scores NaN


class _ListMetric(tf_keras.metrics.Metric):
    """The weighted mean over lists of a value that a subclass reads off the sorted lists."""

    def __init__(self, name: str, **options):
        super().__init__(name=name, dtype=tf.float64, **{key: options[key] for key in options if key != "dtype"})
        self.total = self.add_weight(name="total", initializer="zeros", dtype=tf.float64)
        self.weight = self.add_weight(name="weight", initializer="zeros", dtype=tf.float64)

    def update_state(self, y_true, y_pred, sample_weight=None, mask=None):
        places = _tied_places(y_true, y_pred, mask)
        known = tf.cast(tf.reduce_sum(places.gain, axis=1) > 0, tf.float64)
        weight = known if sample_weight is None else known * tf.cast(tf.reshape(sample_weight, [-1]), tf.float64)
        values = tf.where(places.broken, tf.constant(math.nan, tf.float64), self.list_values(places))
        self.total.assign_add(tf.reduce_sum(tf.where(weight > 0, weight * values, 0.0)))
        self.weight.assign_add(tf.reduce_sum(weight))

    def result(self):
        return tf.math.divide_no_nan(self.total, self.weight)

    def list_values(self, places: _Places) -> tf.Tensor:
        """[batch] the value of each list; anything where no row is relevant."""
        raise NotImplementedError


class NDCG(_ListMetric):
    """Expected NDCG, DCG and ideal DCG cut at `k`."""

    def __init__(self, k: int | None = None, name: str | None = None, **options):
        super().__init__(name or ("ndcg" if k is None else f"ndcg_at_{k}"), **options)
        self.k = k

    def list_values(self, places):
        rank = _ranks(places)
        discount = tf.where(rank <= (self.k or math.inf), math.log(2.0) / tf.math.log(rank + 1), 0.0)
        relevant = tf.round(tf.reduce_sum(places.gain, axis=1, keepdims=True))
        ideal = tf.reduce_sum(tf.where(rank <= relevant, discount, 0.0), axis=1)
        return tf.math.divide_no_nan(tf.linalg.matvec(places.gain, discount), ideal)

    def get_config(self):
        return {**super().get_config(), "k": self.k}


class ReciprocalRank(_ListMetric):
    """Expected reciprocal rank of the first relevant row, 0 past `k`; its mean is the MRR."""

    def __init__(self, k: int | None = None, name: str | None = None, **options):
        super().__init__(name or ("reciprocal_rank" if k is None else f"reciprocal_rank_at_{k}"), **options)
        self.k = k

    def list_values(self, places):
        rank, chance = _first_relevant(places)
        return tf.reduce_sum(tf.where(rank <= (self.k or math.inf), chance / rank, 0.0), axis=1)

    def get_config(self):
        return {**super().get_config(), "k": self.k}


class Hit(_ListMetric):
    """Chance that one of the first `k` places holds a relevant row; k=1 is top-1 accuracy."""

    def __init__(self, k: int = 1, name: str | None = None, **options):
        super().__init__(name or f"hit_at_{k}", **options)
        self.k = k

    def list_values(self, places):
        rank, chance = _first_relevant(places)
        return tf.reduce_sum(tf.where(rank <= self.k, chance, 0.0), axis=1)

    def get_config(self):
        return {**super().get_config(), "k": self.k}


def _tied_places(y_true, y_pred, mask) -> _Places:
    scores = tf.cast(y_pred, tf.float64)  # as the referee: float32 scores keep their ties
    real = tf.ones_like(scores, dtype=tf.bool) if mask is None else tf.cast(mask, tf.bool)
    broken = tf.reduce_any(tf.logical_and(tf.math.is_nan(scores), real), axis=1)
    # Padding sorts behind a real row at -inf, which therefore becomes the lowest finite number, and ties stay ties.
    key = tf.where(real, tf.maximum(scores, scores.dtype.min), -math.inf)
    key = tf.where(tf.math.is_nan(key), tf.zeros_like(key), key)
    order = tf.argsort(key, axis=1, direction="DESCENDING")
    key = tf.gather(key, order, batch_dims=1)
    relevant = tf.cast(tf.logical_and(tf.cast(y_true, tf.float64) > 0, real), tf.float64)
    relevant = tf.gather(relevant, order, batch_dims=1)
    begins = tf.concat([tf.ones_like(real[:, :1]), key[:, 1:] != key[:, :-1]], axis=1)  # one at least in every list
    group = tf.reshape(tf.cumsum(tf.cast(tf.reshape(begins, [-1]), tf.int32)) - 1, tf.shape(key))
    size = tf.gather(tf.math.segment_sum(tf.ones_like(tf.reshape(key, [-1])), tf.reshape(group, [-1])), group)
    count = tf.gather(tf.math.segment_sum(tf.reshape(relevant, [-1]), tf.reshape(group, [-1])), group)
    return _Places(gain=count / size, size=size, broken=broken)


def _ranks(places: _Places) -> tf.Tensor:
    """[length] 1, 2, 3, ..."""
    return tf.cast(tf.range(1, tf.shape(places.gain)[1] + 1), tf.float64)


def _first_relevant(places: _Places) -> tuple[tf.Tensor, tf.Tensor]:
    """Ranks [batch, length] where the first relevant row can stand, and the chance of each; see the referee."""
    above = tf.argmax(tf.cast(places.gain > 0, tf.int32), axis=1)
    t = tf.gather(places.size, above, batch_dims=1)[:, None]
    r = tf.round(tf.gather(places.gain, above, batch_dims=1)[:, None] * t)
    j = _ranks(places)[None, :]
    left = tf.maximum(t - j + 1, 1.0)
    none_before = tf.math.cumprod(tf.maximum(t - r - j + 1, 0.0) / left, axis=1, exclusive=True)
    return tf.cast(above, tf.float64)[:, None] + j, none_before * tf.where(j <= t, r / left, 0.0)
