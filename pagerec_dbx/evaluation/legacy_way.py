"""The legacy's way to measure, by its name, to reproduce what a legacy notebook prints; no verdict looks at it.

Two things are done otherwise than by the referee: tied rows stay in the order in which the page lists them, and the
figure is the mean of the means of batches, in which a page view of the last, smaller batch weighs more than others.
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from pagerec_dbx.errors import UsageError
from pagerec_dbx.evaluation import metrics
from pagerec_dbx.evaluation.offline import Judged, Ranker, needed, parts
from pagerec_dbx.evaluation.pages import pages_from_arrow
from pagerec_dbx.evaluation.protocols import MENU, SPLIT, menu_lists, require_scores
from pagerec_dbx.figures import number
from pagerec_dbx.workers import OnceAProcess, once_a_process

FIGURES = NDCG, MRR = ("ndcg", "mrr")  # the legacy's names
_SCHEMA = "version string, page_view_id bigint, ndcg double, mrr double"


def legacy_batch_means(scores, relevant, mask, batch_size: int) -> dict[str, float]:
    """NDCG and MRR as the legacy prints them.

    Args:
        scores, relevant, mask: [num_lists, length] as `evaluation.metrics` takes them, lists in the legacy's order;
            those without a relevant row are left out before the batches are cut.
        batch_size: lists of a batch; the last one may have fewer.

    Raises:
        UsageError: a batch of no list.
        ScoresError: a score is NaN, or shapes differ.
    """
    figures = legacy_figures(scores, relevant, mask)
    return {name: mean_of_batch_means(values[~np.isnan(values)], batch_size) for name, values in figures.items()}


def legacy_figures(scores, relevant, mask, names=None) -> dict[str, np.ndarray]:
    """[num_lists] each of FIGURES, tied rows in the order in which the list has them; NaN where nothing is relevant."""
    scores, mask = np.asarray(scores, dtype=np.float64), np.asarray(mask, dtype=bool)
    metrics.tied_places(scores, relevant, mask, names=names)  # a score that is NaN is as wrong here
    order = np.argsort(np.where(mask, -scores, np.inf), axis=1, kind="stable")
    untied = metrics.tied_places(-np.argsort(order, axis=1), relevant, mask)  # the place in that order is the score
    return {NDCG: metrics.ndcg_of(untied), MRR: metrics.reciprocal_rank_of(untied)}


def mean_of_batch_means(values: np.ndarray, batch_size: int) -> float:
    """The mean of the means of consecutive batches; NaN of no value."""
    _require_batch(batch_size)
    batches = [values[start : start + batch_size].mean() for start in range(0, len(values), batch_size)]
    return float(np.mean(batches)) if batches else float("nan")


@dataclasses.dataclass(frozen=True)
class LegacyWay:
    """What a legacy notebook would print of a holdout; shown, never judged by."""

    batch_size: int
    pages: int
    figures: Mapping[str, Mapping[str, float]]  # of the version and the floors: FIGURES

    def to_lines(self) -> list[str]:
        head = (
            f"{MENU} protocol, {SPLIT}, the legacy's way (mean of the means of batches of {self.batch_size:,}, tied "
            f"rows in page order): {self.pages:,} page views"
        )
        heads = "".join(f"{name:>17}" for name in FIGURES)
        own = [
            f"  {name if ':' in name else f'version {name}':<24}"
            + "".join(f"{number(one[key]):>17}" for key in FIGURES)
            for name, one in self.figures.items()
        ]
        return [head, f"  {'':<24}{heads}", *own]


def legacy_means(pages: DataFrame, examples: DataFrame, judged: Judged, batch_size: int) -> LegacyWay:
    """The figures of a version and of the floors under the menu protocol the legacy's way.

    Args:
        pages: as `holdout_pages`.
        examples: page_view_id, served_at, request_id of each: batches are cut in the order of page views in time.
    """
    _require_batch(batch_size)
    step = functools.partial(_figures_of_batches, judged=judged, ranker=once_a_process(judged.load))
    order = examples.select("page_view_id", "served_at", "request_id")
    figures = pages.select(*needed(pages)).mapInArrow(step, _SCHEMA).join(order, "page_view_id", how="inner")
    in_time = Window.partitionBy("version").orderBy("served_at", "request_id", "page_view_id")
    batch = F.floor((F.row_number().over(in_time) - 1) / batch_size)
    averages = [F.avg(name).alias(name) for name in FIGURES]
    batches = figures.withColumn("batch", batch).groupBy("version", "batch").agg(*averages, F.count("*").alias("pages"))
    records = batches.groupBy("version").agg(*averages, F.sum("pages").alias("pages")).collect()  # four
    found = {record["version"]: {name: record[name] for name in FIGURES} for record in records}
    names = (judged.version, *(floor.name for floor in judged.floors))
    return LegacyWay(batch_size, int(records[0]["pages"]), {name: found[name] for name in names})


def _figures_of_batches(
    batches: Iterator[pa.RecordBatch], judged: Judged, ranker: OnceAProcess[Ranker]
) -> Iterator[pa.RecordBatch]:
    for part in parts(batches, judged.row_count):
        pages = pages_from_arrow(part)
        own = require_scores(ranker().menu_scores(pages.record), pages.menu.shape, f"version {judged.version}")
        for name, scores in [
            (judged.version, own),
            *((floor.name, floor.menu_scores(pages)) for floor in judged.floors),
        ]:
            lists = menu_lists(pages, scores)
            figures = legacy_figures(lists.scores, lists.relevant, lists.mask, pages.page_view_ids)
            columns = [pa.repeat(name, part.num_rows), part.column("page_view_id"), *map(pa.array, figures.values())]
            yield pa.RecordBatch.from_arrays(columns, names=["version", "page_view_id", *FIGURES])


def _require_batch(batch_size: int) -> None:
    if batch_size < 1:
        raise UsageError("a batch needs a page view", wanted="a batch size of at least 1", got=str(batch_size))
