"""How likely a viewer looks at each place of a page, so that clicks can be weighed by its inverse."""

import dataclasses
from collections.abc import Iterable

import numpy as np

from pagerec_dbx.errors import TrainingError
from pagerec_dbx.features.leases import reading
from pagerec_dbx.features.packing import packing_from_schema, unpack
from pagerec_dbx.features.snapshot import Snapshot, packed_rows

LEAST_CLICKS = 1_000  # on randomized page views, below which their shares by place are noise
LARGEST_WEIGHT = 10.0  # of a click: a few at the bottom of the page must not decide everything (Bottou et al. 2013)
_ROUNDS = 200
_ALIKE = 1e-5


@dataclasses.dataclass(frozen=True)
class PlaceCounts:
    """Of each place and row, on how many page views it stood there and was clicked there: [places, rows] each."""

    shown: np.ndarray
    clicked: np.ndarray


def place_counts(snapshot: Snapshot, numbers: Iterable[int], randomized_only: bool) -> PlaceCounts:
    """Counts over some files of a packed snapshot, whose page views all have a click.

    Args:
        numbers: of the files.
        randomized_only: leave out page views whose order was not drawn at random.
    """
    packing = packing_from_schema(snapshot.manifest.schema)
    places = next(field.length for field in packing.fields if field.name == "menu")
    size = (places, snapshot.manifest.row_count)
    shown, clicked = np.zeros(size, np.int64), np.zeros(size, np.int64)
    with reading(snapshot.folder):
        for number in numbers:
            fields = unpack(packing, packed_rows(snapshot, number), ("menu", "clicked", "randomized"))
            chosen = fields["randomized"] > 0 if randomized_only else slice(None)
            menu, clicks = fields["menu"][chosen], fields["clicked"][chosen]
            for counts, there in ((shown, menu > 0), (clicked, clicks > 0)):
                counts += np.bincount(_cells(menu, there, size), minlength=counts.size).reshape(size)
    return PlaceCounts(shown, clicked)


def _cells(menu: np.ndarray, there: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    _, places = np.nonzero(there)
    return places * size[1] + menu[there]


def from_randomized(counts: PlaceCounts) -> np.ndarray:
    """[places] the chance that a place is looked at, over that of the first: the share of clicks there.

    On page views in random order every row is as likely anywhere, so that only the place tells shares apart.
    Neighbours whose shares rise with the place are averaged: nobody looks more often further down.

    Raises:
        TrainingError: there are hardly any such page views.
    """
    clicked, shown = counts.clicked.sum(axis=1), counts.shown.sum(axis=1)
    if clicked.sum() < LEAST_CLICKS:
        raise TrainingError(
            "too few clicks on page views in random order",
            wanted=f"at least {LEAST_CLICKS:,} in the training snapshot",
            got=f"{clicked.sum():,}",
            fix="Train with propensities=em, which needs none, or have the service show more of them",
        )
    return _falling(clicked, shown)


def by_em(counts: PlaceCounts) -> np.ndarray:
    """[places] the same, estimated by expectation-maximisation of the position-based model from any page views.

    A click on row r at place k has the chance look[k] * like[r] (Wang et al. 2018, with a row's own number in place of
    their regression). It can tell place from liking only where rows changed their places.
    """
    looks = 1.0 / np.arange(1, len(counts.shown) + 1)
    likes = np.full(counts.shown.shape[1], 0.5)
    passed = counts.shown - counts.clicked
    of_place, of_row = counts.shown.sum(axis=1), counts.shown.sum(axis=0)
    for _ in range(_ROUNDS):
        both = looks[:, None] * likes
        missed = 1.0 / np.maximum(1.0 - both, 1e-12)  # of no click: either not looked at, or not liked
        looked = (counts.clicked + passed * (looks[:, None] - both) * missed).sum(axis=1) / np.maximum(of_place, 1)
        liked = (counts.clicked + passed * (likes - both) * missed).sum(axis=0) / np.maximum(of_row, 1)
        moved = np.abs(looked / max(looked[0], 1e-12) - looks / max(looks[0], 1e-12)).max()
        looks, likes = looked, liked
        if moved < _ALIKE:
            break
    return _falling(looks * of_place, of_place)


def click_weights(propensities: np.ndarray) -> np.ndarray:
    """[places] float32: what a click at each place counts, 1 at the first, at most 10."""
    return np.minimum(1.0 / np.maximum(propensities, 1e-12), LARGEST_WEIGHT).astype(np.float32)


def _falling(clicked: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """[places] shares over the first one's, never rising: the closest such by the counts behind them (isotonic)."""
    from sklearn.isotonic import IsotonicRegression

    there = shown > 0
    places = np.arange(len(shown))
    fitted = IsotonicRegression(increasing=False, out_of_bounds="clip")
    fitted.fit(places[there], clicked[there] / shown[there], sample_weight=shown[there])
    shares = fitted.predict(places)
    return shares / shares[0]
