"""What trees are told of the rows that a viewer was shown before: how like them a row is, and how they fared."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from pagerec_dbx.baselines.counts import places
from pagerec_dbx.baselines.row_fields import shared_values
from pagerec_dbx.baselines.viewer_clicks import menu_sizes

NAMES = (
    "shown_rows", "shown_clicks", "shown_surprise", "like_clicked", "like_passed", "most_like_clicked",
    "most_like_passed", "taste", "surprise_near_place", "passed_before",
)  # fmt: skip
COLUMNS = ("shown_row", "shown_position", "shown_clicked")

_AT_ONCE = 32  # page views: each holds matrices of shown x values and of menu x values
_MOST_NUMBERS = 30_000_000  # rows x values, 120 MB; fewer values where there are many rows
_NEAR = 3.0  # places, at which a neighbouring place counts 1 / e
_DOUBT = 5.0  # rows shown without a surprise that are added to each mean of surprises


@dataclasses.dataclass(frozen=True)
class ShownFeatures:
    """Rows as what they are about, and how a viewer's taste is read off it."""

    row_ids: pa.StringArray
    likeness: np.ndarray  # [rows + 1, values] float32, lines of length 1, or 0 where nothing is known; last: no row
    noise: float = 2.0  # of a click beside the taste
    readiness: float = 0.3  # how much viewers differ in clicking at all; both in units of a row's likeness to itself

    def of(
        self, batch: pa.RecordBatch, rows: np.ndarray, expected: Callable[[np.ndarray, np.ndarray], np.ndarray]
    ) -> dict[str, np.ndarray]:
        """[rows of all menus] each of NAMES.

        Args:
            batch: page views with menu and COLUMNS.
            rows: [rows of all menus] places among `row_ids`, -1 for others.
            expected: places of rows and page views, of this batch, aligned -> how likely anybody was to click there.
        """
        sizes, shown = menu_sizes(batch), _Lists.of(batch, "shown_row")
        row = places(batch.column("shown_row").flatten(), self.row_ids)
        position, clicked = (
            batch.column(name).flatten().to_numpy(zero_copy_only=False).astype(np.float32)
            for name in ("shown_position", "shown_clicked")
        )
        surprise = clicked - expected(row, shown.page)
        starts = np.cumsum(sizes) - sizes
        parts = [np.zeros((len(NAMES), 0), np.float32)]
        for first in range(0, len(sizes), _AT_ONCE):
            pages = slice(first, first + _AT_ONCE)
            menus = _Lists(sizes[pages])
            here = slice(starts[first], starts[first] + menus.total)
            seen, there = shown.part(pages)
            values = _Shown(
                real=seen.padded(np.ones(seen.total, np.float32)),
                row=seen.padded(row[there], -1),
                clicked=seen.padded(clicked[there]),
                surprise=seen.padded(surprise[there].astype(np.float32)),
                position=seen.padded(position[there]),
            )
            found = self._of_pages(values, menus.padded(rows[here], -1))
            parts.append(found[:, menus.mask])
        return dict(zip(NAMES, np.hstack(parts), strict=True))

    def _of_pages(self, shown: "_Shown", menu: np.ndarray) -> np.ndarray:
        """[names, page views, menu] of the rows of padded menus, [page views, menu]."""
        about, offered = self.likeness[shown.row], self.likeness[menu]
        like = offered @ about.transpose(0, 2, 1)  # [page views, menu, shown]
        passed = shown.real - shown.clicked
        near = np.exp(-np.abs(np.arange(1, menu.shape[1] + 1)[None, :, None] - shown.position[:, None, :]) / _NEAR)
        near *= shown.real[:, None, :]
        of_page = [shown.real.sum(1), shown.clicked.sum(1), shown.surprise.sum(1) / (shown.real.sum(1) + _DOUBT)]
        found = [np.repeat(values[:, None], menu.shape[1], axis=1) for values in of_page]
        found += [_mean(like, shown.clicked), _mean(like, passed), _most(like, shown.clicked), _most(like, passed)]
        found.append(self._taste(about, like, shown))
        found.append(_times(near, shown.surprise) / (near.sum(2) + _DOUBT))
        same = (menu[:, :, None] == shown.row[:, None, :]) & (menu[:, :, None] >= 0)
        found.append(_times(same.astype(np.float32), passed))
        return np.stack(found).astype(np.float32)

    def _taste(self, about: np.ndarray, like: np.ndarray, shown: "_Shown") -> np.ndarray:
        """The mean of a Gaussian process over rows, given the surprises (Rasmussen and Williams 2006, 2.25)."""
        kernel = about @ about.transpose(0, 2, 1) + self.readiness * shown.real[:, :, None] * shown.real[:, None, :]
        kernel += self.noise * np.eye(kernel.shape[1], dtype=np.float32)
        solved = np.linalg.solve(kernel, (shown.surprise * shown.real)[..., None])[..., 0]
        return _times(like + self.readiness * shown.real[:, None, :], solved)


