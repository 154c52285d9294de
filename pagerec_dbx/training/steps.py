"""Training steps: one after another inside one call of the graph, and the time that they wait for data."""

from typing import NamedTuple

import tensorflow as tf

from pagerec_dbx.errors import TrainingError


class Taken(NamedTuple):
    """What some steps came to."""

    loss: float  # their sum
    waited: float  # seconds without a batch to work on
    lost: int = -1  # the first of them, from 0, whose loss is no number; -1: none
    days: tuple[int, int] = (0, 0)  # first and last day of the page views in its batch, since 1970-01-01


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
            loss, waited, lost, days = self._run(batches, tf.constant(number))
        except tf.errors.OutOfRangeError as error:
            raise TrainingError(
                "a rank ran out of examples",
                wanted=f"{number} more steps",
                got="the end of its part of the snapshot",
                fix="Run `pagerec prepare` again; if it comes again, report this",
            ) from error
        return Taken(float(loss), float(waited), int(lost), tuple(days.numpy().tolist()))

    def _several(self, batches, number):
        def body(done, loss, waited, lost, days):
            asked = tf.timestamp()
            with tf.control_dependencies([asked]):
                batch = batches.get_next()
            with tf.control_dependencies(tf.nest.flatten(batch)):
                waited += tf.timestamp() - asked
            of_step = self._step(batch)
            is_first = tf.logical_and(lost < 0, tf.logical_not(tf.math.is_finite(of_step)))
            lost = tf.where(is_first, done, lost)
            days = tf.where(is_first, tf.stack([tf.reduce_min(batch["day"]), tf.reduce_max(batch["day"])]), days)
            return done + 1, loss + of_step, waited, lost, days

        start = (
            tf.constant(0),
            tf.constant(0.0),
            tf.constant(0.0, tf.float64),
            tf.constant(-1),
            tf.zeros([2], tf.int32),
        )
        return tf.while_loop(lambda done, *_: done < number, body, start, parallel_iterations=1)[1:]

    def _step(self, batch):
        with tf.GradientTape() as tape:
            loss = self._model.compute_loss(batch, training=True)
            total = loss + tf.add_n(self._model.losses) if self._model.losses else loss
        variables = self._model.trainable_variables
        gradients = self._mean(tape.gradient(total, variables), variables)
        self._optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss
