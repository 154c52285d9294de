"""What a row's score gains from how it fared with this viewer before: shown and clicked, or shown and passed over."""

import tensorflow as tf
import tf_keras

from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.history import DAY


class RowMemory(tf_keras.layers.Layer):
    """Two counts of each candidate row on the viewer's earlier page views, of clicks and of times passed over.

    Each fades with the days since, and one passed over counts less the lower it stood, where it was looked at less:

        score + a log(1 + sum over clicks of e^(-c days)) + b log(1 + sum over passes of e^(-d days) / place^f)

    with c, d, f above 0; a and b begin at 0, so that the term begins by saying nothing.
    """

    def __init__(self, config: ModelConfig):
        super().__init__(name="row_memory")
        self._row_count = config.row_count
        start = tf_keras.initializers.Constant(-2.0)  # softplus: .13
        self._fade = self.add_weight("fade", shape=[2], initializer=start, experimental_autocast=False)
        self._by_place = self.add_weight("by_place", shape=[], initializer=start, experimental_autocast=False)
        self._gain = self.add_weight("gain", shape=[2], initializer="zeros", experimental_autocast=False)

    def call(self, query: dict, rows: tf.Tensor) -> tf.Tensor:
        """`shown_row`, `shown_position`, `shown_clicked`, `shown_age`, [batch, shown] int32 each, and int32 rows,
        [batch, n] or [n] for all alike -> [batch, n] float32."""
        shown, weights = query["shown_row"], self._weights(query)  # [batch, shown], [batch, shown, 2]
        of_rows = _summed_by_row(shown, weights, rows, self._row_count)  # [batch, n, 2]
        return tf.reduce_sum(self._gain * tf.math.log1p(of_rows), axis=2)

    def _weights(self, query: dict) -> tf.Tensor:
        """[batch, shown, 2]: what each entry counts as a click and as passed over; 0 for padding and unknown rows."""
        days = tf.cast(query["shown_age"], tf.float32) / DAY
        faded = tf.exp(-tf.nn.softplus(self._fade) * days[:, :, None])
        place = tf.cast(tf.maximum(query["shown_position"], 1), tf.float32)
        looked_at = tf.exp(-tf.nn.softplus(self._by_place) * tf.math.log(place))
        clicked = tf.cast(query["shown_clicked"], tf.float32)
        kinds = tf.stack([clicked, (1.0 - clicked) * looked_at], axis=2)
        return faded * kinds * tf.cast(query["shown_row"] > 1, tf.float32)[:, :, None]


def _summed_by_row(shown: tf.Tensor, weights: tf.Tensor, rows: tf.Tensor, row_count: int) -> tf.Tensor:
    """[batch, n, 2]: the weights of the entries that are that row.

    For all rows at once they are added up into a table of the vocabulary; for some, each is held against each.
    """
    if rows.shape.rank == 1 and rows.shape[0] == row_count:
        batch, length = tf.shape(shown)[0], tf.shape(shown)[1]
        page = tf.repeat(tf.range(batch), length)
        places = tf.stack([page, tf.reshape(shown, [-1])], axis=1)
        return tf.scatter_nd(places, tf.reshape(weights, [-1, 2]), tf.stack([batch, row_count, 2]))
    offered = rows[None] if rows.shape.rank == 1 else rows
    same = tf.cast(tf.equal(offered[:, :, None], shown[:, None, :]), tf.float32)  # [batch, n, shown]
    return tf.matmul(same, weights)
