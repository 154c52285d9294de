"""A model that reads what was shown before, all four fields of it, so that any wrong one shows in its scores."""

import tensorflow as tf

from pagerec_dbx.models.inputs import known_ids
from pagerec_dbx.models.two_tower_softmax import TwoTowerSoftmax


class ReadsShown(TwoTowerSoftmax):
    """A row gains, for each place at which it was shown before, what the place, the click and the age weigh."""

    def __init__(self, config):
        super().__init__(config)
        self.of_shown = tf.Variable([0.5, 0.25, -2.0, 0.1], name="of_shown")

    def query(self, record, training=False):
        ids = known_ids(record["shown_row"], self.config.row_count)
        numbers = [tf.cast(record[name], tf.float32) for name in ("shown_position", "shown_clicked", "shown_age")]
        fields = tf.stack([tf.ones_like(numbers[0]), *numbers[:2], tf.math.log1p(numbers[2])], axis=2)
        places = tf.where(ids > 0, tf.linalg.matvec(fields, self.of_shown), 0.0)  # [batch, shown]
        return super().query(record, training) | {"shown": ids, "places": places}

    def own_scores(self, query, rows, training=False):
        return super().own_scores(query, rows, training) + self._of_shown(query, rows)

    def own_scores_of_all(self, query, training=False):
        return super().own_scores_of_all(query, training) + self._of_shown(query, tf.range(self.config.row_count))

    def _of_shown(self, query, rows):
        same = tf.cast(rows[..., None] == query["shown"][:, None], tf.float32)  # [batch, rows, shown]
        return tf.reduce_sum(same * query["places"][:, None], axis=2)  # [batch, rows]
