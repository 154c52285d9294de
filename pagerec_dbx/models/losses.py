"""Losses: each one function of scores and clicks, one value a page view; and the draw of rows that were not clicked."""

import tensorflow as tf
import tf_keras


def full_softmax(menu: tf.Tensor, clicked: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Cross-entropy of the softmax over the whole row vocabulary, the target spread evenly over the clicked rows.

    With shares s of the clicked rows (equal, sum 1) it is log(sum(exp(logits))) - sum(s * logits of the clicked rows),
    so no [batch, vocabulary] target is ever built; shares of the same id add up by themselves.

    Args:
        menu: [batch, menu] int32 row ids, each below the vocabulary's size.
        clicked: [batch, menu] 1 where clicked, at least one 1 in each list.
        logits: [batch, vocabulary] float32.

    Returns:
        [batch] float32.
    """
    clicks = tf.cast(clicked, logits.dtype)
    shares = clicks / tf.reduce_sum(clicks, axis=1, keepdims=True)  # [batch, menu]
    offered = tf.gather(logits, menu, batch_dims=1)  # [batch, menu]
    return tf.reduce_logsumexp(logits, axis=1) - tf.reduce_sum(shares * offered, axis=1)


class FullSoftmax(tf_keras.losses.Loss):
    """`full_softmax` as a Keras loss, for a TFRS task; labels are (menu, clicked)."""

    def call(self, y_true: tuple[tf.Tensor, tf.Tensor], y_pred: tf.Tensor) -> tf.Tensor:
        menu, clicked = y_true
        return full_softmax(menu, clicked, y_pred)


def drawn_rows(taken: tf.Tensor, row_count: int, seed: tf.Tensor | tuple[int, int]) -> tf.Tensor:
    """One row of the vocabulary for each list, all rows that are not in it alike likely; 0 where none is left.

    Args:
        taken: [lists, length] int32 row ids that must not be drawn, padded with 0.
        row_count: entries of the vocabulary, padding (0) and unknown (1) included, which are never drawn.
        seed: [2] int32; the same seed gives the same draw.

    Returns:
        [lists] int32.
    """
    shape = [tf.shape(taken)[0], row_count]
    noise = tf.random.stateless_uniform(shape, seed)
    refused = tf.reduce_max(tf.one_hot(taken, row_count), axis=1) > 0  # [lists, row_count]
    free = tf.logical_and(tf.logical_not(refused), tf.range(row_count) >= 2)
    drawn = tf.argmax(tf.where(free, noise, -tf.ones_like(noise)), axis=1, output_type=tf.int32)
    return tf.where(tf.reduce_any(free, axis=1), drawn, tf.zeros_like(drawn))
