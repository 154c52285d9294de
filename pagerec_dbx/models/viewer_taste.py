"""What a row's score gains from the viewer's taste: a regression of this viewer's own clicks on what rows are about."""

import tensorflow as tf
import tf_keras

from pagerec_dbx.models.attributes import shares
from pagerec_dbx.models.catalogue import Catalogue
from pagerec_dbx.models.config import ModelConfig


class ViewerTaste(tf_keras.layers.Layer):
    """The mean of a Gaussian process (Rasmussen and Williams 2006, 2.25) over rows, given what this viewer was shown.

    With x of a row, y = clicked - sigmoid(a . odds + b) of each row shown before, that is, the surprise:

        score + gain . x (X'X + noise)^-1 X'y,     solved as x X' (X X' + noise)^-1 y, one row of X for each row shown

    x holds one number for each attribute of the row, its learnt weight over the root of their number; a constant, which
    takes up how readily this viewer clicks; and with `row_rates` the row's odds, a taste for what is popular. Noise,
    weights and gain are learnt through the solution (Bertinetto et al. 2019).
    """

    def __init__(self, config: ModelConfig, catalogue: Catalogue):
        super().__init__(name="viewer_taste", autocast=False)
        self._catalogue, self._has_rates = catalogue, config.row_rates
        self._token_count = config.attribute_tokens

        def weight(name: str, shape: list[int], value: float) -> tf.Variable:
            start = tf_keras.initializers.Constant(value)
            return self.add_weight(name, shape=shape, initializer=start, experimental_autocast=False)

        self._token_weights = weight("tokens", [config.attribute_tokens], 0.0)  # softplus: .69
        self._constant, self._noise = weight("constant", [], 0.0), weight("noise", [], 1.0)
        self._gain, self._expected = weight("gain", [], 3.0), weight("expected", [], -2.0)
        if self._has_rates:
            self._of_rate, self._rate = weight("of_rate", [], 1.0), weight("rate", [], -1.0)

    def call(self, query: dict, rows: tf.Tensor) -> tf.Tensor:
        """`shown_row`, `shown_clicked`, [batch, shown] int32, with `row_rates` `moment`, and int32 rows, [batch, n] or
        [n] for all alike -> [batch, n] float32."""
        shown = query["shown_row"]
        real = tf.cast(shown > 0, tf.float32)
        dense, values = self._dense(shown) * real[..., None], self._others(query, shown) * real[..., None]
        kernel = tf.matmul(dense, dense, transpose_b=True) + tf.matmul(values, values, transpose_b=True)
        noise = tf.nn.softplus(self._noise) * tf.eye(tf.shape(shown)[1])
        surprise = (tf.cast(query["shown_clicked"], tf.float32) - self._expectation(query, shown)) * real
        solved = tf.linalg.cholesky_solve(tf.linalg.cholesky(kernel + noise), surprise[..., None])  # [batch, shown, 1]
        of_tokens = tf.matmul(dense, solved, transpose_a=True)[..., 0]  # [batch, tokens]
        of_others = tf.matmul(values, solved, transpose_a=True)  # [batch, 1 or 2, 1]
        offered = tf.broadcast_to(rows, [tf.shape(shown)[0], tf.shape(rows)[-1]])
        by_others = tf.matmul(self._others(query, offered), of_others)[..., 0]  # [batch, n]
        return self._gain * (self._by_tokens(of_tokens, rows) + by_others)

    def _by_tokens(self, of_tokens: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """[batch, n]: the sum over a row's attributes; for all rows at once by a product with all of them."""
        if rows.shape.rank == 1:
            return tf.matmul(of_tokens, self._dense(rows), transpose_b=True)
        tokens = self._catalogue.tokens(rows)  # [batch, n, length]
        return tf.reduce_sum(tf.gather(of_tokens, tokens, batch_dims=1) * self._entries(tokens), axis=2)

    def _entries(self, tokens: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.nn.softplus(self._token_weights), tokens) * shares(tokens, -0.5)

    def _dense(self, rows: tf.Tensor) -> tf.Tensor:
        """[..., n] -> [..., n, tokens]."""
        tokens = self._catalogue.tokens(tf.reshape(rows, [-1]))  # [all, length]
        count = tf.shape(tokens)[0]
        places = tf.stack([tf.broadcast_to(tf.range(count)[:, None], tf.shape(tokens)), tokens], axis=2)
        flat = tf.scatter_nd(places, self._entries(tokens), [count, self._token_count])
        return tf.reshape(flat, tf.concat([tf.shape(rows), [self._token_count]], axis=0))

    def _others(self, query: dict, rows: tf.Tensor) -> tf.Tensor:
        """[batch, n] -> [batch, n, 1 or 2]: the constant and, where it is known, the rate."""
        parts = [tf.fill(tf.shape(rows), tf.nn.softplus(self._constant))]
        if self._has_rates:
            parts.append(tf.nn.softplus(self._rate) * self._catalogue.click_odds(rows, query["moment"]))
        return tf.stack(parts, axis=2)

    def _expectation(self, query: dict, shown: tf.Tensor) -> tf.Tensor:
        """[batch, shown]: how likely anybody was to click it."""
        if not self._has_rates:
            return tf.sigmoid(self._expected) * tf.ones(tf.shape(shown))
        return tf.sigmoid(self._of_rate * self._catalogue.click_odds(shown, query["moment"]) + self._expected)
