"""What every model is: a query made of a page view, a score of any row given it, and a loss chosen by name."""

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from pagerec_dbx.models.catalogue import Catalogue, Knowledge
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.inputs import known_ids
from pagerec_dbx.models.objectives import OBJECTIVES
from pagerec_dbx.models.position import PositionBias
from pagerec_dbx.models.randomness import Randomness
from pagerec_dbx.models.row_terms import RowTerms
from pagerec_dbx.models.sampling import CLICKS, MENU, RowChances, row_chances

Query = dict[str, tf.Tensor | list[tf.Tensor]]  # whatever a model reads off a page view, [batch, ...] each


class RowRanker(tfrs.Model):
    """Subclasses say how a query is made and what a row's own score is; losses and rankings ask for no more than that.

    The terms that a configuration asks for are added to the own scores of every model.
    """

    def __init__(self, config: ModelConfig):
        super().__init__(name=config.name)
        self.config = config
        self.randomness = Randomness()
        self.catalogue = Catalogue(config)
        self._terms = RowTerms(config, self.catalogue, self.randomness)
        self.position_bias = PositionBias(config.position_bias, config.menu_length) if config.position_bias else None
        self.click_weights: np.ndarray | None = None  # by place; none: every click counts alike
        self.row_chances: RowChances | None = None  # of being drawn as a row that was not clicked
        if config.sampling not in (CLICKS, MENU):
            self.row_chances = row_chances(config.sampling, config.row_count)

    @property
    def needs_click_counts(self) -> bool:
        """Whether `learn_click_counts` must be called before the first loss."""
        return self.config.needs_click_counts

    def learn_click_counts(self, counts: np.ndarray) -> None:
        """Take the clicks of each row in training, [row_count]; they belong to the loss and are not saved."""
        self.row_chances = row_chances(CLICKS, self.config.row_count, counts)

    def learn_click_weights(self, weights: np.ndarray) -> None:
        """Take what a click at each place counts, [places] float32; it belongs to the loss and is not saved."""
        self.click_weights = weights

    def learn_knowledge(self, knowledge: Knowledge) -> None:
        """Take what is known of rows and titles; it is saved with the weights."""
        self.catalogue.learn(knowledge)
        self._terms.learn_tables()

    def forget_tables(self) -> None:
        """Hold no more than an export needs: what only makes steps quicker is left out of it."""
        self._terms.forget_tables()

    def query(self, record: dict[str, tf.Tensor], training: bool = False) -> Query:
        """What is read off a page view, once for all rows."""
        raise NotImplementedError

    def own_scores(self, query: Query, rows: tf.Tensor, training: bool = False) -> tf.Tensor:
        """[batch, n] float32 logits of `rows`, as of `row_scores`, without the terms."""
        raise NotImplementedError

    def own_scores_of_all(self, query: Query, training: bool = False) -> tf.Tensor:
        """[batch, row_count] float32 logits of all rows, without the terms."""
        return self.own_scores(query, tf.range(self.config.row_count), training)

    def row_scores(self, query: Query, rows: tf.Tensor, training: bool = False) -> tf.Tensor:
        """[batch, n] float32 logits of `rows`: int32 ids [batch, n], or [n] for the same rows on every page view."""
        return self._terms(self.own_scores(query, rows, training), query, rows, training)

    def call(self, record: dict[str, tf.Tensor]) -> tf.Tensor:
        """[batch, menu] float32 logits of the offered rows."""
        return self.menu_scores(record)

    def compute_loss(self, inputs: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Mean loss of a batch of records."""
        inputs = {**inputs, "menu": known_ids(inputs["menu"], self.config.row_count)}
        if self.click_weights is None:
            return tf.reduce_mean(OBJECTIVES[self.config.loss](self, inputs, training))
        # Each click's part of the loss times its weight: the page view's by their sum, its clicks' by their shares.
        clicked = tf.cast(inputs["clicked"], tf.float32)
        weighted = clicked * self.click_weights[: clicked.shape[1]]
        of_page = tf.reduce_sum(weighted, axis=1) / tf.reduce_sum(clicked, axis=1)
        losses = OBJECTIVES[self.config.loss](self, {**inputs, "clicked": weighted}, training)
        return tf.reduce_mean(of_page * losses)

    def vocabulary_scores(self, record: dict[str, tf.Tensor]) -> tf.Tensor:
        """[batch, row_count] float32 logits of all rows; columns 0 and 1 are padding and unknown."""
        return self.all_scores(self.query(record))

    def menu_scores(self, record: dict[str, tf.Tensor]) -> tf.Tensor:
        """[batch, menu] float32 logits of the offered rows; padding has the score of id 0 and is to be masked."""
        scores = self.row_scores(self.query(record), known_ids(record["menu"], self.config.row_count))
        if self.position_bias and self.config.position_kept:
            scores += self.position_bias(tf.zeros_like(record["menu"]))  # a page to be ranked says nothing of pins
        return scores

    def menu_parts(self, record: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """What `menu_scores` adds up, [batch, menu] float32 each, by the setting that asks for it: `RowTerms.parts`."""
        query, rows = self.query(record), known_ids(record["menu"], self.config.row_count)
        parts = self._terms.parts(self.own_scores(query, rows), query, rows)
        if self.position_bias and self.config.position_kept:
            parts["position_bias"] = self.position_bias(tf.zeros_like(record["menu"]))
        return parts

    def all_scores(self, query: Query, training: bool = False) -> tf.Tensor:
        """[batch, row_count] float32 logits of all rows."""
        return self._terms(self.own_scores_of_all(query, training), query, tf.range(self.config.row_count), training)