@dataclasses.dataclass(frozen=True)
class _Shown:
    """The rows shown before, [page views, shown] each, with zeros where there are fewer."""

    real: np.ndarray  # 1 where there is one
    row: np.ndarray  # place among the rows, -1 for none
    clicked: np.ndarray
    surprise: np.ndarray  # clicked, less what was to be expected of anybody
    position: np.ndarray  # from 1


class _Lists:
    """Lists of several lengths, one a page view, as flat values or padded to the longest."""

    def __init__(self, sizes: np.ndarray):
        self._sizes, self.total = sizes, int(sizes.sum())
        longest = int(sizes.max(initial=0))
        self.mask = np.arange(longest)[None, :] < sizes[:, None]  # [page views, longest]
        self.page = np.repeat(np.arange(len(sizes)), sizes)  # [all]

    @staticmethod
    def of(batch: pa.RecordBatch, name: str) -> "_Lists":
        return _Lists(batch.column(name).value_lengths().fill_null(0).to_numpy(zero_copy_only=False))

    def part(self, pages: slice) -> tuple["_Lists", slice]:
        """Those of some page views, and where their flat values are."""
        ends = np.concatenate([[0], np.cumsum(self._sizes)])
        kept = _Lists(self._sizes[pages])
        return kept, slice(ends[pages.start], ends[pages.start] + kept.total)

    def padded(self, values: np.ndarray, empty: float = 0) -> np.ndarray:
        found = np.full(self.mask.shape, empty, values.dtype)
        found[self.mask] = values
        return found


def _times(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """[page views, menu, shown] and [page views, shown] -> [page views, menu]: sums over what was shown."""
    return (weights @ values[..., None])[..., 0]


def _mean(like: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    return _times(like, chosen) / np.maximum(chosen.sum(1, keepdims=True), 1)


def _most(like: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The greatest likeness to those chosen, 0 where there is none: no likeness is below."""
    return (like * chosen[:, None, :]).max(axis=2, initial=0)


def shown_features(row_attributes: DataFrame, row_ids: pa.StringArray, most: int) -> ShownFeatures:
    """Rows by the values that they share, each weighing the more the fewer rows have it (log of the share, idf).

    Args:
        row_attributes: row_id, attributes map<string, array<string>>, numbers map<string, double>.
        row_ids: the rows asked about, in order.
        most: values that are told apart, at most.
    """
    _, has = shared_values(row_attributes, row_ids, min(most, max(1, _MOST_NUMBERS // (len(row_ids) + 1))), least=2)
    weighed = has * np.log(len(row_ids) / np.maximum(has.sum(axis=0), 1)).astype(np.float32)
    length = np.linalg.norm(weighed, axis=1, keepdims=True)
    return ShownFeatures(row_ids, weighed / np.maximum(length, 1e-9))


def with_shown_rows(page_views: DataFrame, shown: DataFrame) -> DataFrame:
    """Page views with COLUMNS; null, which counts as nothing shown, where `shown` has no record.

    Args:
        shown: page_view_id and COLUMNS.
    """
    return page_views.join(shown.select("page_view_id", *COLUMNS), "page_view_id", how="left")
