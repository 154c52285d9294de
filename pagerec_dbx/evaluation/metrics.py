"""The referee: ranking metrics of many lists at once, exact expectations over shuffled ties (SPEC 3).

Every function takes `scores`, `relevant` and `mask`, each [num_lists, length]: higher scores come first; `relevant` is
0 or 1; `mask` is True where there is a row. A real row may score -inf (last, tied with its like). `unlisted`,
[num_lists], counts relevant rows that the list does not hold: they count in the ideal DCG and are never found. A list
without any relevant row has no value: NaN.
"""

import dataclasses
import functools

import numpy as np

from pagerec_dbx.errors import ScoresError


@dataclasses.dataclass(frozen=True)
class TiedPlaces:
    """Lists in falling order of score, one entry per place, padding at the end. Arrays are [num_lists, length]."""

    size: np.ndarray  # rows in the tied group that fills this place (t)
    relevant: np.ndarray  # relevant rows in that group (r)
    rows: np.ndarray  # [num_lists] rows of the list, padding not counted
    unlisted: np.ndarray  # [num_lists] relevant rows that the list does not hold

    @functools.cached_property
    def gain(self) -> np.ndarray:
        """[num_lists, length] expected gain at each place: the mean of the tied group that fills it."""
        return self.relevant / self.size

    @functools.cached_property
    def total_relevant(self) -> np.ndarray:
        """[num_lists] relevant rows, listed or not."""
        return np.rint(self.gain.sum(axis=1)).astype(np.int64) + self.unlisted


def tied_places(scores, relevant, mask, unlisted=None, names=None) -> TiedPlaces:
    """Sort each list once; the metrics below are read off the result.

    Args:
        names: [num_lists] what to call a list in an error, its page_view_id; the index where None.

    Raises:
        ScoresError: shapes differ, or a row of a list scores NaN.
    """
    scores, relevant, mask = _checked(scores, relevant, mask, names)
    count, size = _by_tied_group(scores, (relevant > 0).astype(np.float64), mask)
    return TiedPlaces(
        size=size,
        relevant=count,
        rows=mask.sum(axis=1),
        unlisted=np.zeros(len(scores), dtype=np.int64) if unlisted is None else np.asarray(unlisted, dtype=np.int64),
    )


