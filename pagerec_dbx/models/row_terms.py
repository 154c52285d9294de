"""What a row's score gains from what the row and the page view have to do with each other, beside the model's own."""

import tensorflow as tf
import tf_keras

from pagerec_dbx.models.attributes import RowAttributes
from pagerec_dbx.models.catalogue import Catalogue
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.interaction import FactorisationMachine
from pagerec_dbx.models.row_memory import RowMemory
from pagerec_dbx.models.row_rates import RowRates
from pagerec_dbx.models.target_attention import HistoryAttention, ShownAttention
from pagerec_dbx.models.viewer_taste import ViewerTaste


class RowTerms(tf_keras.layers.Layer):
    """The sum of the terms that a configuration asks for; without any the logits stay as they are."""

    def __init__(self, config: ModelConfig, catalogue: Catalogue):
        super().__init__(name="row_terms", autocast=False)  # logits stay float32 whatever the model computes in
        self._catalogue = catalogue
        # Those that know a row by its own weights, which a row that training never saw has not; then the others.
        self._terms: list[tf_keras.layers.Layer] = []
        self._of_all_rows: list[tf_keras.layers.Layer] = []
        if config.factorisation:
            self._terms.append(FactorisationMachine(config.row_count, config.embedding_size))
        if config.target_attention:
            self._terms.append(HistoryAttention(config))
        if config.shown_attention:
            self._terms.append(ShownAttention(config))
        if config.row_memory:
            self._of_all_rows.append(RowMemory(config))
        attributes = RowAttributes(config, catalogue) if config.row_attributes else None
        rates = RowRates(catalogue, attributes) if config.row_rates else None
        taste = ViewerTaste(config, catalogue, rates) if config.viewer_taste else None
        self._of_all_rows += [term for term in (attributes, rates, taste) if term]

    def call(self, logits: tf.Tensor, query: dict, rows: tf.Tensor) -> tf.Tensor:
        """Logits [batch, n] of int32 rows, [batch, n] or [n] for all alike -> the same with the terms, float32."""
        own_query = dict(query)
        if "shown_row" in query:
            own_query["shown_row"] = self._catalogue.warm(query["shown_row"])
        own = tf.add_n([logits, *(term(own_query, rows) for term in self._terms)])
        return tf.add_n([self._catalogue.of_seen(own, rows), *(term(query, rows) for term in self._of_all_rows)])
