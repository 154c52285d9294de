"""What a row's score gains from the viewer's taste: a regression of this viewer's own clicks on what rows are about."""

import tensorflow as tf
import tf_keras

from pagerec_dbx.models.catalogue import Catalogue
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.row_kernel import RowKernel
from pagerec_dbx.models.row_rates import RowRates


class ViewerTaste(tf_keras.layers.Layer):
    """The mean of a Gaussian process (Rasmussen and Williams 2006, 2.25) over rows, given what this viewer was shown.

    With x of a row, y = clicked - sigmoid(a . odds + b) of each row shown before, that is, the surprise:

        score + gain . x (X'X + noise)^-1 X'y,     solved as x X' (X X' + noise)^-1 y, one row of X for each row shown

    x holds the attributes of the row (`row_kernel`); a constant, which takes up how readily this viewer clicks; and
    with `row_rates` the row's odds, a taste for what is popular. Noise, weights and gain are learnt through the
    solution (Bertinetto et al. 2019).
    """

    def __init__(self, config: ModelConfig, catalogue: Catalogue, rates: RowRates | None):
        super().__init__(name="viewer_taste", autocast=False)
        self._rates = rates
        self._kernel = RowKernel(config, catalogue)

        def weight(name: str, value: float) -> tf.Variable:
            start = tf_keras.initializers.Constant(value)
            return self.add_weight(name, shape=[], initializer=start, experimental_autocast=False)

        self._constant, self._noise = weight("constant", 0.0), weight("noise", 1.0)
        self._gain, self._expected = weight("gain", 3.0), weight("expected", -2.0)
        if rates:
            self._of_rate, self._rate = weight("of_rate", 1.0), weight("rate", -1.0)

    def call(self, query: dict, rows: tf.Tensor) -> tf.Tensor:
        """`shown_row`, `shown_clicked`, [batch, shown] int32, with `row_rates` `moment`, and int32 rows, [batch, n] or
        [n] for all alike -> [batch, n] float32."""
        shown = query["shown_row"]
        real = tf.cast(shown > 0, tf.float32)
        values = self._others(query, shown) * real[..., None]
        own = tf.matmul(values, values, transpose_b=True) + tf.nn.softplus(self._noise) * tf.eye(tf.shape(shown)[1])
        surprise = (tf.cast(query["shown_clicked"], tf.float32) - self._expectation(query, shown)) * real
        offered = tf.broadcast_to(rows, [tf.shape(shown)[0], tf.shape(rows)[-1]])
        of_offered = self._others(query, offered)

        def carried_over(alike) -> tf.Tensor:
            cholesky = tf.linalg.cholesky(alike.between() + own)
            solved = tf.linalg.cholesky_solve(cholesky, surprise[..., None])  # [batch, shown, 1]
            of_others = tf.matmul(values, solved, transpose_a=True)  # [batch, 1 or 2, 1]
            return alike.carried(solved[..., 0], rows) + tf.matmul(of_offered, of_others)[..., 0]  # [batch, n]

        return self._gain * self._kernel(shown, carried_over)

    def _others(self, query: dict, rows: tf.Tensor) -> tf.Tensor:
        """[batch, n] -> [batch, n, 1 or 2]: the constant and, where it is known, the rate."""
        parts = [tf.fill(tf.shape(rows), tf.nn.softplus(self._constant))]
        if self._rates:
            parts.append(tf.nn.softplus(self._rate) * self._rates.odds(rows, query["moment"]))
        return tf.stack(parts, axis=2)

    def _expectation(self, query: dict, shown: tf.Tensor) -> tf.Tensor:
        """[batch, shown]: how likely anybody was to click it."""
        if not self._rates:
            return tf.sigmoid(self._expected) * tf.ones(tf.shape(shown))
        return tf.sigmoid(self._of_rate * self._rates.odds(shown, query["moment"]) + self._expected)