def _by_tied_group(scores: np.ndarray, values: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sort each list by falling score; the sum of the values and the number of rows of the group that fills each place.

    Returns:
        Two arrays [num_lists, length]; places of padding come last and have the sum 0.
    """
    key = np.where(mask, -scores, np.nan)  # ascending, and NaN sorts behind the +inf of a row that scores -inf
    order = np.argsort(key, axis=1)
    key = np.take_along_axis(key, order, axis=1)
    sorted_values = np.take_along_axis(np.where(mask, values, 0.0), order, axis=1)
    first = np.ones(key.shape, dtype=bool)  # of its tied group; every list begins one, so no group spans two lists
    first[:, 1:] = key[:, 1:] != key[:, :-1]  # NaN differs from NaN: each padding stands alone
    group = np.cumsum(first.ravel()) - 1
    total, size = np.bincount(group, weights=sorted_values.ravel()), np.bincount(group)
    return total[group].reshape(key.shape), size[group].reshape(key.shape)


def ndcg(scores, relevant, mask, k=None, unlisted=None) -> np.ndarray:
    """Expected NDCG; DCG and ideal DCG are both cut at `k` (None: no cut). [num_lists] in [0, 1]."""
    return ndcg_of(tied_places(scores, relevant, mask, unlisted), k)


def reciprocal_rank(scores, relevant, mask, k=None, unlisted=None) -> np.ndarray:
    """Expected reciprocal rank of the first relevant row, 0 past `k`. [num_lists] in [0, 1]."""
    return reciprocal_rank_of(tied_places(scores, relevant, mask, unlisted), k)


def hit(scores, relevant, mask, k=1, unlisted=None) -> np.ndarray:
    """Chance that one of the first `k` places holds a relevant row; k=1 is top-1 accuracy. [num_lists] in [0, 1]."""
    return hit_of(tied_places(scores, relevant, mask, unlisted), k)


def auc(scores, relevant, mask) -> np.ndarray:
    """Share of (relevant, other) pairs in the right order, ties one half. [num_lists]; NaN where all are relevant."""
    return auc_of(tied_places(scores, relevant, mask))


def ndcg_of(places: TiedPlaces, k=None) -> np.ndarray:
    """See `ndcg`."""
    longest = max(places.gain.shape[1], int(places.total_relevant.max(initial=0)))
    rank = np.arange(1, longest + 1)
    discount = np.where(rank <= (k or longest), 1 / np.log2(rank + 1), 0.0)
    ideal = np.concatenate([[0.0], np.cumsum(discount)])[places.total_relevant]
    dcg = places.gain @ discount[: places.gain.shape[1]]
    return np.divide(dcg, ideal, out=np.full(len(dcg), np.nan), where=places.total_relevant > 0)


def reciprocal_rank_of(places: TiedPlaces, k=None) -> np.ndarray:
    """See `reciprocal_rank`."""
    rank, chance = _first_relevant(places)
    return _where_relevant(places, np.where(rank <= (k or np.inf), chance / rank, 0.0).sum(axis=1))


def hit_of(places: TiedPlaces, k=1) -> np.ndarray:
    """See `hit`."""
    rank, chance = _first_relevant(places)
    return _where_relevant(places, np.where(rank <= k, chance, 0.0).sum(axis=1))


def tied_top_of(places: TiedPlaces) -> np.ndarray:
    """1 where the best place is shared by several rows: no order at all in the place that counts most. [num_lists]"""
    return (places.size[:, 0] > 1).astype(np.float64)


def auc_of(places: TiedPlaces) -> np.ndarray:
    """See `auc`."""
    gain = places.gain
    real = np.arange(gain.shape[1]) < places.rows[:, None]
    other = np.where(real, 1.0 - gain, 0.0)
    others = places.rows - np.rint(gain.sum(axis=1))
    # Spread evenly over its group's places, a relevant row beats the others behind it and half of those beside it.
    beaten = (gain * (others[:, None] - np.cumsum(other, axis=1) + other / 2)).sum(axis=1)
    pairs = others * gain.sum(axis=1)
    return np.divide(beaten, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0.5)


def expected_metrics(scores, probabilities, mask, names=None) -> dict[str, np.ndarray]:
    """What each metric comes to over one click drawn with known probabilities: the metrics are linear in that click.

    Args:
        probabilities: [num_lists, length] of a click on each row, given that there is one; they sum to 1 over a list.

    Returns:
        [num_lists] each of ndcg, ndcg_at_10, reciprocal_rank, hit_at_1, hit_at_5. With one click the ideal DCG is 1.
    """
    scores, probabilities, mask = _checked(scores, probabilities, mask, names)
    total, size = _by_tied_group(scores, probabilities, mask)
    chance = total / size  # of the click at each place
    rank = np.arange(1, chance.shape[1] + 1)
    discount = 1 / np.log2(rank + 1)
    return {
        "ndcg": chance @ discount,
        "ndcg_at_10": chance[:, :10] @ discount[:10],
        "reciprocal_rank": chance @ (1 / rank),
        "hit_at_1": chance[:, 0],
        "hit_at_5": chance[:, :5].sum(axis=1),
    }


def log_loss(scores, relevant, mask) -> np.ndarray:
    """Cross-entropy of the list's softmax, the target spread evenly over its relevant rows. [num_lists] in nats."""
    scores, relevant, mask = _checked(scores, relevant, mask, None)
    target = (relevant > 0) & mask
    surprise = np.where(target, -log_probabilities(scores, mask), 0.0).sum(axis=1)
    count = target.sum(axis=1)
    return np.divide(surprise, count, out=np.full(len(count), np.nan), where=count > 0)


def log_probabilities(scores, mask) -> np.ndarray:
    """Log of the softmax over the rows of each list; padding -inf. An infinite top is shared by those that hold it."""
    scores = np.where(mask, np.asarray(scores, dtype=np.float64), -np.inf)
    top = scores.max(axis=1, keepdims=True)
    endless = np.isinf(top)
    with np.errstate(invalid="ignore", divide="ignore"):
        tied = np.where(mask & (scores == top), 0.0, -np.inf)
        shifted = np.where(endless, tied, scores - top)
        return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _first_relevant(places: TiedPlaces) -> tuple[np.ndarray, np.ndarray]:
    """Where the first relevant row can stand, and with what chance.

    Returns:
        rank [num_lists, w] counted from 1, and chance [num_lists, w] = C(t-j, r-1) / C(t, r) for j = 1..w, as a running
        product: the row at j is relevant, the j-1 before it are not.
    """
    above = np.argmax(places.relevant > 0, axis=1)  # g: the first place of the first group with a relevant row
    here = (np.arange(len(above)), above)
    t, r = places.size[here][:, None], places.relevant[here][:, None]
    j = np.arange(1, t.max(initial=1) + 1)[None, :]
    left = np.maximum(t - j + 1, 1)  # rows of the group not yet placed
    others_left = np.maximum(t - r - j + 1, 0)
    none_before = np.cumprod(np.concatenate([np.ones_like(r), others_left / left], axis=1), axis=1)[:, :-1]
    return above[:, None] + j, none_before * np.where(j <= t, r / left, 0.0)


def _where_relevant(places: TiedPlaces, values: np.ndarray) -> np.ndarray:
    return np.where(places.total_relevant > 0, values, np.nan)


def _checked(scores, relevant, mask, names) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scores, mask = np.asarray(scores, dtype=np.float64), np.asarray(mask, dtype=bool)
    relevant = np.asarray(relevant, dtype=np.float64)
    if scores.ndim != 2 or scores.shape != relevant.shape or scores.shape != mask.shape:
        raise ScoresError(
            "scores, relevance and mask do not fit together",
            wanted="three arrays [num_lists, length]",
            got=f"{scores.shape}, {relevant.shape}, {mask.shape}",
        )
    wrong = (np.isnan(scores) & mask).any(axis=1)
    if wrong.any():
        at = int(np.argmax(wrong))
        name = f"page view {names[at]}" if names is not None else f"list {at}"
        raise ScoresError(
            f"{name} has a row whose score is NaN",
            wanted="a number or -inf",
            got=f"NaN in {int(wrong.sum())} of {len(scores)} lists",
            fix="Look for exploding weights or missing inputs in the model that scored it",
        )
    return scores, relevant, mask
