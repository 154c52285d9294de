"""Somebody judged on a batch of page views: their figures there, and the records that these become."""

import dataclasses

import numpy as np
import pyarrow as pa

from pagerec_dbx.evaluation import metrics
from pagerec_dbx.evaluation.calibration import click_targets
from pagerec_dbx.evaluation.calibration_counts import ARRAYS
from pagerec_dbx.evaluation.pages import SLICES, World
from pagerec_dbx.evaluation.protocols import EXPECTED, MENU, METRICS, VOCABULARY, Lists, PageBatch, page_metrics

FIGURES = (*METRICS, "tied_top", "auc", "log_loss", *EXPECTED)
SCHEMA = ", ".join(
    ["version string, protocol string, page_view_id bigint, user_hash string", f"{SLICES} array<string>"]
    + [f"{name} double" for name in FIGURES]
    + [f"{name} array<float>" for name in ARRAYS]
)
_ARRAY = pa.list_(pa.float32())


@dataclasses.dataclass(frozen=True)
class Entry:
    """Somebody judged, under one protocol, on a batch."""

    version: str
    protocol: str
    lists: Lists
    has_probabilities: bool = False  # the scores are logits
    pages: np.ndarray | None = None  # [pages] bool, the page views judged; None for all


def figures_of(entry: Entry, pages: PageBatch, world: World | None) -> dict[str, np.ndarray]:
    """[pages] each, NaN where there is none."""
    lists, names = entry.lists, pages.page_view_ids
    places = lists.places(names)
    figures = {**page_metrics(places), "tied_top": metrics.tied_top_of(places)}
    if entry.protocol != VOCABULARY:
        figures["auc"] = metrics.auc_of(places)
    if entry.has_probabilities:
        figures["log_loss"] = metrics.log_loss(lists.scores, lists.relevant, lists.mask)
    if world is not None and entry.protocol == MENU:
        expected = metrics.expected_metrics(lists.scores, world.probabilities, lists.mask, names)
        figures |= {f"expected_{name}": np.where(world.known, values, np.nan) for name, values in expected.items()}
    return figures


def records_of(batch: pa.RecordBatch, entry: Entry, figures: dict[str, np.ndarray]) -> pa.RecordBatch:
    """One record per page view that was judged and has something relevant."""
    kept = ~np.isnan(figures["ndcg"])
    if entry.pages is not None:
        kept &= entry.pages
    count, places = int(kept.sum()), pa.array(np.flatnonzero(kept))
    missing = np.full(len(kept), np.nan)
    columns = {
        "version": pa.repeat(entry.version, count),
        "protocol": pa.repeat(entry.protocol, count),
        "page_view_id": batch.column("page_view_id").take(places),
        "user_hash": batch.column("user_hash").take(places),
        SLICES: _slices(batch, entry, places),
        **{name: pa.array(figures.get(name, missing)[kept], from_pandas=True) for name in FIGURES},  # NaN: null
        **_pairs(entry, kept),
    }
    return pa.RecordBatch.from_pydict(columns)


def _pairs(entry: Entry, kept: np.ndarray) -> dict[str, pa.Array]:
    """What calibration is counted from: the menu softmax and its target, a value for each offered row in page order."""
    if not entry.has_probabilities or entry.protocol != MENU:
        return {name: pa.nulls(int(kept.sum()), _ARRAY) for name in ARRAYS}
    mask = entry.lists.mask[kept]
    ends = np.concatenate([[0], np.cumsum(mask.sum(axis=1))])
    probabilities = np.exp(metrics.log_probabilities(entry.lists.scores[kept], mask))
    values = probabilities, click_targets(entry.lists.relevant[kept])
    return {
        name: pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(value[mask], pa.float32()))
        for name, value in zip(ARRAYS, values, strict=True)
    }


def _slices(batch: pa.RecordBatch, entry: Entry, places: pa.Array) -> pa.Array:
    """Slices are compared under the menu protocol; elsewhere they would only take space."""
    if SLICES not in batch.schema.names:
        return pa.nulls(len(places), pa.list_(pa.string()))
    if entry.protocol != MENU:
        return pa.nulls(len(places), batch.schema.field(SLICES).type)  # batches of one stream have one schema
    return batch.column(SLICES).take(places)
