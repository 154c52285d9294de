"""The constants of a world, its settings, and the folder in which it is written."""

import numpy as np
import pytest

from pagerec_dbx.config import SimulateSettings
from pagerec_dbx.errors import LogsError, SettingError
from pagerec_dbx.simulation.world import attributes, make_world, title_laws
from pagerec_dbx.simulation.writing import written_aside

SMALL = SimulateSettings(world_titles=40, world_rows=50, world_themes=4)


def test_make_world_is_the_same_for_one_seed_and_another_for_another():
    first, again = make_world(SMALL), make_world(SMALL)
    other = make_world(SimulateSettings(seed=18, world_titles=40, world_rows=50, world_themes=4))
    np.testing.assert_array_equal(first.row_appeal, again.row_appeal)
    assert not np.array_equal(first.row_appeal, other.row_appeal)


def test_make_world_has_proportional_titles_and_balanced_signs():
    world = make_world(SMALL)
    assert world.title_weights[0] / world.title_weights[1] == pytest.approx(2**SMALL.zipf_exponent)
    np.testing.assert_allclose(world.title_themes.sum(axis=1), 1)
    assert world.row_sign.sum() == 0
    assert (world.row_theme != world.row_second_theme).all()


def test_title_laws_give_every_title_its_share():
    """A cell is drawn with 1/n and gives its own title with `keep`: summed over the cells that is the law."""
    world, laws = make_world(SMALL), title_laws(make_world(SMALL))
    for law, (offset, size) in enumerate(zip(laws.offsets, laws.sizes, strict=True)):
        cells = slice(offset, offset + size)
        share = np.zeros(40)
        np.add.at(share, laws.own[cells], laws.keep[cells] / size)
        np.add.at(share, laws.other[cells], (1 - laws.keep[cells]) / size)
        member = np.ones(40, bool) if law == 4 else world.title_theme == law
        wanted = np.where(member, world.title_weights, 0)
        np.testing.assert_allclose(share, wanted / wanted.sum(), atol=1e-12)


def test_attributes_name_the_theme_of_most_titles():
    from pagerec_dbx.simulation.world import THEMES

    world = make_world(SMALL)
    titles, rows = attributes(world, SMALL)
    right = [
        THEMES[theme] in line["attributes"]["themes"] for theme, line in zip(world.title_theme, titles, strict=True)
    ]
    assert 0.7 < np.mean(right) < 1
    assert len(rows) == 50 and rows[7]["row_id"] == world.row_ids[7]


@pytest.mark.parametrize(
    "wrong",
    [
        {"late_rate": 1.2},
        {"hashed_share": -0.1},
        {"affinity_strength": -1.0},
        {"world_rows": 40},
        {"menu_longest": 10},
        {"pinned_places": (3, 0)},
        {"pinned_places": (0, 25)},
        {"first_day": "soon"},
        {"history_decay": 0.0},
    ],
)
def test_simulate_settings_refuse_what_makes_no_world(wrong):
    with pytest.raises(SettingError, match=next(iter(wrong))):
        SimulateSettings(**wrong)


def test_written_aside_puts_the_folder_in_place_whole_or_not_at_all(tmp_path):
    out = tmp_path / "deep" / "logs"
    with pytest.raises(RuntimeError), written_aside(out) as folder:
        (folder / "half").write_text("")
        raise RuntimeError
    assert not out.exists() and not list(out.parent.iterdir())
    with written_aside(out) as folder:
        (folder / "whole").write_text("")
        assert not out.exists()
    assert [file.name for file in out.iterdir()] == ["whole"]


def test_written_aside_takes_an_empty_folder_and_refuses_a_full_one(tmp_path):
    with written_aside(tmp_path) as folder:
        (folder / "file").write_text("")
    with pytest.raises(LogsError, match="not empty.*new or empty folder"), written_aside(tmp_path):
        pass
    assert (tmp_path / "file").exists()
