"""The study's two-tower softmax: the mean of the history beside the mean of the menu -> a score for every row."""

import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.history import MeanEmbedding
from pagerec_dbx.models.inputs import known_ids
from pagerec_dbx.models.losses import FullSoftmax
from pagerec_dbx.models.randomness import Randomness


class TwoTowerSoftmax(tfrs.Model):
    """Scores every row of the vocabulary; at the study's sizes it has 779,450 parameters."""

    def __init__(self, config: ModelConfig):
        super().__init__(name="two_tower_softmax")
        self._row_count = config.row_count
        self._query_tower = MeanEmbedding(
            config.title_count, config.embedding_size, name="history", buckets=config.title_buckets
        )
        self._candidate_tower = MeanEmbedding(config.row_count, config.embedding_size, name="menu")
        self._hidden = [tf_keras.layers.Dense(size, activation="relu") for size in config.hidden_sizes]
        self._dropout = config.dropout
        self.randomness = Randomness()
        self._logits = tf_keras.layers.Dense(config.row_count, name="logits")
        self._task = tfrs.tasks.Ranking(loss=FullSoftmax(name="full_softmax"))

    def call(self, record: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Logits of all rows, [batch, row_count]; columns 0 and 1 are padding and unknown."""
        query = self._query_tower(record["history"])  # [batch, embedding]
        candidates = self._candidate_tower(record["menu"])  # [batch, embedding]
        hidden = tf.concat([query, candidates], axis=1)  # [batch, 2 * embedding]
        for layer in self._hidden:
            hidden = self.randomness.dropped(layer(hidden), self._dropout, training)  # [batch, size of the layer]
        return tf.cast(self._logits(hidden), tf.float32)  # [batch, row_count]

    def compute_loss(self, inputs: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Mean loss of a batch of records."""
        labels = (known_ids(inputs["menu"], self._row_count), inputs["clicked"])
        return self._task(labels, self(inputs, training=training), compute_metrics=not training)

    def vocabulary_scores(self, record: dict[str, tf.Tensor]) -> tf.Tensor:
        """[batch, row_count] float32 logits."""
        return self(record)

    def menu_scores(self, record: dict[str, tf.Tensor]) -> tf.Tensor:
        """[batch, menu] float32 logits of the offered rows; padding has the score of id 0 and is to be masked."""
        return tf.gather(self(record), known_ids(record["menu"], self._row_count), batch_dims=1)
