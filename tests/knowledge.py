"""What a model knows of rows and titles, drawn by chance."""

import dataclasses

import numpy as np

from pagerec_dbx.models.catalogue import Knowledge
from pagerec_dbx.models.names import MOMENTS


def some_knowledge(config, seed=1, new_rows=()) -> Knowledge:
    """Attributes of all sizes from none on, and counts at every moment; moments are the seconds 10, 20, ..."""
    draw = np.random.default_rng(seed)

    def tokens(count, most):
        matrix = np.stack([draw.permutation(np.arange(1, config.attribute_tokens))[:most] for _ in range(count)])
        kept = np.arange(most) < draw.integers(0, most + 1, [count, 1])
        kept[:2] = False  # padding and unknown have none
        return np.where(kept, matrix, 0).astype(np.int32)

    impressions = draw.integers(0, 50, [config.row_count, MOMENTS + 2])
    known = Knowledge(
        row_tokens=tokens(config.row_count, config.row_attributes),
        title_tokens=tokens(config.title_count, config.title_attributes),
        token_fields=np.arange(config.attribute_tokens, dtype=np.int32) % 4 - 1,  # every fourth the tenth of a number
        is_new=np.isin(np.arange(config.row_count), new_rows).astype(np.int32),
        moments=np.arange(1, MOMENTS + 1, dtype=np.int32) * 10,
        common_rate=draw.uniform(0.1, 0.5, MOMENTS + 2),
        clicks=draw.binomial(impressions, 0.3),
        impressions=impressions,
    )
    happened = np.stack([known.impressions, known.clicks], axis=2) > 0
    places, hours = (np.where(happened, draw.uniform(0, most, happened.shape), -1) for most in (20, 500))
    return dataclasses.replace(known, mean_places=places, hours_since=hours)
