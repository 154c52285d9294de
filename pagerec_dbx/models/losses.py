"""Losses: each one function of scores and clicks, one value a page view.

Padding is no row: it competes in no softmax. Unknown rows are one class, as good as any. Several clicks on a page share
the target evenly; shares of the same class add up.
"""

import tensorflow as tf

from pagerec_dbx.models.inputs import UNKNOWN

_NEVER = -1e30  # a logit whose exponential is 0, and whose gradient is 0 and not NaN as that of -inf


def full_softmax(menu: tf.Tensor, clicked: tf.Tensor, logits: tf.Tensor, smoothing: float = 0.0) -> tf.Tensor:
    """Cross-entropy of the softmax over the whole row vocabulary.

    With shares s of the clicked rows (equal, sum 1) it is log(sum(exp(logits))) - sum(s * logits of the clicked rows),
    so no [batch, vocabulary] target is ever built.

    Args:
        menu: [batch, menu] int32 row ids, each below the vocabulary's size.
        clicked: [batch, menu] 1 where clicked, at least one 1 in each list.
        logits: [batch, vocabulary] float32; column 0 is padding.
        smoothing: share of the target that is spread over all rows alike (Szegedy et al. 2016).

    Returns:
        [batch] float32.
    """
    offered = tf.gather(logits, menu, batch_dims=1)  # [batch, menu]
    of_clicks = tf.reduce_sum(shares(clicked) * offered, axis=1)
    rows = logits[:, 1:]  # [batch, vocabulary - 1]
    return tf.reduce_logsumexp(rows, axis=1) - _smoothed(of_clicks, tf.reduce_mean(rows, axis=1), smoothing)


def menu_softmax(menu: tf.Tensor, clicked: tf.Tensor, logits: tf.Tensor, smoothing: float = 0.0) -> tf.Tensor:
    """Cross-entropy of the softmax over the rows offered on the page.

    Args:
        menu, clicked: as `full_softmax`.
        logits: [batch, menu] float32.
        smoothing: share of the target that is spread over the rows offered.

    Returns:
        [batch] float32.
    """
    real = menu > 0
    of_clicks = tf.reduce_sum(shares(clicked) * logits, axis=1)
    offered = tf.where(real, logits, tf.zeros_like(logits))
    mean = tf.reduce_sum(offered, axis=1) / tf.reduce_sum(tf.cast(real, logits.dtype), axis=1)
    competing = tf.where(real, logits, tf.fill(tf.shape(logits), _NEVER))
    return tf.reduce_logsumexp(competing, axis=1) - _smoothed(of_clicks, mean, smoothing)


def sampled_softmax(
    menu: tf.Tensor,
    clicked: tf.Tensor,
    of_clicks: tf.Tensor,
    rows: tf.Tensor,
    of_rows: tf.Tensor,
    log_expected: tf.Tensor,
) -> tf.Tensor:
    """The full softmax with its sum over all rows estimated from some (Bengio and Senecal 2008, Blanc and Rendle 2018).

    The sum is exp(s) of every clicked row, which is there for certain, plus exp(s - log Q) of every row that was drawn,
    Q its expected number among those drawn; a drawn row that was clicked on the page is left out. So the sum is right
    on average over draws, and with every row drawn (Q = 1) it is the full one.

    Args:
        menu, clicked: as `full_softmax`.
        of_clicks: [batch, menu] float32 scores of the clicked rows; anything where not clicked.
        rows: [drawn] int32 row ids that all page views of the batch share.
        of_rows: [batch, drawn] float32 their scores.
        log_expected: [drawn] or [batch, drawn] float32 log Q.

    Returns:
        [batch] float32.
    """
    return log_partition(menu, clicked, of_clicks, rows, of_rows, log_expected) - tf.reduce_sum(
        shares(clicked) * tf.where(clicked > 0, of_clicks, tf.zeros_like(of_clicks)), axis=1
    )


def log_partition(
    menu: tf.Tensor,
    clicked: tf.Tensor,
    of_clicks: tf.Tensor,
    rows: tf.Tensor,
    of_rows: tf.Tensor,
    log_expected: tf.Tensor,
) -> tf.Tensor:
    """[batch] log of the estimated sum over all rows; arguments as `sampled_softmax`."""
    taken = tf.where(clicked > 0, menu, tf.zeros_like(menu))  # [batch, menu]
    hit = _clicked_there(taken, rows)  # [batch, drawn]
    drawn = tf.where(hit, _NEVER, of_rows - log_expected)
    clicks = tf.where(_first_of_its_class(taken), of_clicks, _NEVER)
    return tf.reduce_logsumexp(tf.concat([clicks, drawn], axis=1), axis=1)


def binary(of_clicks: tf.Tensor, of_others: tf.Tensor, has_other: tf.Tensor, smoothing: float = 0.0) -> tf.Tensor:
    """Half the cross-entropy of "clicked" for a clicked row and half that of "not clicked" for one that was not.

    Args:
        of_clicks, of_others: [pairs] float32 scores.
        has_other: [pairs] False where there was no row to draw; its score counts for nothing.
        smoothing: share of the label that is a coin's.

    Returns:
        [pairs] float32.
    """
    labels = tf.ones_like(of_clicks) * (1 - smoothing / 2)
    of_click = tf.nn.sigmoid_cross_entropy_with_logits(labels, of_clicks)
    of_other = tf.nn.sigmoid_cross_entropy_with_logits(1 - labels, of_others)
    return (of_click + tf.where(has_other, of_other, tf.zeros_like(of_other))) / 2


def shares(clicked: tf.Tensor) -> tf.Tensor:
    """[batch, menu] float32: each click's share of its page view's target; zeros where nothing was clicked."""
    clicks = tf.cast(clicked, tf.float32)
    return tf.math.divide_no_nan(clicks, tf.reduce_sum(clicks, axis=1, keepdims=True))


def _smoothed(of_clicks: tf.Tensor, mean: tf.Tensor, smoothing: float) -> tf.Tensor:
    return of_clicks if smoothing == 0 else (1 - smoothing) * of_clicks + smoothing * mean


def _clicked_there(taken: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """[batch, drawn] True where a drawn row is one of the page view's clicked ones; of a menu only those are looked at.

    Args:
        taken: [batch, menu] the clicked rows, 0 elsewhere.
        rows: [drawn].
    """
    places = tf.where(taken > 0)  # [clicks, 2]: page view, place in the menu
    same = tf.gather_nd(taken, places)[:, None] == rows[None, :]  # [clicks, drawn]
    pages = tf.shape(taken)[0]
    return tf.math.unsorted_segment_max(tf.cast(same, tf.int32), places[:, 0], pages) > 0  # without a click: very low


def _first_of_its_class(taken: tf.Tensor) -> tf.Tensor:
    """[batch, menu] True where a row is clicked, of several unknown ones only at the first."""
    unknown = tf.cast(taken == UNKNOWN, tf.int32)
    again = tf.logical_and(taken == UNKNOWN, tf.cumsum(unknown, axis=1) > 1)
    return tf.logical_and(taken > 0, tf.logical_not(again))
