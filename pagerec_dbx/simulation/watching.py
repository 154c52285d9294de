"""What viewers watch: a sequence of titles that depends on nothing but the viewer and the number of the title.

So the history of any page view can be said without walking through the viewer's life.
"""

import dataclasses

import numpy as np

from pagerec_dbx.config import SimulateSettings
from pagerec_dbx.simulation.draws import Draws
from pagerec_dbx.simulation.world import DAY_MS, AliasTable, World


@dataclasses.dataclass(frozen=True)
class Watchers:
    """Who watches, one for each of n page views; see `viewers`."""

    viewer: np.ndarray  # [n] int64
    start_ms: np.ndarray  # [n] int64, when they first watched, from the log's first instant
    interval_ms: np.ndarray  # [n] int64, mean time between two titles
    taste_phase: np.ndarray  # [n] in periods of taste
    lifelong_theme: np.ndarray  # [n] int64


@dataclasses.dataclass(frozen=True)
class Histories:
    """The latest titles watched strictly before n page views, oldest first; H is `logged_history_length`."""

    titles: np.ndarray  # [n, H] int64, title numbers; places from the length on are padding
    watched_ms: np.ndarray  # [n, H] int64, epoch milliseconds
    lengths: np.ndarray  # [n] int64

    @property
    def watched(self) -> np.ndarray:
        """[n, H] True where there is a title."""
        return np.arange(self.titles.shape[1]) < self.lengths[:, None]


def watched_before(
    served_ms: np.ndarray, watchers: Watchers, draws: Draws, laws: AliasTable, settings: SimulateSettings, day0_ms: int
) -> Histories:
    """The histories of page views served at `served_ms` [n].

    Title number m of a viewer is begun at a random moment of the m-th of the equal intervals since they first watched.
    """
    running = np.floor((served_ms - day0_ms - watchers.start_ms) / watchers.interval_ms).astype(np.int64)
    begun = _watched_ms(running[:, None], watchers, draws, day0_ms)[:, 0] < served_ms
    last = running - np.where(begun, 0, 1)
    first = np.maximum(last - (settings.logged_history_length - 1), 0)
    numbers = first[:, None] + np.arange(settings.logged_history_length)
    moments = _watched_ms(numbers, watchers, draws, day0_ms)
    law = _laws_that_decide(numbers, moments - day0_ms, watchers, draws, settings)
    titles = _titles(numbers, law, watchers, draws, laws)
    return Histories(titles, moments, np.maximum(last - first + 1, 0))


def _watched_ms(numbers: np.ndarray, watchers: Watchers, draws: Draws, day0_ms: int) -> np.ndarray:
    """[n, H] epoch milliseconds at which the titles of these numbers [n, H] are begun."""
    within = draws.uniform("watched", watchers.viewer[:, None], numbers)
    since_start = np.floor((numbers + within) * watchers.interval_ms[:, None]).astype(np.int64)
    return watchers.start_ms[:, None] + day0_ms + since_start


def _laws_that_decide(
    numbers: np.ndarray, log_ms: np.ndarray, watchers: Watchers, draws: Draws, settings: SimulateSettings
) -> np.ndarray:
    """[n, H] which of the `title_laws` decides: that of the moving favourite, of the lifelong one, or of all titles.

    The moving part goes over from one favourite theme to the next in the course of each period.

    Args:
        numbers: [n, H] of the titles.
        log_ms: [n, H] when they are begun, from the log's first instant.
    """
    viewer, themes = watchers.viewer[:, None], settings.world_themes
    period = log_ms / (settings.taste_days * DAY_MS) + watchers.taste_phase[:, None]
    moved_on = draws.uniform("moved on", viewer, numbers) < np.mod(period, 1.0)
    favourite = draws.below(themes, "favourite", viewer, np.floor(period).astype(np.int64) + moved_on)
    pick = draws.uniform("theme", viewer, numbers)
    by_taste = np.where(pick < settings.taste_focus * settings.taste_drift, favourite, watchers.lifelong_theme[:, None])
    return np.where(pick < settings.taste_focus, by_taste, themes)


def _titles(numbers: np.ndarray, law: np.ndarray, watchers: Watchers, draws: Draws, laws: AliasTable) -> np.ndarray:
    """[n, H] titles drawn by these laws [n, H]."""
    room = draws.uniform("title", watchers.viewer[:, None], numbers) * laws.sizes[law] + laws.offsets[law]
    cell = np.floor(room).astype(np.int64)
    return np.where(room - cell < laws.keep[cell], laws.own[cell], laws.other[cell])


def shown_themes(
    histories: Histories, timed: np.ndarray, served_ms: np.ndarray, world: World, settings: SimulateSettings
) -> np.ndarray:
    """[n, K] the mean theme vector of the logged history.

    Newer titles count more: by their order and, where the log says the times, by their age. Without a history: zeros.

    Args:
        timed: [n] True where the log says the times.
        served_ms: [n] epoch milliseconds.
    """
    places = np.arange(histories.titles.shape[1])
    steps_back = np.where(histories.watched, histories.lengths[:, None] - 1 - places, 0)
    age_ms = np.where(histories.watched & timed[:, None], served_ms[:, None] - histories.watched_ms, 0)
    by_age = np.exp2(-age_ms / (settings.history_half_life_days * DAY_MS))
    weights = np.where(histories.watched, np.power(settings.history_decay, places)[steps_back] * by_age, 0.0)
    whole, themes = np.zeros(len(timed)), np.zeros((len(timed), settings.world_themes))
    for place in places:  # one after the other, so that no sum depends on the batch
        whole += weights[:, place]
        themes += weights[:, place, None] * world.title_themes[histories.titles[:, place]]
    return np.divide(themes, whole[:, None], out=np.zeros_like(themes), where=whole[:, None] > 0)
