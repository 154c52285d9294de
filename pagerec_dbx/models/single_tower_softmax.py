"""The study's single-tower softmax: the mean of the history -> a score for every row, whatever the page offers."""

import tensorflow as tf

from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.page import Page
from pagerec_dbx.models.row_logits import RowLogits
from pagerec_dbx.models.row_ranker import RowRanker
from pagerec_dbx.models.tower import Tower


class SingleTowerSoftmax(RowRanker):
    """Scores every row of the vocabulary; at the study's sizes it has 730,682 parameters."""

    def __init__(self, config: ModelConfig):
        super().__init__(config)
        self._page = Page(config, self.catalogue)
        self._tower = Tower(config, self.randomness)
        self._logits = RowLogits(config)

    def query(self, record, training=False):
        page = self._page(record)
        return {**page, "hidden": self._tower(tf.concat(page["fields"], axis=1), training)}

    def own_scores(self, query, rows, training=False):
        return self._logits.of(query["hidden"], rows)  # [batch, n]

    def own_scores_of_all(self, query, training=False):
        return self._logits(query["hidden"])  # [batch, row_count]
