"""The legacy's architecture, trained here: is this row clicked by somebody with this history, yes or no?"""

import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.history import MeanEmbedding
from pagerec_dbx.models.inputs import known_ids
from pagerec_dbx.models.losses import drawn_rows
from pagerec_dbx.models.randomness import Randomness

FIRST_ROW = 2  # after padding and unknown
_VALIDATION_SEED = (17, 0)  # the same negatives in every epoch, so that their losses can be compared


class LegacyBinary(tfrs.Model):
    """Scores one row at a time from the mean of the history and the row; the menu's other rows play no part."""

    def __init__(self, config: ModelConfig):
        super().__init__(name="legacy_binary")
        self._row_count = config.row_count
        self._history = MeanEmbedding(
            config.title_count, config.embedding_size, name="history", buckets=config.title_buckets
        )
        self._row = tf_keras.layers.Embedding(config.row_count, config.embedding_size, name="row")
        self._hidden = [tf_keras.layers.Dense(size, activation="relu") for size in config.hidden_sizes]
        self._dropout = config.dropout
        self.randomness = Randomness()
        self._logit = tf_keras.layers.Dense(1, name="logit")
        self._task = tfrs.tasks.Ranking(loss=tf_keras.losses.BinaryCrossentropy(from_logits=True))

    def call(self, record: dict[str, tf.Tensor]) -> tf.Tensor:
        """Logits of a click on each offered row, [batch, menu]."""
        return self.menu_scores(record)

    def compute_loss(self, inputs: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Mean binary cross-entropy over each clicked row and, for each, one row that was not clicked on that page.

        A clicked row that the vocabulary does not hold is left out: never drawn, it could only be learnt to be clicked.
        """
        clicked = tf.where(inputs["clicked"] > 0)  # [clicks, 2]: page view, place in the menu
        menu = known_ids(inputs["menu"], self._row_count)
        taken = tf.where(inputs["clicked"] > 0, menu, tf.zeros_like(menu))  # [batch, menu], 0 where not clicked
        seed = self.randomness.next_seed() if training else _VALIDATION_SEED
        negatives = drawn_rows(tf.gather(taken, clicked[:, 0]), self._row_count, seed)
        history = tf.gather(self._history(inputs["history"]), clicked[:, 0])  # [clicks, embedding]
        rows = tf.concat([tf.gather_nd(menu, clicked), negatives], axis=0)  # [2 * clicks]
        logits = self._logits(tf.tile(history, [2, 1]), rows, training)
        labels = tf.cast(tf.range(tf.shape(rows)[0]) < tf.shape(clicked)[0], tf.float32)
        known = tf.tile(rows[: tf.shape(clicked)[0]] >= FIRST_ROW, [2])  # of both rows of a pair
        # Nothing is drawn where every row of the vocabulary was clicked.
        weights = tf.cast(tf.logical_and(known, rows >= FIRST_ROW), tf.float32)
        return self._task(labels[:, None], logits[:, None], sample_weight=weights, compute_metrics=not training)

    def vocabulary_scores(self, record: dict[str, tf.Tensor]) -> tf.Tensor:
        """[batch, row_count] float32 logits, page view by page view: all at once takes [batch, rows, 2 embeddings]."""
        rows = tf.range(self._row_count)
        return tf.map_fn(
            lambda history: self._logits(tf.repeat(history[None, :], self._row_count, axis=0), rows),
            self._history(record["history"]),
        )

    def menu_scores(self, record: dict[str, tf.Tensor]) -> tf.Tensor:
        """[batch, menu] float32 logits of the offered rows; padding has the score of id 0 and is to be masked."""
        menu = known_ids(record["menu"], self._row_count)
        history = self._history(record["history"])[:, None, :]  # [batch, 1, embedding]
        return self._logits(tf.repeat(history, tf.shape(menu)[1], axis=1), menu)

    def _logits(self, history: tf.Tensor, rows: tf.Tensor, training: bool = False) -> tf.Tensor:
        """[..., embedding] and [...] row ids -> [...]."""
        hidden = tf.concat([history, self._row(rows)], axis=-1)
        for layer in self._hidden:
            hidden = self.randomness.dropped(layer(hidden), self._dropout, training)
        return tf.cast(self._logit(hidden)[..., 0], tf.float32)
