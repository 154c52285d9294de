"""Training steps: one after another inside one call of the graph, and the time that they wait for data."""

from typing import NamedTuple

import tensorflow as tf

from pagerec_dbx.errors import TrainingError

# Odd, so that no two ids are mixed into one.
_MIXERS = (0x1E3779B97F4A7C15, 0x3F58476D1CE4E5B9, 0x14D049BB133111EB, 0x2545F4914F6CDD1D)
WAYS = len(_MIXERS)
_NONE = 2**63 - 1


class Taken(NamedTuple):
    """What some steps came to."""

    loss: float  # their sum
    waited: float  # seconds without a batch to work on
    lost: int = -1  # the first of them, from 0, whose loss (of the last: or gradient) is no number; -1: none
    days: tuple[int, int] = (0, 0)  # first and last day of the page views in its batch, since 1970-01-01
    least: tuple[int, ...] = ()  # of their records' ids, mixed in four ways: no other records have one of these
    gradients: tuple[float, float] = (0.0, 0.0)  # of the last step, after their reduction: their sum and length


class Steps:
    """Runs training steps over a stream.

    Several steps are one call of the graph: Python then costs nothing between them. The clock is read in the graph,
    before and after a batch is asked for.
    """

    def __init__(self, model, optimizer, mean):
        """`mean` takes gradients and their variables, and gives the gradients' means over all ranks."""
        self._model, self._optimizer, self._mean = model, optimizer, mean
        # Nothing here branches on a tensor in Python; AutoGraph would rewrite all of Keras for it, 20 s on each rank.
        self._run = tf.function(self._several, reduce_retracing=True, autograph=False)

    def run(self, batches, number: int) -> Taken:
        """Take so many steps.

        Args:
            batches: the iterator of a stream of dicts with static shapes.

        Raises:
            TrainingError: the stream ended before.
        """
        try:
            loss, waited, lost, days, least, gradients = self._run(batches, tf.constant(number))
        except tf.errors.OutOfRangeError as error:
            raise TrainingError(
                "a rank ran out of examples",
                wanted=f"{number} more steps",
                got="the end of its part of the snapshot",
                fix="Run `pagerec prepare` again; if it comes again, report this",
            ) from error
        return Taken(
            float(loss), float(waited), int(lost), tuple(days.numpy().tolist()), tuple((least.numpy() >> 11).tolist()),
            tuple(gradients.numpy().tolist()),
        )  # fmt: skip

    def _several(self, batches, number):
        def body(done, loss, waited, lost, days, least, _):
            asked = tf.timestamp()
            with tf.control_dependencies([asked]):
                batch = batches.get_next()
            with tf.control_dependencies(tf.nest.flatten(batch)):
                came = tf.timestamp()
            with tf.control_dependencies([came]):  # else a lone thread would read the clock after the step
                batch = tf.nest.map_structure(tf.identity, batch)
            waited += came - asked
            of_step, gradients = self._step(batch, tf.equal(done, number - 1))
            # A gradient that is none makes weights that are none, which the next loss shows; after the last step of a
            # call there is no next one before a checkpoint.
            is_number = tf.reduce_all(tf.math.is_finite([of_step, *tf.unstack(gradients)]))
            is_first = tf.logical_and(lost < 0, tf.logical_not(is_number))
            lost = tf.where(is_first, done, lost)
            days = tf.where(is_first, tf.stack([tf.reduce_min(batch["day"]), tf.reduce_max(batch["day"])]), days)
            mixed = batch["page_view_id"][:, None] * tf.constant([_MIXERS], tf.int64)  # [batch, 4], modulo 2^64
            least = tf.minimum(least, tf.reduce_min(mixed, axis=0))
            return done + 1, loss + of_step, waited, lost, days, least, gradients

        start = (
            tf.constant(0), tf.constant(0.0), tf.constant(0.0, tf.float64), tf.constant(-1), tf.zeros([2], tf.int32),
            tf.fill([WAYS], tf.constant(_NONE, tf.int64)), tf.zeros([2]),
        )  # fmt: skip
        return tf.while_loop(lambda done, *_: done < number, body, start, parallel_iterations=1)[1:]

    def _step(self, batch, is_last):
        with tf.GradientTape() as tape:
            loss = self._model.compute_loss(batch, training=True)
            total = loss + tf.add_n(self._model.losses) if self._model.losses else loss
        variables = self._model.trainable_variables
        gradients = self._mean(tape.gradient(total, variables), variables)
        self._optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss, tf.cond(is_last, lambda: _sum_and_length(gradients), lambda: tf.zeros([2]))


def _sum_and_length(gradients) -> tf.Tensor:
    """[2]: of all numbers in some gradients; of a table's those of the rows in use."""
    parts = [one.values if isinstance(one, tf.IndexedSlices) else one for one in gradients]
    parts = [tf.cast(part, tf.float32) for part in parts]
    # Stacked, not by AddN: TensorFlow may give one inside a branch a temporary variable, and does not find it gone the
    # next time.
    total = tf.reduce_sum(tf.stack([tf.reduce_sum(part) for part in parts]))
    squares = tf.reduce_sum(tf.stack([tf.reduce_sum(tf.square(part)) for part in parts]))
    return tf.stack([total, tf.sqrt(squares)])
