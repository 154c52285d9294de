"""The study's model as plain Keras writes it: embedding layers as they come, one [batch, length, size] each."""

import tensorflow as tf
import tf_keras

from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.inputs import known_ids
from pagerec_dbx.models.losses import full_softmax


class PlainTwoTower(tf_keras.Model):
    """Two embeddings, their means, a stack of dense layers, the full softmax."""

    def __init__(self, config: ModelConfig, seed: int):
        super().__init__()
        tf_keras.utils.set_random_seed(seed)
        self._counts = config.title_count, config.row_count
        self._titles = tf_keras.layers.Embedding(config.title_count, config.embedding_size)
        self._rows = tf_keras.layers.Embedding(config.row_count, config.embedding_size)
        hidden = [tf_keras.layers.Dense(size, activation="relu") for size in config.hidden_sizes]
        self._stack = tf_keras.Sequential([*hidden, tf_keras.layers.Dense(config.row_count)])

    def call(self, record):
        """Logits of all rows, [batch, rows]."""
        towers = [
            _mean(layer, known_ids(record[name], count))
            for layer, name, count in zip((self._titles, self._rows), ("history", "menu"), self._counts, strict=True)
        ]
        return self._stack(tf.concat(towers, axis=1))

    def compute_loss(self, record, training=False):
        """Mean over the page views."""
        menu = known_ids(record["menu"], self._counts[1])
        return tf.reduce_mean(full_softmax(menu, record["clicked"], self(record)))

    def menu_scores(self, record):
        """[batch, menu] of the offered rows."""
        return tf.gather(self(record), known_ids(record["menu"], self._counts[1]), batch_dims=1)


def _mean(layer, ids):
    present = tf.cast(ids > 0, tf.float32)[:, :, None]
    return tf.reduce_sum(layer(ids) * present, axis=1) / tf.maximum(tf.reduce_sum(present, axis=1), 1.0)
