"""At which places and times a row was offered and clicked before the page view, for the network over rows."""

import math

import tensorflow as tf

from pagerec_dbx.models.catalogue import Catalogue


def counted_parts(catalogue: Catalogue, rows: tf.Tensor, moment: tf.Tensor) -> tf.Tensor:
    """[batch, n, 6] float32: of offers, then of clicks

    - log10(1 + the mean place, from 0), log10(1 + the hours since the last one),
    - and 1 where there was none, with 0 and 0 beside it.

    Hours are counted until the moment as of which the page view knows them: so those of a page to be ranked are of the
    kind that was learnt from, however long after training it is served.

    Args:
        rows: int32 [batch, n], or [n] for all alike.
        moment: [batch] int32: see `Catalogue.moment`.
    """
    places, hours = catalogue.places_and_times(rows, moment)  # [batch, n, 2]
    never = tf.cast(places < 0, tf.float32)
    parts = [tf.math.log1p(tf.maximum(values, 0.0)) / math.log(10) for values in (places, hours)]
    together = tf.stack([*parts, never], axis=3)  # [batch, n, 2, 3]
    return tf.concat([together[:, :, 0], together[:, :, 1]], axis=2)
