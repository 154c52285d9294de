"""The holdout, judged where it lies: one pass in Spark's Arrow batches, no page view ever collected."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.evaluation.baselines import POPULARITY, Floor, smoothing_of
from pagerec_dbx.evaluation.entries import SCHEMA, Entry, figures_of, records_of
from pagerec_dbx.evaluation.pages import (
    LISTS,
    SINGLE,
    SLICES,
    TRUE,
    World,
    pages_from_arrow,
    scores_from_arrow,
    width,
    world_from_arrow,
)
from pagerec_dbx.evaluation.protocols import (
    MENU,
    MENU_UNPINNED,
    VOCABULARY,
    WITH_POSITION,
    WITHOUT_POSITION,
    PageBatch,
    menu_lists,
    offered_first_lists,
    require_scores,
    unpinned_lists,
    vocabulary_lists,
)
from pagerec_dbx.schemas import EVALUATIONS, SHOWN
from pagerec_dbx.tables import conform
from pagerec_dbx.workers import OnceAProcess, once_a_process

SCORES = "scores"  # a column of page views that somebody has scored
SCORES_AT_ONCE = 2_000_000  # scores of one batch: pages x rows ranked; 16 MB each array


class Ranker(Protocol):
    """What scores pages; `models.export.Ranker` is one."""

    def menu_scores(self, record) -> np.ndarray: ...

    def vocabulary_scores(self, record) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True)
class Judged:
    """Who is judged in one pass; sent to the workers."""

    holdout: str  # name of the snapshot
    row_count: int  # entries of its row vocabulary, padding and unknown included
    version: str
    load: Callable[[], Ranker]  # picklable; called once in each worker process
    floors: tuple[Floor, ...]


def evaluate_frame(pages: DataFrame, judged: Judged) -> DataFrame:
    """The metrics of a version and of the floors under every protocol, and under `menu` the slices of the page view.

    One record per page view, protocol, and version, floor or (with the truth) ceiling, in the columns of `evaluations`.
    A page view whose clicked rows are all pinned has no record under `menu_unpinned`; one that was not ordered at
    random has none for the ceiling without position.

    Args:
        pages: as `holdout_pages`.

    Raises:
        ScoresError: on a worker, if a score is NaN.
    """
    entries = functools.partial(_judged, judged=judged, ranker=once_a_process(judged.load))
    return _evaluated(pages, entries, judged.row_count, judged.holdout, smoothing_of(judged.floors))


def evaluate_floors(pages: DataFrame, floors: tuple[Floor, ...], holdout: str) -> DataFrame:
    """The same for floors alone."""
    return _evaluated(pages, functools.partial(_floors, floors=floors), 0, holdout, smoothing_of(floors))


def evaluate_scores(pages: DataFrame, name: str, holdout: str) -> DataFrame:
    """The same for somebody who has scored the page views beforehand; under `vocabulary` the rows offered come first.

    Args:
        pages: as `holdout_pages`, with `scores`, an array<double> aligned with the menu.

    Raises:
        ScoresError: on a worker, if a page view has no scores, or more or fewer than rows, or one that is NaN.
    """
    return _evaluated(pages, functools.partial(_scored, name=name), 0, holdout)


def _evaluated(
    pages: DataFrame,
    entries: Callable[..., Iterator["Entry"]],
    row_count: int,
    holdout: str,
    smoothing: float | None = None,
) -> DataFrame:
    """
    Args:
        entries: gives those judged on a batch, and how they rank it, from the batch and its page views and truth.
        row_count: rows ranked at most, if more than a menu holds.
        smoothing: of the popularity floor, where it is among them; its records keep it.
    """
    step = functools.partial(_evaluate_batches, entries=entries, row_count=row_count)
    frame = pages.select(*needed(pages)).mapInArrow(step, SCHEMA)
    smoothed = F.when(F.col("version") == POPULARITY, F.lit(smoothing).cast("double"))
    return conform(frame.withColumns({"holdout": F.lit(holdout), "popularity_smoothing": smoothed}), EVALUATIONS)


def needed(pages: DataFrame) -> list[str]:
    """The columns of `holdout_pages` that a pass over its batches reads."""
    always = ["page_view_id", "user_hash", "randomized", "clicked", "row_ids", *LISTS, *SINGLE]
    return always + [name for name in (*SHOWN, *TRUE, SLICES, SCORES) if name in pages.columns]


def _evaluate_batches(
    batches: Iterator[pa.RecordBatch], entries: Callable[..., Iterator[Entry]], row_count: int
) -> Iterator[pa.RecordBatch]:
    for part in parts(batches, row_count):
        pages, world = pages_from_arrow(part), world_from_arrow(part)
        for entry in entries(part, pages, world):
            yield records_of(part, entry, figures_of(entry, pages, world))


def parts(batches: Iterator[pa.RecordBatch], row_count: int) -> Iterator[pa.RecordBatch]:
    """The batches in pieces whose scores fit into memory; `row_count` as for `_evaluated`."""
    for batch in batches:
        widest = max(row_count, width(batch.column("menu")))
        step = max(1, SCORES_AT_ONCE // widest)
        for start in range(0, batch.num_rows, step):
            yield batch.slice(start, step)


def _judged(
    batch: pa.RecordBatch, pages: PageBatch, world: World | None, judged: Judged, ranker: OnceAProcess[Ranker]
) -> Iterator[Entry]:
    """A version, the floors and, where the truth is known, the ceilings."""
    return itertools.chain(
        _version(pages, judged, ranker()), _floors(batch, pages, world, judged.floors), _ceilings(pages, world)
    )


def _version(pages: PageBatch, judged: Judged, ranker: Ranker) -> Iterator[Entry]:
    who = f"version {judged.version}"
    scores = require_scores(ranker.menu_scores(pages.record), pages.menu.shape, who)
    yield Entry(judged.version, MENU, menu_lists(pages, scores), has_probabilities=True)
    yield Entry(judged.version, MENU_UNPINNED, unpinned_lists(pages, scores), has_probabilities=True)
    rows = vocabulary_lists(pages, ranker.vocabulary_scores(pages.record), judged.row_count)
    yield Entry(judged.version, VOCABULARY, rows)


def _floors(batch: pa.RecordBatch, pages: PageBatch, world: World | None, floors: tuple[Floor, ...]) -> Iterator[Entry]:
    for floor in floors:
        scores = floor.menu_scores(pages)
        yield Entry(floor.name, MENU, menu_lists(pages, scores))
        yield Entry(floor.name, MENU_UNPINNED, unpinned_lists(pages, scores))
        rows = floor.vocabulary_lists(pages)
        if rows is not None:
            yield Entry(floor.name, VOCABULARY, rows)


def _scored(batch: pa.RecordBatch, pages: PageBatch, world: World | None, name: str) -> Iterator[Entry]:
    scores = scores_from_arrow(batch.column(SCORES), pages, name)
    yield Entry(name, MENU, menu_lists(pages, scores))
    yield Entry(name, MENU_UNPINNED, unpinned_lists(pages, scores))
    yield Entry(name, VOCABULARY, offered_first_lists(pages, scores))


def _ceilings(pages: PageBatch, world: World | None) -> Iterator[Entry]:
    """The best orders: by the chance of a click as served, and by what of it is not the position's doing."""
    if world is None:
        return
    known = world.known
    yield Entry(WITH_POSITION, MENU, menu_lists(pages, np.where(known[:, None], world.probabilities, 0)), pages=known)
    free = known & world.randomized
    yield Entry(WITHOUT_POSITION, MENU, menu_lists(pages, np.where(known[:, None], world.utilities, 0)), pages=free)
