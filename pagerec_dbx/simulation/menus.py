"""Which rows a page offers, and in which order: an old popularity policy with noise, or pure chance.

First the policy draws which rows are offered (the first of a Plackett-Luce order of all rows that there are by then);
then it draws their order (Plackett-Luce among those, or uniform on randomized pages); pinned rows stand at their
places.
"""

import dataclasses

import numpy as np

from pagerec_dbx.config import SimulateSettings
from pagerec_dbx.simulation.draws import Draws
from pagerec_dbx.simulation.world import World

_ROW_BITS = 1_024  # a sorting key holds a score and, in its last ten bits, a row
_SCORE_STEPS = 2.0**24
_LAST = np.int64((1 << 63) - 1)  # the key of what is not there


@dataclasses.dataclass(frozen=True)
class Menus:
    """The menus of n page views; M is `menu_longest`, places from the size on are padding."""

    rows: np.ndarray  # [n, M] int64, row numbers in page order
    sizes: np.ndarray  # [n] int64
    pinned: np.ndarray  # [n, M] True where the page forced the row
    randomized: np.ndarray  # [n] True where chance alone chose the order

    @property
    def offered(self) -> np.ndarray:
        """[n, M] True where there is a row."""
        return np.arange(self.rows.shape[1]) < self.sizes[:, None]


def drawn_menus(
    viewer: np.ndarray, page_index: np.ndarray, day: np.ndarray, draws: Draws, world: World, settings: SimulateSettings
) -> Menus:
    """What the page views [n] of these viewers offer.

    Args:
        viewer, page_index: [n] which page views.
        day: [n] days from the beginning of the log to the page view.
        draws, world, settings: of the simulation.
    """
    places = list(settings.pinned_places)
    sizes = draws.between(settings.menu_shortest, settings.menu_longest, "menu size", viewer, page_index)
    randomized = draws.happens(settings.randomized_share, "randomized", viewer, page_index)
    pinned_page = ~randomized & draws.happens(settings.pinned_share, "pinned", viewer, page_index) & bool(places)
    free = sizes - np.where(pinned_page, len(places), 0)
    scores = settings.policy_strength * world.old_popularity
    absent = (day < settings.launch_day)[:, None] & (np.arange(len(scores)) >= settings.rows_from_the_beginning)
    absent[pinned_page, : len(places)] = True  # they stand at places of their own
    pool = _pool(viewer, page_index, absent, draws, scores, settings)
    ordered = _ordered(pool, free, viewer, page_index, draws, np.where(randomized[:, None], 0.0, scores[pool]))
    pinned = pinned_page[:, None] & np.isin(np.arange(settings.menu_longest), places)
    rows = np.where(pinned_page[:, None], _with_pins(ordered, places), ordered)
    return Menus(rows, sizes, pinned, randomized)


def _pool(
    viewer: np.ndarray,
    page_index: np.ndarray,
    absent: np.ndarray,
    draws: Draws,
    scores: np.ndarray,
    settings: SimulateSettings,
) -> np.ndarray:
    """[n, M] the policy's first rows in the order of its draw, of those that are not absent [n, rows]."""
    rows = np.arange(len(scores))
    keys = _keys(draws.exponential("offer", viewer[:, None], page_index[:, None], rows[None, :]), scores, rows)
    keys[absent] = _LAST
    keys.partition(settings.menu_longest - 1, axis=1)
    return _rows_of(np.sort(keys[:, : settings.menu_longest], axis=1))


def _ordered(
    pool: np.ndarray, free: np.ndarray, viewer: np.ndarray, page_index: np.ndarray, draws: Draws, scores: np.ndarray
) -> np.ndarray:
    """[n, M] the first `free` [n] rows of the pool in falling order of score [n, M] + Gumbel noise; then padding."""
    keys = _keys(draws.exponential("order", viewer[:, None], page_index[:, None], pool), scores, pool)
    keys[np.arange(pool.shape[1]) >= free[:, None]] = _LAST
    keys.sort(axis=1)
    return np.where(keys == _LAST, 0, _rows_of(keys))


def _keys(noise: np.ndarray, scores: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """[n, rows] int64: minus score + Gumbel noise, and the row's number. The best row has the smallest key.

    The order of the keys is a draw from the Plackett-Luce law of exp(score).

    Args:
        noise: [n, rows] standard exponential.
        scores, rows: what broadcasts with it.
    """
    behind = np.log(noise)
    behind -= scores
    behind *= _SCORE_STEPS
    keys = np.floor(behind, out=behind).astype(np.int64)
    keys *= _ROW_BITS
    keys += rows
    return keys


def _rows_of(keys: np.ndarray) -> np.ndarray:
    return keys & np.int64(_ROW_BITS - 1)


def _with_pins(ordered: np.ndarray, places: list[int]) -> np.ndarray:
    """[n, M] the ordered rows with rows 0, 1, ... put in at the pinned places."""
    place = np.arange(ordered.shape[1])
    pinned_above = (place[:, None] > np.array(places, dtype=int)).sum(axis=1)
    rows = ordered[:, place - pinned_above]
    rows[:, places] = np.arange(len(places))
    return rows


def propensities(menus: Menus, world: World, settings: SimulateSettings) -> np.ndarray:
    """[n, M] chance of the row at its place, given the menu's rows and the rows above; 1 for pinned rows and padding.

    That is each row's odds over the sum of its own and those below; pinned rows have no odds.
    """
    scores = np.where(menus.randomized[:, None], 0.0, settings.policy_strength * world.old_popularity[menus.rows])
    odds = np.where(menus.offered & ~menus.pinned, np.exp(scores), 0.0)
    below = np.cumsum(odds[:, ::-1], axis=1)[:, ::-1]
    return np.divide(odds, below, out=np.ones_like(odds), where=odds > 0)
