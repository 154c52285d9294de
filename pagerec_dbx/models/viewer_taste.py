"""What a row's score gains from the viewer's taste: a regression of this viewer's own clicks on what rows are about."""

import math

import tensorflow as tf
import tf_keras

from pagerec_dbx.models.catalogue import Catalogue
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.row_kernel import RowKernel
from pagerec_dbx.models.row_rates import RowRates

_LEAST_NOISE = 0.01  # rows shown twice are alike to the last digit: without any noise there is no solution


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
        self._rates, self._for_network = rates, bool(config.row_network)
        self._kernel = RowKernel(config, catalogue)

        def weight(name: str, value: float) -> tf.Variable:
            start = tf_keras.initializers.Constant(value)
            return self.add_weight(name, shape=[], initializer=start, experimental_autocast=False)

        self._constant, self._noise = weight("constant", 0.0), weight("noise", 1.0)
        self._gain, self._expected = weight("gain", 3.0), weight("expected", -2.0)
        if rates:
            self._of_rate, self._rate = weight("of_rate", 1.0), weight("rate", -1.0)

    def learn_tables(self) -> None:
        """Prepare for many steps, once what is known of rows has been learnt."""
        self._kernel.learn_tables()

    def forget_tables(self) -> None:
        """Hold no more than an export needs."""
        self._kernel.forget_tables()

    def call(self, query: dict, rows: tf.Tensor) -> tf.Tensor:
        """`shown_row`, `shown_clicked`, [batch, shown] int32, with `row_rates` `moment`, and int32 rows, [batch, n] or
        [n] for all alike -> [batch, n] float32."""
        return self.score(self.parts(query, rows))

    def score(self, parts: tf.Tensor) -> tf.Tensor:
        """[batch, n, parts] -> [batch, n]: what the score gains."""
        return parts[..., 0]

    def parts(self, query: dict, rows: tf.Tensor) -> tf.Tensor:
        """[batch, n, 1] float32: gain times the mean of the process. For a network over rows (`row_network`) also gain
        times how like the row is to rows clicked, and to rows passed over, and the logarithm to base 10 of one more
        than the rows shown: [batch, n, 4]."""
        shown = query["shown_row"]
        real = tf.cast(shown > 0, tf.float32)
        values = self._others(query, shown) * real[..., None]
        noise = tf.nn.softplus(self._noise) + _LEAST_NOISE
        own = tf.matmul(values, values, transpose_b=True) + noise * tf.eye(tf.shape(shown)[1])
        clicked = tf.cast(query["shown_clicked"], tf.float32) * real
        surprise = clicked - self._expectation(query, shown) * real
        offered = tf.broadcast_to(rows, [tf.shape(shown)[0], tf.shape(rows)[-1]])
        of_offered = self._others(query, offered)

        def carried_over(alike) -> tf.Tensor:
            solved = solved_for(alike.between() + own, surprise[..., None])  # [batch, shown, 1]
            of_others = tf.matmul(of_offered, tf.matmul(values, solved, transpose_a=True))  # [batch, n, 1]
            if not self._for_network:
                return alike.carried(solved, rows) + of_others
            carried = alike.carried(tf.concat([solved, _shares(clicked), _shares(real - clicked)], axis=2), rows)
            return tf.concat([carried[..., :1] + of_others, carried[..., 1:]], axis=2)

        parts = self._gain * self._kernel(shown, carried_over)
        if not self._for_network:
            return parts
        seen = tf.math.log1p(tf.reduce_sum(real, axis=1)) / math.log(10)
        return tf.concat([parts, tf.broadcast_to(seen[:, None, None], tf.shape(parts[..., :1]))], axis=2)

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


@tf.custom_gradient
def solved_for(matrix: tf.Tensor, values: tf.Tensor):
    """x of A x = y, A symmetric and positive definite: [batch, n, n] and [batch, n, 1] -> [batch, n, 1].

    With g the gradient of x, that of y is h of A h = g and that of A is -h x', which takes no more than the factor that
    is there; through the factorisation itself it takes as long again as all else.
    """
    cholesky = tf.linalg.cholesky(matrix)
    found = tf.linalg.cholesky_solve(cholesky, values)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        of_values = tf.linalg.cholesky_solve(cholesky, upstream)
        return -tf.matmul(of_values, found, transpose_b=True), of_values

    return found, gradient


def _shares(marked: tf.Tensor) -> tf.Tensor:
    """[batch, shown] 1 or 0 -> [batch, shown, 1]: the share of each, two more having been there that are like none."""
    return (marked / (tf.reduce_sum(marked, axis=1, keepdims=True) + 2.0))[..., None]
