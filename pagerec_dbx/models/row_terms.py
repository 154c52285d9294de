"""What a row's score gains from what the row and the page view have to do with each other, beside the model's own."""

import tensorflow as tf
import tf_keras

from pagerec_dbx.models.attributes import RowAttributes
from pagerec_dbx.models.catalogue import Catalogue
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.interaction import FactorisationMachine
from pagerec_dbx.models.randomness import Randomness
from pagerec_dbx.models.row_counts import counted_parts
from pagerec_dbx.models.row_memory import RowMemory
from pagerec_dbx.models.row_network import RowNetwork
from pagerec_dbx.models.row_rates import RowRates
from pagerec_dbx.models.target_attention import HistoryAttention, ShownAttention
from pagerec_dbx.models.viewer_taste import ViewerTaste


class RowTerms(tf_keras.layers.Layer):
    """The sum of the terms that a configuration asks for; without any the logits stay as they are."""

    def __init__(self, config: ModelConfig, catalogue: Catalogue, randomness: Randomness):
        super().__init__(name="row_terms", autocast=False)  # logits stay float32 whatever the model computes in
        self._catalogue = catalogue
        # Those that know a row by its own weights, which a row that training never saw has not; then the others.
        self._by_id: dict[str, tf_keras.layers.Layer] = {}
        if config.factorisation:
            self._by_id["factorisation"] = FactorisationMachine(config.row_count, config.embedding_size)
        if config.target_attention:
            self._by_id["target_attention"] = HistoryAttention(config)
        if config.shown_attention:
            self._by_id["shown_attention"] = ShownAttention(config)
        self._memory = RowMemory(config) if config.row_memory else None
        self._attributes = RowAttributes(config, catalogue) if config.row_attributes else None
        self._adds_attributes = bool(config.row_attributes and config.own_weights)  # not by rates alone
        self._rates = RowRates(catalogue, self._attributes) if config.row_rates else None
        self._taste = ViewerTaste(config, catalogue, self._rates) if config.viewer_taste else None
        self._network = RowNetwork(config, randomness) if config.row_network else None
        self._has_counts = config.row_counts

    def learn_tables(self) -> None:
        """Prepare for many steps, once what is known of rows has been learnt."""
        if self._taste:
            self._taste.learn_tables()

    def forget_tables(self) -> None:
        """Hold no more than an export needs."""
        if self._taste:
            self._taste.forget_tables()

    def call(self, logits: tf.Tensor, query: dict, rows: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Logits [batch, n] of int32 rows, [batch, n] or [n] for all alike -> the same with the terms, float32."""
        return tf.add_n(list(self.parts(logits, query, rows, training).values()))

    def parts(self, logits: tf.Tensor, query: dict, rows: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        """What `call` adds up, by the name of the setting that asks for it; `own` are the logits themselves."""
        own_query = dict(query)
        if "shown_row" in query:
            own_query["shown_row"] = self._catalogue.warm(query["shown_row"])
        by_id = {"own": logits, **{name: term(own_query, rows) for name, term in self._by_id.items()}}
        scores = {name: self._catalogue.of_seen(score, rows) for name, score in by_id.items()}
        if self._memory:
            scores["row_memory"] = self._memory(query, rows)
        if self._adds_attributes:
            scores["row_attributes"] = self._attributes(query, rows)
        inputs = []
        for name, term in (("row_rates", self._rates), ("viewer_taste", self._taste)):
            if term:
                inputs.append(term.parts(query, rows))
                scores[name] = term.score(inputs[-1])
        if self._network:
            if self._has_counts:
                inputs.append(counted_parts(self._catalogue, rows, query["moment"]))
            if self._attributes:
                inputs.append(tf.broadcast_to(self._attributes.biases(rows), tf.shape(logits))[..., None])
            scores["row_network"] = self._network(tf.concat(inputs, axis=2), training)
        return scores
