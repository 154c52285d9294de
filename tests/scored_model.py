"""A model whose scores are given: what losses ask of a model, and no more."""

import types

import numpy as np
import tensorflow as tf

from pagerec_dbx.models.objectives import OBJECTIVES
from pagerec_dbx.models.sampling import row_chances


class ScoredModel:
    """Every page view has a score for every row, [batch, rows] float32."""

    position_bias = None

    def __init__(self, scores, sampling="uniform", counts=None, **settings):
        self.scores, rows = tf.convert_to_tensor(scores, tf.float32), np.shape(scores)[1]
        self.config = types.SimpleNamespace(label_smoothing=0.0, sampling=sampling, **settings)
        self.row_chances = None if sampling == "menu" else row_chances(sampling, rows, counts)
        self.randomness = self

    seed = (1, 2)

    def next_seed(self):
        return tf.convert_to_tensor(self.seed)

    def query(self, record, training=False):
        return {"scores": self.scores}

    def all_scores(self, query, training=False):
        return query["scores"]

    def row_scores(self, query, rows, training=False):
        if rows.shape.rank == 1:
            return tf.gather(query["scores"], rows, axis=1)
        return tf.gather(query["scores"], rows, batch_dims=1)

    def losses(self, loss, menu, clicked):
        """[batch]"""
        record = {"menu": tf.cast(menu, tf.int32), "clicked": tf.cast(clicked, tf.int32)}
        return OBJECTIVES[loss](self, record, True)
