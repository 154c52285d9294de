"""How likely a viewer looks at each place of a page, so that clicks can be weighed by its inverse."""

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np

from pagerec_dbx.errors import NoExamplesError
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


def place_counts(snapshot: Snapshot, numbers: Iterable[int]) -> PlaceCounts:
    """Counts over some files of a packed snapshot, whose page views all have a click.

    Args:
        numbers: of the files.
    """
    size = (_places(snapshot), snapshot.manifest.row_count)
    shown, clicked = np.zeros(size, np.int64), np.zeros(size, np.int64)
    for fields in _files(snapshot, numbers, "menu", "clicked"):
        menu = fields["menu"]
        for counts, there in ((shown, menu > 0), (clicked, fields["clicked"] > 0)):
            counts += np.bincount(_cells(menu, there, size), minlength=counts.size).reshape(size)
    return PlaceCounts(shown, clicked)


def randomized_clicks(snapshot: Snapshot, numbers: Iterable[int]) -> np.ndarray:
    """[places + 1, places] clicks at each place of page views in random order, by the number of rows on them.

    Args:
        snapshot, numbers: as of `place_counts`.
    """
    places = _places(snapshot)
    clicked = np.zeros((places + 1, places), np.int64)
    for fields in _files(snapshot, numbers, "menu", "clicked", "randomized"):
        chosen = fields["randomized"] > 0
        sizes = (fields["menu"][chosen] > 0).sum(axis=1)
        np.add.at(clicked, sizes, fields["clicked"][chosen] > 0)
    return clicked


def _places(snapshot: Snapshot) -> int:
    fields = packing_from_schema(snapshot.manifest.schema).fields
    return next(field.length for field in fields if field.name == "menu")


def _files(snapshot: Snapshot, numbers: Iterable[int], *names: str) -> Iterator[dict[str, np.ndarray]]:
    packing = packing_from_schema(snapshot.manifest.schema)
    with reading(snapshot.folder):
        for number in numbers:
            yield unpack(packing, packed_rows(snapshot, number), names)


def _cells(menu: np.ndarray, there: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    _, places = np.nonzero(there)
    return places * size[1] + menu[there]


def from_randomized(clicked: np.ndarray) -> np.ndarray:
    """[places] the chance that a place is looked at, over that of the first, from `randomized_clicks`.

    On page views in random order every row is as likely anywhere, so that among those of one size only the place tells
    clicks apart. But only page views with a click are kept, which is more of the long ones: clicks are a number of the
    size times one of the place, fitted to the sums of both (the most likely such, were clicks Poisson's; iterative
    proportional fitting, Deming and Stephan 1940). Neighbours whose numbers rise with the place are averaged: nobody
    looks more often further down.

    Raises:
        NoExamplesError: there are hardly any such page views.
    """
    if clicked.sum() < LEAST_CLICKS:
        raise NoExamplesError(
            "too few clicks on page views in random order",
            wanted=f"at least {LEAST_CLICKS:,} in the training snapshot",
            got=f"{clicked.sum():,}",
            fix="Train with propensities=em, which needs none, or have the service show more of them",
        )
    there = np.tri(len(clicked), clicked.shape[1], -1)  # a page of n rows has the first n places
    of_size, of_place = clicked.sum(axis=1), clicked.sum(axis=0)
    looks = np.ones(clicked.shape[1])
    for _ in range(_ROUNDS):
        views = there.T @ (of_size / np.maximum(there @ looks, 1e-12))  # those with the place, up to a factor
        looked = of_place / np.maximum(views, 1e-12)
        moved = np.abs(looked / max(looked[0], 1e-12) - looks / max(looks[0], 1e-12)).max()
        looks = looked
        if moved < _ALIKE:
            break
    return _falling(of_place, views)


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
