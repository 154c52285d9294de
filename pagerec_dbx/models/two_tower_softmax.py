"""The study's two-tower softmax: the mean of the history beside the mean of the menu -> a score for every row."""

import tensorflow as tf

from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.embeddings import Embeddings
from pagerec_dbx.models.inputs import known_ids
from pagerec_dbx.models.page import Page
from pagerec_dbx.models.row_logits import RowLogits
from pagerec_dbx.models.row_ranker import RowRanker
from pagerec_dbx.models.tower import Tower


class TwoTowerSoftmax(RowRanker):
    """Scores every row of the vocabulary; at the study's sizes it has 779,450 parameters."""

    def __init__(self, config: ModelConfig):
        super().__init__(config)
        self._page = Page(config, self.catalogue)
        self._candidate_tower = Embeddings(config.row_count, config.embedding_size, name="menu")
        self._tower = Tower(config, self.randomness)
        self._logits = RowLogits(config)

    def query(self, record, training=False):
        menu = self.catalogue.warm(known_ids(record["menu"], self.config.row_count))
        offered = self._candidate_tower.mean(menu)  # [batch, embedding]
        page = self._page(record)
        fields = [*page["fields"], offered]
        return {**page, "hidden": self._tower(tf.concat(fields, axis=1), training), "fields": fields}

    def own_scores(self, query, rows, training=False):
        return self._logits.of(query["hidden"], rows)  # [batch, n]

    def own_scores_of_all(self, query, training=False):
        return self._logits(query["hidden"])  # [batch, row_count]
