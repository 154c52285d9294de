"""Page views in whole batches against one page view at a time in plain Python."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from pagerec_dbx.config import SimulateSettings
from pagerec_dbx.errors import SettingError
from pagerec_dbx.simulation.batches import WATCHERS, PagesFromVisits
from pagerec_dbx.simulation.chance import Chance
from pagerec_dbx.simulation.draws import Draws
from pagerec_dbx.simulation.world import make_world, title_laws
from tests.simulation_oracle import click_of, history_of, menu_of, uniform

DAY0_MS, DAY_MS = 1_704_067_200_000, 86_400_000
SETTINGS = SimulateSettings(
    seed=5, world_titles=60, world_rows=30, world_themes=4, menu_shortest=5, menu_longest=9, pinned_places=(0, 3),
    logged_history_length=6, randomized_share=0.3, history_ids_alone_share=0.3, no_click_utility=2.0,
)  # fmt: skip


def some_visits(count):
    rng = np.random.default_rng(3)
    return pa.RecordBatch.from_pydict(
        {
            "viewer": rng.integers(0, 50, count),
            "page_index": np.arange(count),
            "served_ms": DAY0_MS + rng.integers(0, 3 * DAY_MS, count),
            "utc_offset_minutes": pa.array(rng.choice([-480, 330], count), pa.int32(), mask=rng.random(count) < 0.4),
            "device": rng.integers(0, 4, count).astype(np.int32),
            "watch_start_ms": rng.choice([-20 * DAY_MS, -DAY_MS, DAY_MS], count),  # the last begin within the log
            "watch_interval_ms": rng.integers(3_600_000, 60_000_000, count),
            "taste_phase": rng.random(count),
            "lifelong_theme": rng.integers(0, 4, count),
            "user_id": [f"u{number}" for number in range(count)],
        }
    )


def made(settings, *batches):
    world = make_world(settings)
    step = PagesFromVisits(Draws(Chance(settings.seed)), world, title_laws(world), settings, DAY0_MS)
    return pa.Table.from_batches(step(iter(batches))).combine_chunks()


@pytest.fixture(scope="module")
def visits():
    return some_visits(60).to_pylist()


@pytest.fixture(scope="module")
def pages():
    return made(SETTINGS, some_visits(60)).to_pylist()


def test_visits_keep_their_columns_but_those_used_up(visits, pages):
    for visit, page in zip(visits, pages, strict=True):
        assert not set(WATCHERS) & set(page)
        assert {name: value for name, value in visit.items() if name not in WATCHERS}.items() <= page.items()


def test_histories_are_those_of_a_walk_through_the_viewers_life(visits, pages):
    laws = title_laws(make_world(SETTINGS))
    lengths = set()
    for visit, page in zip(visits, pages, strict=True):
        wanted = history_of(visit, laws, SETTINGS, DAY0_MS)
        assert [(entry["title"], entry["watched_ms"]) for entry in page["history"]] == wanted
        lengths.add(len(wanted))
    assert {0, 6} < lengths


def test_menus_are_those_of_a_plain_draw(visits, pages):
    world = make_world(SETTINGS)
    for visit, page in zip(visits, pages, strict=True):
        randomized, rows, pins = menu_of(visit, world, SETTINGS, DAY0_MS)
        assert (page["randomized"], page["rows"]) == (randomized, rows)
        assert [place for place, pinned in enumerate(page["pinned"]) if pinned] == pins
        assert page["row_ids"] == [world.row_ids[row] for row in rows]
    assert 5 < sum(page["randomized"] for page in pages) < 35
    assert 10 < sum(any(page["pinned"]) for page in pages) < 55


def test_launched_rows_are_offered_from_their_day_on(visits):
    settings = dataclasses.replace(SETTINGS, launched_share=0.4, launch_day=1.5)
    world, launched = make_world(settings), set(range(18, 30))  # 12 of 30 rows
    early, late = set(), set()
    for visit, page in zip(visits, made(settings, some_visits(60)).to_pylist(), strict=True):
        assert page["rows"] == menu_of(visit, world, settings, DAY0_MS)[1]
        (late if visit["served_ms"] >= DAY0_MS + 1.5 * DAY_MS else early).update(page["rows"])
    assert not early & launched
    assert len(late & launched) > 6


def test_rows_launched_later_must_leave_enough_for_a_menu():
    # 30 rows, menus of 9 and 2 pinned: 12 must be there from the beginning, of which a share of .6 leaves just so many
    assert dataclasses.replace(SETTINGS, launched_share=0.6).rows_from_the_beginning == 12
    with pytest.raises(SettingError, match="`launched_share`.*0.65, which leaves 10"):
        dataclasses.replace(SETTINGS, launched_share=0.65)


def test_clicks_are_those_of_a_plain_draw(visits, pages):
    for visit, page in zip(visits, pages, strict=True):
        chances, no_click = page["click_probabilities"], page["no_click_probability"]
        assert sum(chances) == pytest.approx(1)
        assert page["click_position"] == click_of(visit, chances, no_click, SETTINGS)
        ids_alone = uniform(SETTINGS.seed, "ids alone", visit["viewer"], visit["page_index"]) < 0.3
        assert page["timed"] != ids_alone
    assert 10 < sum(page["click_position"] is None for page in pages) < 50


@pytest.mark.parametrize("width", [4, 1_000])
def test_pages_do_not_depend_on_the_batches(width):
    """To the last bit: 1,500 visits are more than are worked on at once."""
    whole = some_visits(1_500)
    parts = [whole.slice(start, width) for start in range(0, 1_500, width)]
    assert made(SETTINGS, *parts).equals(made(SETTINGS, whole))


def test_pages_depend_on_the_seed():
    """The control of the test above: it does see other draws."""
    other = dataclasses.replace(SETTINGS, seed=6)
    assert not made(other, some_visits(20)).equals(made(SETTINGS, some_visits(20)))


def test_worlds_without_pins_have_menus_of_drawn_rows_only():
    pages = made(dataclasses.replace(SETTINGS, pinned_places=()), some_visits(40)).to_pylist()
    assert not any(any(page["pinned"]) for page in pages)
    assert all(len(set(page["rows"])) == len(page["rows"]) for page in pages)


@pytest.mark.parametrize(("no_click_utility", "clicked"), [(1e4, False), (-1e4, True)])
def test_overwhelming_odds_leave_probabilities_that_are_numbers(no_click_utility, clicked):
    settings = dataclasses.replace(SETTINGS, no_click_utility=no_click_utility)
    for page in made(settings, some_visits(20)).to_pylist():
        assert sum(page["click_probabilities"]) == pytest.approx(1)
        assert page["no_click_probability"] == (0.0 if clicked else 1.0)
        assert (page["click_position"] is not None) == clicked
