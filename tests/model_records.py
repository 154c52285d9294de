"""A record as models read it, for their unit tests."""

import tensorflow as tf


def a_record(**fields):
    """One page view of a vocabulary of five rows, the second row clicked; `fields` take the place of its own."""
    record = {
        "history": [[2, 3, 0]],
        "history_age": [[5, 4, 0]],
        "menu": [[2, 3, 4, 0]],
        "clicked": [[0, 1, 0, 0]],
        "pinned": [[1, 0, 0, 0]],
        "hour": [9],
        "weekday": [0],
        "device": [1],
        "location": [1],
        "day": [19_723],
    }
    return {name: tf.constant(value, tf.int32) for name, value in {**record, **fields}.items()}
