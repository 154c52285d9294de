"""What a model is trained for, by name: which scores a loss needs of it. All give one value a page view.

A model is a `row_ranker.RowRanker`; `record["menu"]` holds ids that it knows.
"""

from collections.abc import Callable, Mapping

import tensorflow as tf

from pagerec_dbx.models import losses
from pagerec_dbx.models.inputs import UNKNOWN
from pagerec_dbx.models.names import BINARY, FULL_SOFTMAX, IN_BATCH_SOFTMAX, MENU_SOFTMAX, SAMPLED_SOFTMAX
from pagerec_dbx.models.sampling import MENU, drawn_for_all, drawn_for_each, drawn_from_menu

_VALIDATION_SEED = (17, 0)  # the same draws in every epoch, so that their losses can be compared
Record = Mapping[str, tf.Tensor]


def _full_softmax(model, record: Record, training: bool) -> tf.Tensor:
    logits = model.all_scores(model.query(record, training), training)
    return losses.full_softmax(record["menu"], record["clicked"], logits, model.config.label_smoothing)


def _menu_softmax(model, record: Record, training: bool) -> tf.Tensor:
    logits = model.row_scores(model.query(record, training), record["menu"], training)
    if model.position_bias:
        logits += model.position_bias(record["pinned"])
    return losses.menu_softmax(record["menu"], record["clicked"], logits, model.config.label_smoothing)


def _sampled_softmax(model, record: Record, training: bool) -> tf.Tensor:
    """Some rows are drawn for the whole batch."""
    query = model.query(record, training)
    rows, log_expected = drawn_for_all(model.row_chances, model.config.sampled_rows, _seed(model, training))
    of_rows = model.row_scores(query, rows, training)
    return _from_some(model, record, query, rows, of_rows, log_expected, training)


def _in_batch_softmax(model, record: Record, training: bool) -> tf.Tensor:
    """The rows clicked on the batch's page views compete, as often as they were clicked (Yi et al. 2019).

    A page view's own clicks are not drawn for it, so that of n clicks n - own are expected to hold a row of chance p
    p (n - own) times. With none of others nothing is drawn.
    """
    query = model.query(record, training)
    clicked = tf.cast(record["clicked"] > 0, tf.float32)
    rows = tf.boolean_mask(record["menu"], clicked > 0)  # [clicks]
    of_others = tf.reduce_sum(clicked) - tf.reduce_sum(clicked, axis=1, keepdims=True)  # [batch, 1]
    log_chances = tf.math.log(tf.gather(tf.constant(model.row_chances.chances, tf.float32), rows))
    log_expected = log_chances + tf.math.log(tf.maximum(of_others, 1.0))  # [batch, clicks]
    of_rows = model.row_scores(query, rows, training)
    return _from_some(model, record, query, rows, of_rows, log_expected, training)


def _from_some(model, record: Record, query, rows, of_rows, log_expected, training: bool) -> tf.Tensor:
    places = tf.where(record["clicked"] > 0)  # [clicks, 2]: page view, place in the menu
    scores = model.row_scores(_of_pages(query, places), tf.gather_nd(record["menu"], places)[:, None], training)
    of_clicks = tf.scatter_nd(places, scores[:, 0], tf.shape(record["menu"], tf.int64))  # [batch, menu]
    return losses.sampled_softmax(record["menu"], record["clicked"], of_clicks, rows, of_rows, log_expected)


def _binary(model, record: Record, training: bool) -> tf.Tensor:
    """Each clicked row against one row that was not clicked on that page, a page view's clicks sharing its weight.

    A clicked row that the vocabulary does not hold is left out: never drawn, it could only be learnt to be clicked.
    """
    places = tf.where(record["clicked"] > 0)  # [clicks, 2]: page view, place in the menu
    rows = tf.gather_nd(record["menu"], places)  # [clicks]
    others = _others(model, record, places[:, 0], _seed(model, training))  # [clicks], 0 where there is none
    query = _of_pages(model.query(record, training), places)
    scores = model.row_scores(query, tf.stack([rows, others], axis=1), training)  # [clicks, 2]
    of_pair = losses.binary(scores[:, 0], scores[:, 1], others > 0, model.config.label_smoothing)
    weights = tf.gather_nd(losses.shares(record["clicked"]), places) * tf.cast(rows > UNKNOWN, tf.float32)
    return tf.math.segment_sum(weights * of_pair, places[:, 0])


def _others(model, record: Record, pages: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    menu, clicked = tf.gather(record["menu"], pages), tf.gather(record["clicked"], pages)  # [clicks, menu]
    if model.config.sampling == MENU:
        return drawn_from_menu(menu, clicked, seed)
    return drawn_for_each(model.row_chances, tf.where(clicked > 0, menu, tf.zeros_like(menu)), seed)


def _of_pages(query, places: tf.Tensor):
    """A query for each click."""
    return tf.nest.map_structure(lambda part: tf.gather(part, places[:, 0]), query)


def _seed(model, training: bool) -> tf.Tensor:
    return model.randomness.next_seed() if training else tf.constant(_VALIDATION_SEED)


OBJECTIVES: Mapping[str, Callable[..., tf.Tensor]] = {
    FULL_SOFTMAX: _full_softmax,
    MENU_SOFTMAX: _menu_softmax,
    SAMPLED_SOFTMAX: _sampled_softmax,
    IN_BATCH_SOFTMAX: _in_batch_softmax,
    BINARY: _binary,
}
