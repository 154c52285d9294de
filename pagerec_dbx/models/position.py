"""What the place on the page adds to a click: learnt beside the rows' scores, set aside in ranking unless kept."""

import tensorflow as tf
import tf_keras

from pagerec_dbx.models.names import EXAMINATION


class PositionBias(tf_keras.layers.Layer):
    """A number for each place, and one for a pinned row.

    `additive`: it is added to the score. `examination` (PAL, Guo et al. 2019): it is the logit of the chance that the
    viewer looks there, and a click needs both the look and the row: log sigmoid(place) + score where rows compete for
    one click.
    """

    def __init__(self, kind: str, places: int):
        """`places`: those of a menu in training; a longer menu's others are taken for the last of them."""
        super().__init__(name="position")
        self._looks, self._count = kind == EXAMINATION, places
        self._places = self.add_weight("places", shape=[places], initializer="zeros", experimental_autocast=False)
        self._pinned = self.add_weight("pinned", shape=[], initializer="zeros", experimental_autocast=False)

    def call(self, pinned: tf.Tensor) -> tf.Tensor:
        """[batch, menu] 1 where pinned -> [batch, menu] float32, to be added to the scores."""
        longer = tf.maximum(tf.shape(pinned)[1] - self._count, 0)
        places = tf.concat([self._places, tf.fill([longer], self._places[-1])], axis=0)[: tf.shape(pinned)[1]]
        added = places + self._pinned * tf.cast(pinned, tf.float32)
        return tf.math.log_sigmoid(added) if self._looks else added
