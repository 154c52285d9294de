"""What a row's score gains from how it fared with all viewers before the page view."""

import tensorflow as tf
import tf_keras

from pagerec_dbx.models.catalogue import Catalogue


class RowRates(tf_keras.layers.Layer):
    """a times the logarithm of the row's odds of a click until then, and b times that of how often it was offered.

    It begins with a = 1, b = 0: the ranking of the smoothed rates.
    """

    def __init__(self, catalogue: Catalogue):
        super().__init__(name="row_rates", autocast=False)
        self._catalogue = catalogue
        self._rate = self.add_weight("rate", shape=[], initializer="ones", experimental_autocast=False)
        self._offered = self.add_weight("offered", shape=[], initializer="zeros", experimental_autocast=False)

    def call(self, query: dict, rows: tf.Tensor) -> tf.Tensor:
        """`moment` of the page view and int32 rows, [batch, n] or [n] for all alike -> [batch, n] float32."""
        odds = self._catalogue.click_odds(rows, query["moment"])
        return self._rate * odds + self._offered * self._catalogue.impressions(rows, query["moment"])
