"""What a row's score gains from how it fared with all viewers before the page view."""

import math

import tensorflow as tf
import tf_keras

from pagerec_dbx.models.attributes import RowAttributes
from pagerec_dbx.models.catalogue import Catalogue

SMOOTHING = 10.0  # times offered, at the rate of rows like it, that are added to each row's own to begin with


class RowRates(tf_keras.layers.Layer):
    """a times the logarithm of the row's odds of a click until then, over those of all rows, and b times that (to base
    10) of how often it was offered.

    With c clicks of n times offered, a row's rate is (c + k p) / (n + k): shrunk to the rate p of rows like it, the
    more the less it was offered (the mean of a Beta posterior; in insurance, Bühlmann's credibility). The odds of p
    are those of all rows times e^(bias of its attributes); k and the biases are learnt with all else. It begins with
    k = 10, a = 1, b = 0 and without biases: the ranking of the smoothed rates.
    """

    def __init__(self, catalogue: Catalogue, attributes: RowAttributes | None = None):
        super().__init__(name="row_rates", autocast=False)
        self._catalogue, self._attributes = catalogue, attributes

        def weight(name: str, value: float) -> tf.Variable:
            start = tf_keras.initializers.Constant(value)
            return self.add_weight(name, shape=[], initializer=start, experimental_autocast=False)

        self._rate, self._offered, self._log_smoothing = weight("rate", 1), weight("offered", 0), weight("smoothing", 0)

    def call(self, query: dict, rows: tf.Tensor) -> tf.Tensor:
        """`moment` of the page view and int32 rows, [batch, n] or [n] for all alike -> [batch, n] float32."""
        return self.score(self.parts(query, rows))

    def parts(self, query: dict, rows: tf.Tensor) -> tf.Tensor:
        """[batch, n, 2] float32: the odds, and the logarithm to base 10 of one more than the times offered."""
        _, impressions = self._catalogue.counts(rows, query["moment"])
        offered = tf.math.log1p(impressions) / math.log(10)
        return tf.stack([self.odds(rows, query["moment"]), offered], axis=2)

    def score(self, parts: tf.Tensor) -> tf.Tensor:
        """[batch, n, 2] -> [batch, n]: what the score gains."""
        return self._rate * parts[..., 0] + self._offered * parts[..., 1]

    def odds(self, rows: tf.Tensor, moment: tf.Tensor) -> tf.Tensor:
        """[batch, n] float32: the logarithm of the odds over those of all rows."""
        clicks, impressions = self._catalogue.counts(rows, moment)
        # Rates of nothing and of all are kept from the logarithm: a model that was not told what is known yet, clicks
        # on rows that a log never says were offered.
        common = tf.clip_by_value(self._catalogue.common_rate(moment)[:, None], 1e-6, 1 - 1e-6)
        of_all = tf.math.log(common) - tf.math.log1p(-common)
        like_it = of_all + self._attributes.biases(rows) if self._attributes else of_all
        k = SMOOTHING * tf.exp(self._log_smoothing)
        clicked, passed_over = clicks + k * tf.sigmoid(like_it), impressions - clicks + k * tf.sigmoid(-like_it)
        return tf.math.log(clicked) - tf.math.log(tf.maximum(passed_over, 1e-6)) - of_all
