"""Page views scored by a version in Spark's Arrow batches: their metrics beside popularity's, and the probabilities."""

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.evaluation.baselines import PopularityFloor
from pagerec_dbx.evaluation.intervals import Intervals, paired_intervals
from pagerec_dbx.evaluation.metrics import log_probabilities
from pagerec_dbx.evaluation.protocols import PageBatch, menu_lists, page_metrics
from pagerec_dbx.monitoring.distributions import (
    DAY,
    TRAINING,
    Distribution,
    aligned,
    cell_by,
    edges_of,
    interval_names,
    sides_of,
)
from pagerec_dbx.scoring.batch import PAGES_AT_ONCE, Loader, page_inputs, pages_from_arrow
from pagerec_dbx.scoring.pages import Pages, Ranker, padded, rank_pages
from pagerec_dbx.workers import OnceAProcess, once_a_process

SCORES = "scores"
FIGURES = ("ndcg", "reciprocal_rank")
OF_POPULARITY = "popularity_"  # before a figure of that floor
GAIN = "gain_"  # before a figure of the version minus that of popularity

GRID = 100  # steps of a probability's logarithm: a step is 1 % of the probability
LEAST = -15 * GRID  # probabilities below 3e-7 are one

_BUCKETS = 2**31
_NAMES = (*FIGURES, *(OF_POPULARITY + name for name in FIGURES))
_SCHEMA = "side string, user_hash string, probabilities array<int>, " + ", ".join(f"{name} double" for name in _NAMES)


def sampled(page_views: DataFrame, total: int, wanted: int) -> DataFrame:
    """About `wanted` of these page views, chosen by their ids: the same ones every time."""
    if total <= wanted:
        return page_views
    return page_views.where(F.pmod(F.xxhash64("page_view_id"), F.lit(_BUCKETS)) < round(_BUCKETS * wanted / total))


def scored(page_views: DataFrame, load: Loader, floor: PopularityFloor) -> DataFrame:
    """What the version makes of page views, and what popularity does.

    One record per page view: side, user_hash, the steps (GRID) of the logarithm of each row's probability of a click,
    given one, and the metrics of the menu protocol of both; null without a click.

    Args:
        page_views: records of `labelled_page_views` with a column `side`; for a model that reads it with what was shown
            before (`schemas.SHOWN`).
        load: gives the version's ranker; picklable, called once in each worker process.

    Raises:
        ScoresError: on a worker, if the model's scores of a page cannot be ranked.
    """
    step = functools.partial(_score_batches, ranker=once_a_process(load), floor=floor)
    return page_inputs(page_views, "side", "user_hash", "clicked").mapInArrow(step, _SCHEMA)


def _score_batches(
    batches: Iterator[pa.RecordBatch], ranker: OnceAProcess[Ranker], floor: PopularityFloor
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, batch.num_rows, PAGES_AT_ONCE):
            yield _score_batch(batch.slice(start, PAGES_AT_ONCE), ranker(), floor)


def _score_batch(batch: pa.RecordBatch, ranker: Ranker, floor: PopularityFloor) -> pa.RecordBatch:
    pages = pages_from_arrow(batch, ranker.config.history_length, ranker.config.shown_length)
    judged = _judged(batch, pages)
    scores = rank_pages(ranker, pages).scores
    figures = page_metrics(menu_lists(judged, scores).places(pages.names))
    floors = page_metrics(menu_lists(judged, floor.menu_scores(judged)).places(pages.names))
    values = {name: figures[name] for name in FIGURES} | {OF_POPULARITY + name: floors[name] for name in FIGURES}
    steps = np.maximum(np.floor(GRID * log_probabilities(scores, pages.mask)), LEAST)
    offsets = np.append(0, np.cumsum(pages.mask.sum(axis=1))).astype(np.int32)
    lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(steps[pages.mask].astype(np.int32)))
    columns = {name: batch.column(name) for name in ("side", "user_hash")} | {"probabilities": lists}
    return pa.RecordBatch.from_pydict(
        columns | {name: pa.array(values[name], from_pandas=True) for name in _NAMES}  # NaN: null
    )


def _judged(batch: pa.RecordBatch, pages: Pages) -> PageBatch:
    """The same pages as the floors and the metrics take them."""
    labels = batch.column("clicked").flatten().to_numpy(zero_copy_only=False) > 0
    clicked = padded(labels, pages.mask.sum(axis=1), pages.mask.shape[1], False)
    record = {"menu": pages.mask.astype(np.int32)}  # of the ids only padding matters here
    return PageBatch(pages.names, record, pages.pinned, clicked, batch.column("rows").flatten())


def score_distribution(pages: DataFrame) -> Distribution:
    """The probabilities of a day's rows beside those of the training days, in cells that are deciles of the latter.

    Args:
        pages: as `scored`.
    """
    values = pages.select("side", "user_hash", F.explode("probabilities").alias("value"))
    histogram = values.where(F.col("side") == TRAINING).groupBy("value").count().collect()  # at most -LEAST
    edges = edges_of(tuple(record) for record in histogram)
    things = values.select(
        "side", "user_hash", F.lit(SCORES).alias("measure"), cell_by(F.col("value"), edges).alias("cell")
    )
    names = interval_names(edges, lambda step: f"{np.exp(step / GRID):.2g}")
    return aligned(sides_of(things), SCORES, dict(enumerate(names)))


@dataclasses.dataclass(frozen=True)
class Figure:
    """A mean over the page views of a day that have a click, with its 95 % interval by viewer."""

    value: float
    lower: float
    upper: float
    page_views: int
    viewers: int


def day_figures(pages: DataFrame, resamples: int, seed: int) -> dict[str, Figure]:
    """NDCG and RR of the version and of popularity, and the paired gain; nothing where nothing was clicked.

    Args:
        pages: as `scored`.
        resamples, seed: of the viewers.
    """
    by_viewer = (
        pages.where((F.col("side") == DAY) & F.col(FIGURES[0]).isNotNull())
        .groupBy("user_hash")
        .agg(*(F.sum(name).alias(name) for name in _NAMES), F.count("*").cast("double").alias("pages"))
        .orderBy("user_hash")  # an order that does not depend on Spark's partitions
    )
    sums = by_viewer.drop("user_hash").toPandas()  # one record per viewer: what the resampling needs
    if sums.empty:
        return {}
    for name in FIGURES:
        sums[GAIN + name] = sums[name] - sums[OF_POPULARITY + name]
    names = [*_NAMES, *(GAIN + name for name in FIGURES)]
    counts = np.repeat(sums[["pages"]].to_numpy(), len(names), axis=1)
    return _named(names, paired_intervals(sums[names].to_numpy(), counts, resamples, seed))


def _named(names: list[str], found: Intervals) -> dict[str, Figure]:
    arrays = (found.difference, found.lower, found.upper, found.pages, found.viewers)
    kinds = (float, float, float, int, int)
    return {
        name: Figure(*(kind(array[at]) for kind, array in zip(kinds, arrays, strict=True)))
        for at, name in enumerate(names)
    }
