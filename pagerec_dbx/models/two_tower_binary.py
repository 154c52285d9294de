"""The study's two-tower binary model, and the legacy's: does somebody with this history click this row, yes or no?"""

import tensorflow as tf
import tf_keras

from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.page import Page
from pagerec_dbx.models.row_ranker import RowRanker
from pagerec_dbx.models.tower import Tower


class TwoTowerBinary(RowRanker):
    """Scores one row at a time from the mean of the history and the row; the menu's other rows play no part.

    At the study's sizes it has 695,233 parameters, and 1,081,549 as the legacy was designed.
    """

    def __init__(self, config: ModelConfig):
        super().__init__(config)
        self._page = Page(config, self.catalogue)
        self._candidate_tower = tf_keras.layers.Embedding(config.row_count, config.embedding_size, name="row")
        self._tower = Tower(config, self.randomness)
        self._logit = tf_keras.layers.Dense(1, name="logit")

    def query(self, record, training=False):
        return self._page(record)

    def own_scores(self, query, rows, training=False):
        candidates = self._candidate_tower(rows)  # [batch, n, embedding], or [n, embedding]
        page = tf.concat(query["fields"], axis=1)[:, None, :]  # [batch, 1, width]
        alike = [tf.shape(page)[0], tf.shape(rows)[-1]]
        pairs = [tf.broadcast_to(part, [*alike, part.shape[-1]]) for part in (page, candidates)]
        return tf.cast(self._logit(self._tower(tf.concat(pairs, axis=2), training))[..., 0], tf.float32)  # [batch, n]

    def own_scores_of_all(self, query, training=False):
        """Page view by page view: all at once would take [batch, rows, width]."""
        every = tf.range(self.config.row_count)
        return tf.map_fn(
            lambda one: self.own_scores(tf.nest.map_structure(lambda part: part[None], one), every, training)[0],
            query,
            fn_output_signature=tf.float32,
        )
