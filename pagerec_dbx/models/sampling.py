"""Draws of rows that were not clicked: how likely each row is, and what a draw of so many is expected to hold of it."""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from pagerec_dbx.models.inputs import UNKNOWN

UNIFORM, LOG_UNIFORM, CLICKS, MENU = "uniform", "log_uniform", "clicks", "menu"
FIRST_ROW = UNKNOWN + 1


@dataclasses.dataclass(frozen=True)
class RowChances:
    """How likely each row of the vocabulary is to be drawn; padding is never drawn."""

    chances: np.ndarray  # [row_count] float64, the sum is 1

    @functools.cached_property
    def known(self) -> np.ndarray:
        """[row_count] the chances with unknown rows left out."""
        chances = np.where(np.arange(len(self.chances)) >= FIRST_ROW, self.chances, 0.0)
        return chances / max(chances.sum(), np.finfo(float).tiny)

    def expected(self, number: int) -> np.ndarray:
        """[row_count] float64: the chance that a draw of so many different rows holds each; their sum is the number.

        Proportional to the chances, but none is above 1: what is left over goes to the others.
        """
        inclusion = np.zeros_like(self.chances)
        certain = np.zeros(len(inclusion), bool)
        while True:
            room = number - certain.sum()
            others = np.where(certain, 0.0, self.chances)
            inclusion = np.where(certain, 1.0, others * (room / max(others.sum(), np.finfo(float).tiny)))
            over = (inclusion > 1 - 1e-9) & ~certain
            if not over.any():
                return inclusion
            certain |= over


def row_chances(name: str, row_count: int, click_counts: np.ndarray | None = None) -> RowChances:
    """The chances by name.

    Args:
        name: uniform; log_uniform, log((id + 1) / id) for ids that stand in falling order of frequency, as those of a
            vocabulary made at once do; or clicks, the row's share of the clicks in training, each row having had one
            more.
        row_count: entries of the vocabulary, padding and unknown included.
        click_counts: [row_count] clicks in training, for `clicks`.
    """
    ids = np.arange(1, row_count, dtype=np.float64)  # of unknown and all rows
    weights = {
        UNIFORM: lambda: np.ones_like(ids),
        LOG_UNIFORM: lambda: np.log1p(1 / ids),
        CLICKS: lambda: click_counts[1:] + 1.0,
    }[name]()
    return RowChances(np.concatenate([[0.0], weights / weights.sum()]))


def drawn_for_all(chances: RowChances, number: int, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """So many different rows of the vocabulary, unknown among them, and the log of the chance that each had.

    Systematic sampling in random order (Madow 1949): rows lie one after another on a line, each as long as its chance
    is, and every whole step from a random start takes the row it falls on. The chances hold exactly, for any of them.

    Args:
        number: of rows, at most the vocabulary without padding.
        seed: [2] int32; the same seed gives the same draw.

    Returns:
        rows [number] int32; log_expected [number] float32.
    """
    expected = chances.expected(number)
    certain = np.flatnonzero(expected == 1)
    rest = np.flatnonzero((expected < 1) & (expected > 0))
    steps = number - len(certain)
    if steps == 0:
        return tf.constant(certain, tf.int32), tf.zeros([number])
    noise = tf.random.stateless_uniform([len(rest) + 1], seed)  # the last is the start
    order = tf.argsort(noise[:-1])
    ends = tf.cumsum(tf.gather(tf.constant(expected[rest]), order))  # [rest] float64
    points = tf.cast(noise[-1], tf.float64) + tf.range(steps, dtype=tf.float64)
    places = tf.minimum(tf.searchsorted(ends, points, side="right"), len(rest) - 1)  # the last end is rounded
    rows = tf.concat([certain.astype(np.int32), tf.gather(tf.constant(rest, tf.int32), tf.gather(order, places))], 0)
    return rows, tf.gather(tf.constant(np.log(np.maximum(expected, 1e-30)), tf.float32), rows)


def drawn_for_each(chances: RowChances, taken: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """One row for each list that is not in it, by the chances of those that are left; 0 where none is left.

    The rows that are left lie on a line, each as long as its chance is; a random point is moved up by the lengths of
    the taken rows below it, which gives its place on the line of all rows.

    Args:
        taken: [lists, length] int32 row ids that must not be drawn, each known one once, padded with 0.
        seed: [2] int32; the same seed gives the same draw.

    Returns:
        [lists] int32; padding and unknown are never drawn.
    """
    ends = tf.constant(np.cumsum(chances.known))  # [row_count] float64
    ordered = tf.sort(taken, axis=1)  # [lists, length]
    lengths = tf.gather(tf.constant(chances.known), ordered)  # [lists, length] float64; 0 of padding and unknown
    below = tf.cumsum(lengths, axis=1, exclusive=True)
    starts = tf.gather(ends, ordered) - lengths - below  # where each would begin, were those before it not there
    left = 1.0 - tf.reduce_sum(lengths, axis=1)  # [lists]
    point = tf.random.stateless_uniform([tf.shape(taken)[0]], seed, dtype=tf.float64) * left
    point += tf.reduce_sum(tf.where(starts <= point[:, None], lengths, tf.zeros_like(lengths)), axis=1)
    rows = tf.minimum(tf.searchsorted(ends, point, side="right"), len(chances.known) - 1)
    free = tf.logical_and(left > 1e-9, tf.logical_not(tf.reduce_any(taken == rows[:, None], axis=1)))
    return tf.where(free, rows, tf.zeros_like(rows))


def drawn_from_menu(menu: tf.Tensor, clicked: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """One row for each list that was offered, is known and was not clicked, all alike likely; 0 where there is none.

    Args:
        menu: [lists, menu] int32.
        clicked: [lists, menu] 1 where clicked.

    Returns:
        [lists] int32.
    """
    noise = tf.random.stateless_uniform(tf.shape(menu), seed)
    free = tf.logical_and(menu >= FIRST_ROW, clicked == 0)
    place = tf.argmax(tf.where(free, noise, -tf.ones_like(noise)), axis=1)
    drawn = tf.gather(menu, place, batch_dims=1)
    return tf.where(tf.reduce_any(free, axis=1), drawn, tf.zeros_like(drawn))
