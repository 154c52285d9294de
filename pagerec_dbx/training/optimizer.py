"""The optimizer: Adam whose work for an embedding grows with the batch and not with the vocabulary."""

import tensorflow as tf
import tf_keras

from pagerec_dbx.config import TrainSettings


def optimizer_of(settings: TrainSettings, size: int, steps: int) -> tf_keras.optimizers.legacy.Optimizer:
    """The optimizer of a run; the rate grows with the ranks' joint batch (Goyal et al. 2017), warmed up over an epoch.

    Args:
        size: number of ranks.
        steps: of an epoch.
    """
    peak = settings.learning_rate * size
    rate = peak if size == 1 else WarmUp(settings.learning_rate, peak, steps)
    return _OPTIMIZERS[settings.optimizer](rate)


class WarmUp(tf_keras.optimizers.schedules.LearningRateSchedule):
    """From one rank's rate to the peak in a straight line, then level."""

    def __init__(self, start: float, peak: float, steps: int):
        self._start, self._peak, self._steps = start, peak, steps

    def __call__(self, step):
        share = tf.minimum(tf.cast(step, tf.float32) / self._steps, 1.0)
        return self._start + (self._peak - self._start) * share


class LazyAdam(tf_keras.optimizers.legacy.Adam):
    """Adam (Kingma and Ba 2015) that moves an embedding, and both its moments, only in steps whose batch has it.

    Keras's Adam lets the moments of all rows decay in every step and moves all rows by them: for 5 million titles that
    is most of a step. Dense weights are treated alike.
    """

    def _resource_apply_sparse(self, grad, var, indices, apply_state=None):
        """One step of the rows `indices` [rows], each named once, by `grad` [rows, dimension]."""
        numbers = apply_state[(var.device, var.dtype.base_dtype)]
        first, second = self.get_slot(var, "m"), self.get_slot(var, "v")
        mean = numbers["beta_1_t"] * tf.gather(first, indices) + numbers["one_minus_beta_1_t"] * grad
        square = numbers["beta_2_t"] * tf.gather(second, indices) + numbers["one_minus_beta_2_t"] * tf.square(grad)
        step = numbers["lr"] * mean / (tf.sqrt(square) + numbers["epsilon"])  # `lr` holds the corrections of the bias
        return tf.group(
            first.scatter_update(tf.IndexedSlices(mean, indices)),
            second.scatter_update(tf.IndexedSlices(square, indices)),
            var.scatter_sub(tf.IndexedSlices(step, indices)),
        )


_OPTIMIZERS = {"lazy_adam": LazyAdam, "adam": tf_keras.optimizers.legacy.Adam, "sgd": tf_keras.optimizers.legacy.SGD}
