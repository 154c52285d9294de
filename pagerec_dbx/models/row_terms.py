"""What a row's score gains from what the row and the page view have to do with each other, beside the model's own."""

import tensorflow as tf
import tf_keras

from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.interaction import FactorisationMachine
from pagerec_dbx.models.row_memory import RowMemory
from pagerec_dbx.models.target_attention import HistoryAttention, ShownAttention


class RowTerms(tf_keras.layers.Layer):
    """The sum of the terms that a configuration asks for; without any the logits stay as they are."""

    def __init__(self, config: ModelConfig):
        super().__init__(name="row_terms", autocast=False)  # logits stay float32 whatever the model computes in
        self._terms: list[tf_keras.layers.Layer] = []
        if config.factorisation:
            self._terms.append(FactorisationMachine(config.row_count, config.embedding_size))
        if config.target_attention:
            self._terms.append(HistoryAttention(config))
        if config.shown_attention:
            self._terms.append(ShownAttention(config))
        if config.row_memory:
            self._terms.append(RowMemory(config))

    def call(self, logits: tf.Tensor, query: dict, rows: tf.Tensor) -> tf.Tensor:
        """Logits [batch, n] of int32 rows, [batch, n] or [n] for all alike -> the same with the terms, float32."""
        return tf.add_n([logits, *(term(query, rows) for term in self._terms)])
