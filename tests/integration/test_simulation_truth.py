"""The truth of a simulated world against a second computation in NumPy from what its logs show."""

import dataclasses

import numpy as np
import pytest

from pagerec_dbx.hashing import ensure_key
from pagerec_dbx.home import open_home
from pagerec_dbx.simulation.pages import simulated_pages
from pagerec_dbx.simulation.world import DAYPART_SIGNS, DEVICE_SIGNS, make_world
from tests.simulation_worlds import SETTINGS

PAGE_VIEWS = 2_000
DAY_MS = 86_400_000


def drawn(spark, tmp_path_factory, page_views, settings):
    key, _ = ensure_key(open_home(str(tmp_path_factory.mktemp("key") / "home")), derived_from_seed=5)
    return simulated_pages(spark, key, make_world(settings), page_views, 3, settings).toPandas()


@pytest.fixture(scope="module")
def pages(spark, tmp_path_factory):
    return drawn(spark, tmp_path_factory, PAGE_VIEWS, SETTINGS)


@pytest.fixture(scope="module")
def indifferent_pages(spark, tmp_path_factory):
    """A world in which nothing matters, with another seed."""
    off = {field.name: 0.0 for field in dataclasses.fields(SETTINGS) if field.name.endswith("_strength")}
    return drawn(spark, tmp_path_factory, 300, dataclasses.replace(SETTINGS, seed=6, **off))


def utilities_from_the_log(page, world, settings):
    """SPEC 6's utility of each row of one page view, free of its position."""
    weights, themes = 0.0, np.zeros(settings.world_themes)
    for steps_back, entry in enumerate(reversed(page.history)):
        age_days = (page.served_ms - entry["watched_ms"]) / DAY_MS if page.timed else 0.0
        weight = settings.history_decay**steps_back * 0.5 ** (age_days / settings.history_half_life_days)
        weights += weight
        themes += weight * world.title_themes[entry["title"]]
    shown = themes / weights if weights else themes
    offset = 0 if np.isnan(page.utc_offset_minutes) else page.utc_offset_minutes
    local_ms = page.served_ms + int(offset) * 60_000
    daypart, weekday = local_ms // 3_600_000 % 24 // 6, (local_ms // DAY_MS + 3) % 7
    rows = np.asarray(page.rows)
    affinity = shown[world.row_theme[rows]] + 0.5 * shown[world.row_second_theme[rows]]
    context = (
        world.device_effects[page.device, rows]
        + world.daypart_effects[daypart, rows]
        + world.weekday_effects[weekday, rows]
    )
    pair = DEVICE_SIGNS[page.device] * DAYPART_SIGNS[daypart] * world.row_sign[rows]
    return (
        settings.affinity_strength * affinity
        + settings.appeal_strength * world.row_appeal[rows]
        + settings.context_strength * context
        + settings.interaction_strength * pair
    )


def test_utilities_and_probabilities_follow_from_what_the_log_shows(pages):
    world = make_world(SETTINGS)
    for page in pages.itertuples():
        utilities = utilities_from_the_log(page, world, SETTINGS)
        np.testing.assert_allclose(page.utilities, utilities, atol=1e-9)
        served = np.exp(utilities - SETTINGS.position_strength * np.log(np.arange(len(utilities)) + 1))
        np.testing.assert_allclose(page.click_probabilities, served / served.sum(), atol=1e-12)
        none = np.exp(SETTINGS.no_click_utility)
        assert page.no_click_probability == pytest.approx(none / (none + served.sum()), abs=1e-12)


def test_propensities_are_the_policys_chances(pages):
    world = make_world(SETTINGS)
    for page in pages.itertuples():
        pinned = np.asarray(page.pinned)
        rows = np.asarray(page.rows)
        odds = np.ones(len(rows)) if page.randomized else np.exp(SETTINGS.policy_strength * world.old_popularity[rows])
        odds[pinned] = 0.0
        left = np.cumsum(odds[::-1])[::-1]
        np.testing.assert_allclose(np.asarray(page.propensities)[~pinned], (odds / left)[~pinned], atol=1e-12)
        assert (np.asarray(page.propensities)[pinned] == 1).all()


def surprise(pages, chances) -> float:
    """Largest deviation, in standard deviations, of the number of clicks on the k-th likeliest row, or of no clicks."""
    ranks = SETTINGS.menu_shortest
    expected, variance, observed = np.zeros((3, ranks + 1))
    for page, chance in zip(pages.itertuples(), chances, strict=True):
        best = np.argsort(-chance, kind="stable")[:ranks]
        chance_of = np.append(chance[best] * (1 - page.no_click_probability), page.no_click_probability)
        expected += chance_of
        variance += chance_of * (1 - chance_of)
        observed += np.append(best == page.click_position, np.isnan(page.click_position))
    return float(np.max(np.abs(observed - expected) / np.sqrt(variance)))


def test_clicks_are_drawn_with_the_true_probabilities(pages):
    assert surprise(pages, pages.click_probabilities) < 4
    wrong = [np.roll(chance, 1) for chance in pages.click_probabilities]
    assert surprise(pages, wrong) > 8  # the same test sees other probabilities


def test_strengths_of_zero_leave_nothing_to_learn(indifferent_pages):
    for page in indifferent_pages.itertuples():
        np.testing.assert_array_equal(page.utilities, 0.0)
        np.testing.assert_allclose(page.click_probabilities, 1 / len(page.rows), rtol=1e-12)
    on_randomized = indifferent_pages[~indifferent_pages.pinned.map(any)]
    for page in on_randomized.itertuples():  # a policy without a belief draws every order alike
        np.testing.assert_allclose(page.propensities, 1 / np.arange(len(page.rows), 0, -1), rtol=1e-12)


def test_another_seed_gives_other_pages(pages, indifferent_pages):
    assert not set(pages.served_ms) & set(indifferent_pages.served_ms)


def test_shares_are_about_as_stated(pages):
    """Four standard deviations of a share p of 2,000: .045 at most."""
    assert pages.randomized.mean() == pytest.approx(SETTINGS.randomized_share, abs=0.045)
    assert pages.utc_offset_minutes.notna().mean() == pytest.approx(SETTINGS.utc_offset_share, abs=0.045)
    assert (~pages.timed).mean() == pytest.approx(SETTINGS.history_ids_alone_share, abs=0.045)
    assert (pages.source == "hashed_payloads").mean() == pytest.approx(SETTINGS.hashed_share, abs=0.09)


def test_titles_are_drawn_by_their_weights(pages):
    """Tastes are spread evenly over the themes, so all viewers together watch by the Zipf law."""
    world = make_world(SETTINGS)
    watched = np.concatenate([[entry["title"] for entry in history] for history in pages.history if len(history)])
    share = np.bincount(watched.astype(int), minlength=200) / len(watched)
    assert share[:20].sum() == pytest.approx(world.title_weights[:20].sum(), abs=0.08)
