"""Nine rows and what is known of them, and the odds of a click in plain Python."""

import numpy as np
import tensorflow as tf

from pagerec_dbx.models.catalogue import Catalogue
from pagerec_dbx.models.config import ModelConfig
from tests.knowledge import some_knowledge

CONFIG = ModelConfig(
    "single_tower_softmax", 12, 9, device_count=4, location_count=4, history_length=4, shown_length=5, embedding_size=3,
    hidden_sizes=(5,), row_attributes=3, title_attributes=2, attribute_tokens=7, row_rates=True, viewer_taste=True,
    loss="menu_softmax",
)  # fmt: skip
KNOWLEDGE = some_knowledge(CONFIG)
ROWS = np.array([[2, 5, 8, 1], [3, 3, 7, 0]], np.int32)
EVERY = np.arange(9, dtype=np.int32)
SHOWN, CLICKED = np.array([[2, 5, 8, 2, 0], [0] * 5]), np.array([[1, 0, 0, 1, 0], [0] * 5])
TASTED = {"shown_row": SHOWN, "shown_clicked": CLICKED, "moment": np.array([7, 7])}
TASTED = {name: tf.constant(values, tf.int32) for name, values in TASTED.items()}


def learnt() -> Catalogue:
    """The catalogue of KNOWLEDGE."""
    catalogue = Catalogue(CONFIG)
    catalogue.learn(KNOWLEDGE)
    return catalogue


def filled(layer, *inputs):
    """The layer with weights drawn by chance, which are handed out by name."""
    layer(*inputs)
    draw = np.random.default_rng(5)
    for weight in layer.trainable_variables:
        weight.assign(draw.normal(size=weight.shape))
    return {weight.name.split("/")[-1].split(":")[0]: weight.numpy() for weight in layer.trainable_variables}


def click_odds_of(clicks, impressions, common, k=10.0, bias=0.0) -> float:
    """By definition, in plain Python."""
    prior = 1 / (1 + (1 / common - 1) * np.exp(-bias))
    rate = (clicks + k * prior) / (impressions + k)
    return np.log(rate / (1 - rate)) - np.log(common / (1 - common))


def click_odds(row, moment, k=10.0, bias=0.0) -> float:
    counts = (KNOWLEDGE.clicks[row, moment], KNOWLEDGE.impressions[row, moment], KNOWLEDGE.common_rate[moment])
    return click_odds_of(*counts, k, bias)
