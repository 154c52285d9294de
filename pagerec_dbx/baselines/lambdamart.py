"""Gradient-boosted trees on counted features: LightGBM's LambdaMART.

What a row of a menu is described by was known before its page view: its place, the rates at which it had been clicked
(`counts`), how often and when this viewer had clicked it (`viewer_clicks`), the fields of the table `rows`, hour and
device; where wished what this viewer was shown before (`shown_features`). In training these stand as they were at each
page view; on the holdout rates are those at its beginning.
"""

import dataclasses
import functools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.baselines.counts import Clock, Rates, clock_of, places, rates_of
from pagerec_dbx.baselines.protocol import Past
from pagerec_dbx.baselines.row_fields import RowFields, row_fields
from pagerec_dbx.baselines.scoring import scores_in_batches
from pagerec_dbx.baselines.shown_features import COLUMNS, NAMES, ShownFeatures, shown_features, with_shown_rows
from pagerec_dbx.baselines.viewer_clicks import menu_sizes, row_clicks_from_arrow, with_row_clicks
from pagerec_dbx.errors import NoExamplesError

_OF_PAGE = ("served_micros", "hour", "device", "row_clicks")  # what the features read, beside the menu
_COUNTED = (
    "position", "menu_size", "hour", "device", "row_rate", "row_impressions", "row_device_rate", "viewer_clicks",
    "days_since_click",
)  # fmt: skip
_DAY = 86_400e6  # microseconds
_IN_A_MILLION = 1_000_000


@dataclasses.dataclass(frozen=True)
class LambdaMart:
    """The trees' settings, and how much they are trained on."""

    rounds: int = 100
    learning_rate: float = 0.05
    leaves: int = 15
    least_in_leaf: int = 100  # rows of menus
    buckets: int = 200  # of time, by which rates are counted
    fields: int = 40  # numeric fields of a row, and as many values of other fields
    left_out: tuple[str, ...] = ()  # names of features
    shown_values: int = 0  # of rows' fields by which rows shown before are told apart; 0: they are not looked at
    page_views: int = 40_000  # with a click, at most: a sample by their ids is brought to the driver
    trained: bool = True

    @property
    def parameters(self) -> dict[str, object]:
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "trained"}

    def fit(self, past: Past) -> "LambdaMartRanker":
        clock = clock_of(past, self.buckets)
        rows, row_ids = past.row_attributes, past.popularity.row_ids
        shown = shown_features(rows, row_ids, self.shown_values) if self.shown_values else None
        features = Features(rates_of(past, clock), row_fields(rows, row_ids, self.fields), self.left_out, shown)
        drawn = _sample(past, self.page_views)
        of_drawn = past.shown.join(F.broadcast(drawn.select("page_view_id")), "page_view_id", how="left_semi")
        sample = features.with_columns(drawn, past.clicks, of_drawn)
        learnt = training_features(sample, features, clock)
        trees = self._boosted(learnt, features, past.seed)
        return LambdaMartRanker(features, trees, len(learnt.sizes), past.shown)

    def _boosted(self, learnt: "Learnt", features: "Features", seed: int) -> str:
        import lightgbm

        data = lightgbm.Dataset(
            learnt.features, learnt.clicked, group=learnt.sizes, feature_name=_plain(features.names),
            categorical_feature=[place for place, name in enumerate(features.counted) if name == "device"],
        )  # fmt: skip
        parameters = {
            "objective": "lambdarank", "learning_rate": self.learning_rate, "num_leaves": self.leaves,
            "min_data_in_leaf": self.least_in_leaf, "seed": seed, "deterministic": True, "force_row_wise": True,
            "verbosity": -1,
        }  # fmt: skip
        return lightgbm.train(parameters, data, self.rounds).model_to_string()


@dataclasses.dataclass(frozen=True)
class Features:
    """The description of each row of a menu, as numbers."""

    rates: Rates
    fields: RowFields
    left_out: tuple[str, ...] = ()
    shown: ShownFeatures | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.counted, *self.fields.names)

    @property
    def counted(self) -> tuple[str, ...]:
        """Those that are not the row's own fields."""
        return tuple(name for name in (*_COUNTED, *(NAMES if self.shown else ())) if name not in self.left_out)

    @property
    def columns(self) -> tuple[str, ...]:
        """What is read off a page view, beside its menu."""
        return (*_OF_PAGE, *(COLUMNS if self.shown else ()))

    def with_columns(self, page_views: DataFrame, clicks: DataFrame, shown: DataFrame) -> DataFrame:
        """The page views with `columns`.

        Args:
            clicks: of these viewers, later ones too.
            shown: as in `Past`.
        """
        known = with_row_clicks(page_views, clicks)
        return with_shown_rows(known, shown) if self.shown else known

    def of(self, batch: pa.RecordBatch, buckets: np.ndarray) -> np.ndarray:
        """[rows of all menus, names] float32, NaN where something is not known.

        Args:
            batch: page views with `columns`.
            buckets: [page views] the rates are those before it.
        """
        sizes, rows = menu_sizes(batch), batch.column("menu").flatten()
        page = np.repeat(np.arange(len(sizes)), sizes)
        row = places(rows, self.rates.row_ids)
        device = places(batch.column("device"), self.rates.devices)[page]
        served, hour = (batch.column(name).to_numpy(zero_copy_only=False)[page] for name in ("served_micros", "hour"))
        clicks, last = row_clicks_from_arrow(batch)
        columns = {
            "position": np.arange(len(page)) - (np.cumsum(sizes) - sizes)[page],
            "menu_size": sizes[page],
            "hour": hour,
            "device": np.where(device < 0, np.nan, device),
            **self.rates.at(row, device, buckets[page]),
            "viewer_clicks": clicks,
            "days_since_click": np.where(clicks > 0, (served - last) / _DAY, np.nan),
        }
        if self.shown:
            columns |= self.shown.of(batch, row, lambda of, pages: self._rate(of, buckets[pages]))
        counted = np.stack([np.asarray(columns[name], np.float32) for name in self.counted], axis=1)
        return np.hstack([counted, self.fields.values[row]])  # row -1 is the last line

    def _rate(self, rows: np.ndarray, buckets: np.ndarray) -> np.ndarray:
        return self.rates.at(rows, np.full_like(rows, -1), buckets)["row_rate"]


@dataclasses.dataclass(frozen=True)
class Learnt:
    """What the trees are trained on, page view after page view in the order of their ids."""

    features: np.ndarray  # [rows of all menus, names] float32
    clicked: np.ndarray  # [rows of all menus] 0 or 1
    sizes: np.ndarray  # [page views] rows on each menu


def training_features(page_views: DataFrame, features: Features, clock: Clock) -> Learnt:
    """The features of page views before the holdout, each as of its own time; they come to the driver.

    Args:
        page_views: with the columns of these features.

    Raises:
        NoExamplesError: there are no page views.
    """
    timed = page_views.withColumn("bucket", clock.bucket(F.col("served_micros")))
    step = functools.partial(_described, features=features)
    frame = timed.select("page_view_id", "menu", "clicked", "bucket", *features.columns).mapInArrow(
        step, "page_view_id bigint, size int, features binary, clicked binary"
    )
    found = frame.toPandas().sort_values("page_view_id")
    if found.empty:
        raise NoExamplesError("there is no page view with a click to train on", fix="Choose a later holdout_from")
    width = len(features.names)
    return Learnt(
        np.frombuffer(b"".join(found["features"]), np.float32).reshape(-1, width),
        np.frombuffer(b"".join(found["clicked"]), np.int8),
        found["size"].to_numpy(),
    )


def _described(batches: Iterator[pa.RecordBatch], features: Features) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        sizes = menu_sizes(batch)
        ends = np.cumsum(sizes)
        of_rows = features.of(batch, batch.column("bucket").to_numpy(zero_copy_only=False))
        clicked = batch.column("clicked").flatten().to_numpy(zero_copy_only=False).astype(np.int8)
        columns = [
            batch.column("page_view_id"),
            pa.array(sizes, pa.int32()),
            _bytes_by_page(of_rows, ends),
            _bytes_by_page(clicked, ends),
        ]
        yield pa.RecordBatch.from_arrays(columns, names=["page_view_id", "size", "features", "clicked"])


def _bytes_by_page(values: np.ndarray, ends: np.ndarray) -> pa.Array:
    """The values of each page view as one binary: lists of so many numbers are slow to bring over one by one."""
    each = values.itemsize * int(np.prod(values.shape[1:]))
    offsets = pa.array(np.concatenate([[0], ends * each]).astype(np.int32))
    data = np.ascontiguousarray(values).tobytes()
    return pa.Array.from_buffers(pa.binary(), len(ends), [None, offsets.buffers()[1], pa.py_buffer(data)])


def _sample(past: Past, most: int) -> DataFrame:
    """At most about so many page views with a click; which ones depends on their ids and the seed alone."""
    clicked = past.page_views.where(F.array_contains("clicked", 1))
    share = min(1.0, most / max(1, clicked.count()))
    drawn = F.pmod(F.xxhash64("page_view_id", F.lit(past.seed)), F.lit(_IN_A_MILLION))
    return clicked.where(drawn < round(share * _IN_A_MILLION))


def _plain(names: tuple[str, ...]) -> list[str]:
    """LightGBM takes no JSON signs in names."""
    return [f"f{number}_{''.join(c if c.isalnum() else '_' for c in name)}" for number, name in enumerate(names)]


@dataclasses.dataclass(frozen=True)
class LambdaMartRanker:
    """The trees as LightGBM's text."""

    features: Features
    trees: str
    learnt_from: int  # page views
    shown: DataFrame  # of `Past`

    @property
    def figures(self) -> dict[str, float]:
        return {"page_views": self.learnt_from, "features": len(self.features.names)}

    def scores(self, page_views: DataFrame, clicks: DataFrame) -> DataFrame:
        known = self.features.with_columns(page_views, clicks, self.shown)
        score = functools.partial(_scores, features=self.features, trees=self.trees)
        return scores_in_batches(known, score, *self.features.columns)

    def save(self, folder: Path) -> None:
        """The trees, and how much each feature gained."""
        gains = _booster(self.trees).feature_importance("gain")
        ordered = sorted(zip(self.features.names, map(float, gains), strict=True), key=lambda pair: -pair[1])
        (folder / "lambdamart.txt").write_text(self.trees, encoding="utf-8")
        (folder / "gains.json").write_text(json.dumps(dict(ordered), indent=1) + "\n", encoding="utf-8")


def _scores(batch: pa.RecordBatch, features: Features, trees: str) -> np.ndarray:
    after_all = np.full(batch.num_rows, features.rates.overall.buckets)
    described = features.of(batch, after_all)
    return _booster(trees).predict(described, num_threads=1) if len(described) else np.zeros(0)


@functools.lru_cache(maxsize=1)
def _booster(trees: str):
    """Read once a worker process."""
    import lightgbm

    return lightgbm.Booster(model_str=trees)


BASELINE = LambdaMart()
