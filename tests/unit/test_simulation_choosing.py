"""The multinomial logit and the history's themes on cases small enough for paper."""

import dataclasses

import numpy as np
import pytest

from pagerec_dbx.config import SimulateSettings
from pagerec_dbx.simulation.choosing import drawn_choices, situations, terms_without_history, utilities
from pagerec_dbx.simulation.menus import Menus, propensities
from pagerec_dbx.simulation.watching import Histories, shown_themes
from pagerec_dbx.simulation.world import make_world

SETTINGS = SimulateSettings(
    world_titles=40, world_rows=50, world_themes=4, history_decay=0.5, history_half_life_days=1.0, position_strength=1.0
)
WORLD = make_world(SETTINGS)
DAY_MS = 86_400_000


def one_menu(rows, size, pinned=(), randomized=False):
    pins = np.isin(np.arange(len(rows)), pinned)[None]
    return Menus(np.array([rows]), np.array([size]), pins, np.array([randomized]))


def test_drawn_choices_share_one_between_rows_and_no_click():
    """Utilities 0 and ln 3, examination 1 and 1/2, no click ln 2.5: odds 1, 1.5 and 2.5; a third row is padding."""
    settings = dataclasses.replace(SETTINGS, no_click_utility=float(np.log(2.5)))
    menus = Menus(np.tile([3, 4, 0], (4, 1)), np.full(4, 2), np.zeros((4, 3), bool), np.zeros(4, bool))
    choices = drawn_choices(menus, np.tile([0.0, np.log(3), 0.0], (4, 1)), np.array([0.19, 0.21, 0.49, 0.51]), settings)
    np.testing.assert_allclose(choices.click_probabilities, np.tile([0.4, 0.6, 0.0], (4, 1)))
    np.testing.assert_allclose(choices.no_click_probability, 0.5)
    assert choices.position.tolist() == [0, 1, 1, 2]  # of one: .2 and .3 for the rows, the rest for no click


def test_shown_themes_weigh_by_order_and_by_age():
    """Two titles, the older two days old: weights 1/2 x 1/4 and 1; without times 1/2 and 1; without titles none."""
    served = np.full(3, 10 * DAY_MS)
    titles = np.tile([5, 9, 0], (3, 1))
    moments = np.tile([8 * DAY_MS, 10 * DAY_MS, 99 * DAY_MS], (3, 1))
    histories = Histories(titles, moments, np.array([2, 2, 0]))
    shown = shown_themes(histories, np.array([True, False, True]), served, WORLD, SETTINGS)
    older, newer = WORLD.title_themes[5], WORLD.title_themes[9]
    np.testing.assert_allclose(shown, [(older / 8 + newer) / 1.125, (older / 2 + newer) / 1.5, np.zeros(4)])


def test_situations_are_local_where_the_offset_is_known():
    """1970-01-01 was a Thursday (3). 05:59 UTC is night (0); 60 minutes on it is morning (1)."""
    moment = 6 * 3_600_000 - 60_000
    found = situations(np.full(3, moment), np.array([0, 60, -480]), np.array([0, 0, 2]))
    assert found.tolist() == [(0 * 4 + 0) * 7 + 3, (0 * 4 + 1) * 7 + 3, (2 * 4 + 3) * 7 + 2]  # Wednesday evening


def test_utilities_add_the_terms_of_the_row():
    shown = np.array([[0.1, 0.2, 0.3, 0.4]])
    menu = one_menu([7, 30, 0], size=2)
    found = utilities(menu, shown, np.array([(1 * 4 + 2) * 7 + 5]), WORLD, SETTINGS)
    for place, row in enumerate([7, 30]):
        affinity = shown[0, WORLD.row_theme[row]] + 0.5 * shown[0, WORLD.row_second_theme[row]]
        context = WORLD.device_effects[1, row] + WORLD.daypart_effects[2, row] + WORLD.weekday_effects[5, row]
        sign = -1 * -1 * WORLD.row_sign[row]  # a phone in the afternoon
        wanted = 6 * affinity + 0.5 * WORLD.row_appeal[row] + 0.3 * context + 0.5 * sign
        assert found[0, place] == pytest.approx(wanted)
    assert found[0, 2] == 0


def test_interaction_is_no_sum_of_what_device_and_time_say():
    only = dataclasses.replace(SETTINGS, appeal_strength=0.0, context_strength=0.0, interaction_strength=1.0)
    terms = terms_without_history(WORLD, only).reshape(4, 4, 7, 50)
    np.testing.assert_array_equal(terms.mean(axis=0), 0)
    np.testing.assert_array_equal(terms.mean(axis=1), 0)
    np.testing.assert_array_equal(np.abs(terms), 1)


def test_propensities_are_odds_among_the_rows_below():
    menu = one_menu([0, 7, 8, 9, 0], size=4, pinned=[0])
    odds = np.exp(WORLD.old_popularity[[7, 8, 9]])
    wanted = [1, odds[0] / odds.sum(), odds[1] / odds[1:].sum(), 1, 1]
    np.testing.assert_allclose(propensities(menu, WORLD, SETTINGS), [wanted])
    at_random = one_menu([6, 7, 8, 9, 0], size=4, randomized=True)
    np.testing.assert_allclose(propensities(at_random, WORLD, SETTINGS), [[1 / 4, 1 / 3, 1 / 2, 1, 1]])
