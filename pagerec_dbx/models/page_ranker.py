"""The model for pages: what rates, attributes, taste and memory say of each row, beside a tower over the history."""

import tensorflow as tf

from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.page import Known, Page
from pagerec_dbx.models.row_logits import RowLogits
from pagerec_dbx.models.row_ranker import RowRanker
from pagerec_dbx.models.tower import Tower


class PageRanker(RowRanker):
    """The terms of `row_terms` do most of the work. Without `own_weights` they do all of it: then no row and no title
    has weights of its own, which learn a few thousand page views by heart, and there is no tower over the history;
    sizes of layers and embeddings and the history's encoder do nothing."""

    def __init__(self, config: ModelConfig):
        super().__init__(config)
        self._page = Page(config, self.catalogue) if config.own_weights else Known(config, self.catalogue)
        self._tower = Tower(config, self.randomness) if config.own_weights else None
        self._logits = RowLogits(config) if config.own_weights else None

    def query(self, record, training=False):
        page = self._page(record)
        if self._tower is None:
            return page
        return {**page, "hidden": self._tower(tf.concat(page["fields"], axis=1), training)}

    def own_scores(self, query, rows, training=False):
        if self._logits is None:
            return tf.zeros([tf.shape(query["moment"])[0], tf.shape(rows)[-1]])
        return self._logits.of(query["hidden"], rows)  # [batch, n]

    def own_scores_of_all(self, query, training=False):
        if self._logits is None:
            return super().own_scores_of_all(query, training)
        return self._logits(query["hidden"])  # [batch, row_count]
