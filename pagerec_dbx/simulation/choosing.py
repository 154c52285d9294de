"""What the viewer does with a page: one draw from a multinomial logit over the menu and "no click"."""

import dataclasses

import numpy as np

from pagerec_dbx.config import SimulateSettings
from pagerec_dbx.simulation.menus import Menus
from pagerec_dbx.simulation.world import DAY_MS, DAYPART_SIGNS, DAYPARTS, DEVICE_SIGNS, SECOND_THEME, World

_HOUR_MS = 3_600_000
_LARGEST_EXPONENT = 700.0  # a double holds no more than exp(709)


@dataclasses.dataclass(frozen=True)
class Choices:
    """The truth of n page views, and what was drawn from it; M is `menu_longest`, padding holds 0."""

    utilities: np.ndarray  # [n, M] of each row, free of its position
    click_probabilities: np.ndarray  # [n, M] of each row given a click, as served (sum 1)
    no_click_probability: np.ndarray  # [n]
    position: np.ndarray  # [n] of the drawn row; the menu's size for no click


def situations(served_ms: np.ndarray, offset_minutes: np.ndarray, device: np.ndarray) -> np.ndarray:
    """[n] device, daypart and weekday as one number, the index into `terms_without_history`.

    Hour and weekday are those that a reader of the log can know: local where the offset is logged, else UTC.

    Args:
        served_ms: [n] epoch milliseconds.
        offset_minutes: [n] 0 where the log does not say it.
        device: [n] its number.
    """
    local_ms = served_ms + offset_minutes * 60_000
    daypart = local_ms // _HOUR_MS % 24 // (24 // DAYPARTS)
    weekday = (local_ms // DAY_MS + 3) % 7  # Monday 0; 1970-01-01 was a Thursday
    return (device * DAYPARTS + daypart) * 7 + weekday


def terms_without_history(world: World, settings: SimulateSettings) -> np.ndarray:
    """[devices * dayparts * 7, rows] appeal + context + interaction.

    The interaction's sign is the device's times the time's: neither alone says anything of it, nor does any sum of what
    each says.
    """
    device = world.device_effects[:, None, None, :]
    daypart = world.daypart_effects[None, :, None, :]
    weekday = world.weekday_effects[None, None, :, :]
    signs = np.multiply.outer(DEVICE_SIGNS, DAYPART_SIGNS)[:, :, None, None] * world.row_sign
    terms = (
        settings.appeal_strength * world.row_appeal
        + settings.context_strength * (device + daypart + weekday)
        + settings.interaction_strength * signs
    )
    return terms.reshape(-1, len(world.row_appeal))


def utilities(
    menus: Menus, shown_themes: np.ndarray, situation: np.ndarray, world: World, settings: SimulateSettings
) -> np.ndarray:
    """[n, M] affinity + appeal + context + interaction of each row; each term has its strength. Padding holds 0.

    Args:
        shown_themes: [n, K] of the logged histories.
        situation: [n] as `situations`.
    """
    first = np.take_along_axis(shown_themes, world.row_theme[menus.rows], axis=1)
    second = np.take_along_axis(shown_themes, world.row_second_theme[menus.rows], axis=1)
    others = terms_without_history(world, settings)[situation[:, None], menus.rows]
    return np.where(menus.offered, settings.affinity_strength * (first + SECOND_THEME * second) + others, 0.0)


def drawn_choices(menus: Menus, utilities: np.ndarray, uniform: np.ndarray, settings: SimulateSettings) -> Choices:
    """What each viewer does.

    Args:
        utilities: [n, M] free of the position.
        uniform: [n] one draw each: how many rows' probabilities fit below it says which row is clicked.
    """
    examination = settings.position_strength * np.log(np.arange(menus.rows.shape[1]) + 1.0)
    served = np.where(menus.offered, utilities - examination, -np.inf)
    best = served.max(axis=1)
    odds = np.exp(served - best[:, None])
    total = odds.cumsum(axis=1)[:, -1]  # one after the other, so that no sum depends on the batch
    against = np.exp(np.minimum(settings.no_click_utility - best, _LARGEST_EXPONENT))
    chances = odds / total[:, None]
    position = _drawn_position(menus, chances, uniform * (1 + against / total))
    return Choices(utilities, chances, against / (against + total), position)


def _drawn_position(menus: Menus, chances: np.ndarray, draw: np.ndarray) -> np.ndarray:
    """[n] the number of rows whose chances [n, M], one after the other, fit below the draw [n]; all means no click."""
    left = np.subtract.accumulate(np.concatenate([draw[:, None], chances[:, :-1]], axis=1), axis=1)
    return ((left >= chances) & menus.offered).sum(axis=1)
