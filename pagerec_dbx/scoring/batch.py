"""Page views ranked in Spark, in Arrow batches, with a model that each worker process loads once."""

import functools
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.pipelines.ages import age_seconds
from pagerec_dbx.pipelines.gold import local_hour, local_weekday
from pagerec_dbx.schemas import RANKED, RANKED_MENUS, SHOWN
from pagerec_dbx.scoring.pages import Pages, Ranker, filled, padded, rank_pages
from pagerec_dbx.tables import conform
from pagerec_dbx.workers import OnceAProcess, once_a_process

PAGES_AT_ONCE = 1_024  # pages a call of the model; 500 rows each make 512,000 strings

_DAY = 86_400  # seconds
Loader = Callable[[], Ranker]

_RANKED_TYPE = pa.list_(pa.struct([("row_id", pa.string()), ("score", pa.float64())]))


def ranked_menus(page_views: DataFrame, version: str, load: Loader) -> DataFrame:
    """The rows of each page view in the order this version shows them.

    One record per page view.

    Args:
        page_views: as the table `page_views`; for a model that reads it with what was shown before (`schemas.SHOWN`).
        version: written beside each ranking.
        load: gives the version's ranker; picklable, called once in each worker process.
    """
    schema = f"page_view_id bigint, served_at timestamp, ranked {RANKED}"
    step = functools.partial(_rank_batches, ranker=once_a_process(load))
    ranked = page_inputs(page_views).mapInArrow(step, schema)
    day = F.date_from_unix_date(F.floor(F.unix_seconds("served_at") / _DAY).cast("int"))
    dated = ranked.select("*", F.lit(version).alias("version"), day.alias("day"))
    return conform(dated, RANKED_MENUS)


def page_inputs(page_views: DataFrame, *beside: str) -> DataFrame:
    """What a ranker reads of a page view, as flat columns and arrays of them; what was shown before where it is there.

    One record per page view.

    Args:
        beside: further columns of the page views to be kept as they are.
    """
    before = F.filter("history", lambda seen: seen.watched_at.isNull() | (seen.watched_at < F.col("served_at")))
    seen = page_views.withColumn("history", before)
    return seen.select(
        "page_view_id",
        "served_at",
        F.transform("history", lambda title: title.title_id).alias("titles"),
        F.transform("history", lambda title: age_seconds(title.watched_at)).alias("ages"),
        F.transform("menu", lambda row: row.row_id).alias("rows"),
        F.transform("menu", lambda row: F.coalesce(row.pinned, F.lit(False))).alias("pinned"),
        local_hour().alias("hour"),
        local_weekday().alias("weekday"),
        F.coalesce("device", F.lit("")).alias("device"),
        F.coalesce("location", F.lit("")).alias("location"),
        *(name for name in SHOWN if name in page_views.columns),
        *beside,
    )


def _rank_batches(batches: Iterator[pa.RecordBatch], ranker: OnceAProcess[Ranker]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, batch.num_rows, PAGES_AT_ONCE):
            yield _rank_batch(batch.slice(start, PAGES_AT_ONCE), ranker())


def _rank_batch(batch: pa.RecordBatch, ranker: Ranker) -> pa.RecordBatch:
    pages = pages_from_arrow(batch, ranker.config.history_length, ranker.config.shown_length)
    ranking = rank_pages(ranker, pages)
    rows = batch.column("rows")
    starts = np.cumsum(pages.mask.sum(axis=1)) - pages.mask.sum(axis=1)
    shown = (starts[:, None] + ranking.order)[pages.mask]  # padding comes last, so the mask fits the shown order too
    scores = np.take_along_axis(ranking.scores, ranking.order, axis=1)[pages.mask].astype(np.float64)
    structs = pa.StructArray.from_arrays([rows.flatten().take(pa.array(shown)), pa.array(scores)], ["row_id", "score"])
    offsets = pa.array(np.append(starts, len(shown)).astype(np.int32))
    ranked = pa.ListArray.from_arrays(offsets, structs).cast(_RANKED_TYPE)
    return pa.RecordBatch.from_arrays(
        [batch.column("page_view_id"), batch.column("served_at"), ranked], ["page_view_id", "served_at", "ranked"]
    )


def pages_from_arrow(batch: pa.RecordBatch, history_length: int, shown_length: int = 0) -> Pages:
    """The pages of one Arrow batch of `page_inputs`, their histories cut to the most recent titles.

    Args:
        shown_length: places for what was shown before, which the batch then has; 0 leaves it out.
    """
    recent, lengths = _last(batch.column("titles"), history_length)
    rows = batch.column("rows")
    sizes = _lengths(rows)
    width = max(1, int(sizes.max(initial=0)))

    def numbers(name: str) -> np.ndarray:
        return batch.column(name).to_numpy(zero_copy_only=False).astype(np.int32)

    return Pages(
        names=batch.column("page_view_id").to_numpy(zero_copy_only=False),
        history=padded(_texts(batch.column("titles").flatten().take(recent)), lengths, history_length, ""),
        history_age=padded(_ints(batch.column("ages").flatten().take(recent)), lengths, history_length, 0),
        menu=padded(_texts(rows.flatten()), sizes, width, ""),
        pinned=padded(_flags(batch.column("pinned").flatten()), sizes, width, False),
        mask=filled(sizes, width),
        hour=numbers("hour"),
        weekday=numbers("weekday"),
        device=_texts(batch.column("device")),
        location=_texts(batch.column("location")),
        shown=_shown(batch, shown_length) if shown_length else {},
    )


def _shown(batch: pa.RecordBatch, length: int) -> dict[str, np.ndarray]:
    """What was shown before, [pages, length] each."""
    row, *numbers = SHOWN
    sizes = _lengths(batch.column(row))
    fields = {name: padded(_ints(batch.column(name).flatten()), sizes, length, 0) for name in numbers}
    return {row: padded(_texts(batch.column(row).flatten()), sizes, length, ""), **fields}


def _last(lists: pa.ListArray, count: int) -> tuple[pa.Array, np.ndarray]:
    """Where the last `count` elements of each list lie in the flattened lists, and how many they are."""
    lengths = _lengths(lists)
    from_end = np.repeat(np.cumsum(lengths), lengths) - np.arange(lengths.sum())  # 1 for the last element of a list
    return pa.array(np.flatnonzero(from_end <= count)), np.minimum(lengths, count)


def _lengths(lists: pa.ListArray) -> np.ndarray:
    return np.diff(lists.offsets.to_numpy())


def _texts(values: pa.Array) -> np.ndarray:
    return values.to_numpy(zero_copy_only=False).astype(object)


def _ints(values: pa.Array) -> np.ndarray:
    return values.to_numpy(zero_copy_only=False).astype(np.int32)


def _flags(values: pa.Array) -> np.ndarray:
    return values.to_numpy(zero_copy_only=False).astype(bool)
