"""Arrow batches of visits to page views with their truth: the heart of a simulation, in NumPy on whole batches."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pagerec_dbx.config import SimulateSettings
from pagerec_dbx.simulation.choosing import Choices, drawn_choices, situations, utilities
from pagerec_dbx.simulation.draws import Draws
from pagerec_dbx.simulation.menus import Menus, drawn_menus, propensities
from pagerec_dbx.simulation.watching import Histories, Watchers, shown_themes, watched_before
from pagerec_dbx.simulation.world import DAY_MS, AliasTable, World

WATCHERS = ("watch_start_ms", "watch_interval_ms", "taste_phase", "lifelong_theme")  # of the visits, used up here
ADDED = {  # to the visits: the types in Spark's words
    "history": "array<struct<title:int,watched_ms:bigint>>",
    "timed": "boolean",
    "shown_themes": "array<double>",
    "randomized": "boolean",
    "rows": "array<int>",
    "row_ids": "array<string>",
    "pinned": "array<boolean>",
    "propensities": "array<double>",
    "situation": "int",
    "utilities": "array<double>",
    "click_probabilities": "array<double>",
    "no_click_probability": "double",
    "click_position": "int",
}

_AT_ONCE = 1_024  # page views, so that what is computed on the way stays in the processor's cache


@dataclasses.dataclass(frozen=True)
class PagesFromVisits:
    """A step for `mapInArrow`: what each visit shows and leads to.

    One record per page view: the visit's columns but WATCHERS, and ADDED: `history` (oldest title first), `timed` (the
    log says its times), `shown_themes` [K], `randomized`, `rows` (numbers, in page order), `row_ids`, `pinned`,
    `propensities`, `situation`, `utilities` (free of the position), `click_probabilities` (given a click, as served),
    `no_click_probability`, `click_position` (null for no click).
    """

    draws: Draws
    world: World
    laws: AliasTable
    settings: SimulateSettings
    day0_ms: int

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for start in range(0, batch.num_rows, _AT_ONCE):
                yield self.pages(batch.slice(start, _AT_ONCE))

    def pages(self, visits: pa.RecordBatch) -> pa.RecordBatch:
        """The page views of a few visits."""
        viewer, page_index, served_ms = (_numbers(visits, name) for name in ("viewer", "page_index", "served_ms"))
        watchers = Watchers(viewer, *(_numbers(visits, name) for name in WATCHERS))
        histories = watched_before(served_ms, watchers, self.draws, self.laws, self.settings, self.day0_ms)
        timed = ~self.draws.happens(self.settings.history_ids_alone_share, "ids alone", viewer, page_index)
        shown = shown_themes(histories, timed, served_ms, self.world, self.settings)
        day = (served_ms - self.day0_ms) / DAY_MS
        menus = drawn_menus(viewer, page_index, day, self.draws, self.world, self.settings)
        situation = situations(served_ms, _numbers(visits, "utc_offset_minutes"), _numbers(visits, "device"))
        liking = utilities(menus, shown, situation, self.world, self.settings)
        uniform = self.draws.uniform("click", viewer, page_index)
        choices = drawn_choices(menus, liking, uniform, self.settings)
        kept = {name: visits.column(name) for name in visits.schema.names if name not in WATCHERS}
        added = {
            "history": _history_lists(histories),
            "timed": pa.array(timed),
            "shown_themes": _lists(shown, np.ones(shown.shape, dtype=bool)),
            "situation": pa.array(situation.astype(np.int32)),
            **self._menu_columns(menus),
            **_choice_columns(choices, menus),
        }
        return pa.RecordBatch.from_pydict(kept | {name: added[name] for name in ADDED})  # Spark goes by the order

    def _menu_columns(self, menus: Menus) -> dict[str, pa.Array]:
        rows = _lists(menus.rows.astype(np.int32), menus.offered)
        return {
            "randomized": pa.array(menus.randomized),
            "rows": rows,
            "row_ids": pa.ListArray.from_arrays(rows.offsets, pa.array(self.world.row_ids).take(rows.values)),
            "pinned": _lists(menus.pinned, menus.offered),
            "propensities": _lists(propensities(menus, self.world, self.settings), menus.offered),
        }


def _choice_columns(choices: Choices, menus: Menus) -> dict[str, pa.Array]:
    return {
        "utilities": _lists(choices.utilities, menus.offered),
        "click_probabilities": _lists(choices.click_probabilities, menus.offered),
        "no_click_probability": pa.array(choices.no_click_probability),
        "click_position": pa.array(choices.position.astype(np.int32), mask=choices.position == menus.sizes),
    }


def _numbers(batch: pa.RecordBatch, name: str) -> np.ndarray:
    """A column of numbers, 0 where there is none."""
    return pc.fill_null(batch.column(name), 0).to_numpy(zero_copy_only=False)


def _lists(padded: np.ndarray, real: np.ndarray) -> pa.ListArray:
    """[n, width] as n lists of what is real [n, width]."""
    return pa.ListArray.from_arrays(_offsets(real), pa.array(padded[real]))


def _history_lists(histories: Histories) -> pa.ListArray:
    real = histories.watched
    parts = [pa.array(histories.titles[real].astype(np.int32)), pa.array(histories.watched_ms[real])]
    return pa.ListArray.from_arrays(_offsets(real), pa.StructArray.from_arrays(parts, ["title", "watched_ms"]))


def _offsets(real: np.ndarray) -> pa.Array:
    """Where each of n lists begins, and where the last ends."""
    return pa.array(np.concatenate([[0], real.sum(axis=1).cumsum()]).astype(np.int32))
