"""What a loss must know of the whole training snapshot before the first step."""

from collections.abc import Callable, Iterable

import numpy as np

from pagerec_dbx.features.snapshot import Snapshot, click_counts
from pagerec_dbx.training.propensities import (
    PlaceCounts,
    by_em,
    click_weights,
    from_randomized,
    place_counts,
    randomized_clicks,
)


def learn_counts(model, train: Snapshot, numbers: Iterable[int], total: Callable[[np.ndarray], np.ndarray]) -> None:
    """Have a model learn what its loss asks for; nothing is counted that it does not need.

    Args:
        numbers: of the files that this rank counts.
        total: of an array of counts the sum over all ranks.

    Raises:
        TrainingError: propensities are to come from randomized page views, and there are hardly any.
    """
    numbers = list(numbers)
    if model.needs_click_counts:
        model.learn_click_counts(total(click_counts(train, numbers)))
    if model.config.propensities == "randomized":
        model.learn_click_weights(click_weights(from_randomized(total(randomized_clicks(train, numbers)))))
    if model.config.propensities == "em":
        own = place_counts(train, numbers)
        model.learn_click_weights(click_weights(by_em(PlaceCounts(total(own.shown), total(own.clicked)))))
