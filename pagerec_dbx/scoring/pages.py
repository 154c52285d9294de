"""Pages as padded arrays, the order their rows are shown in, and the exported model they are ranked by. NumPy only."""

import dataclasses
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import pandas as pd

from pagerec_dbx.errors import ScoresError
from pagerec_dbx.schemas import SHOWN

UNKNOWN_TIME = -1  # hour and weekday of a page without a timestamp


class Sizes(Protocol):
    """What of a model's configuration its pages must fit."""

    @property
    def history_length(self) -> int:
        """Most recent titles the model reads."""

    @property
    def shown_length(self) -> int:
        """Rows shown before that the model reads; 0 where it reads none."""


class Ranker(Protocol):
    """An exported model: raw strings in, row ids in ranked order with their scores out."""

    @property
    def version(self) -> str:
        """Names it in tables and answers."""

    @property
    def config(self) -> Sizes:
        """What its pages must fit."""

    def rank(self, pages: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """`row_id` [n, m] and `score` [n, m] in falling order of score, ties in menu order, padding last."""


@dataclasses.dataclass(frozen=True)
class Pages:
    """n pages, their histories and menus padded with "" to the longest.

    Attributes:
        names: [n] what an error calls each page.
        history: [n, h] title ids, the most recent ones, oldest first.
        history_age: [n, h] int32 seconds before the page view, at least 1; 0 unknown or padding.
        menu: [n, m] row ids in page order.
        pinned: [n, m] bool, True where the page forces the position.
        mask: [n, m] bool, True where there is a row.
        hour: [n] int32 0 to 23, the viewer's; -1 unknown.
        weekday: [n] int32 Monday 0 to Sunday 6, the viewer's; -1 unknown.
        device: [n] text, "" unknown.
        location: [n] text, "" unknown.
        shown: what the viewer was shown before, for a model that reads it: `shown_row` [n, s] row ids, padded with "",
            and `shown_position`, `shown_clicked`, `shown_age`, [n, s] int32 each, padded with 0.
    """

    names: np.ndarray
    history: np.ndarray
    history_age: np.ndarray
    menu: np.ndarray
    pinned: np.ndarray
    mask: np.ndarray
    hour: np.ndarray
    weekday: np.ndarray
    device: np.ndarray
    location: np.ndarray
    shown: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def raw(self) -> dict[str, np.ndarray]:
        """What a ranker is fed."""
        fed = ("history", "history_age", "menu", "hour", "weekday", "device", "location")
        return {**{name: getattr(self, name) for name in fed}, "pinned": self.pinned.astype(np.int32), **self.shown}


@dataclasses.dataclass(frozen=True)
class Ranking:
    """n pages in the order in which their rows are to be shown.

    Attributes:
        order: [n, m] the place in the page as it was of the row shown at each place; padding keeps its own.
        scores: [n, m] float32 score of each row of the page as it was; padding 0.
    """

    order: np.ndarray
    scores: np.ndarray


def rank_pages(ranker: Ranker, pages: Pages) -> Ranking:
    """Score every row of every page; pinned rows stay, the others fill the remaining places by score.

    Raises:
        ScoresError: the model returned other rows than the page's, or a score that is not a number.
    """
    ranked = ranker.rank(pages.raw())
    scores = scores_in_page_order(pages, np.asarray(ranked["row_id"]), np.asarray(ranked["score"]))
    return Ranking(shown_order(scores, pages.pinned, pages.mask), scores)


def nothing_shown(count: int, length: int) -> dict[str, np.ndarray]:
    """The field `shown` of pages of whose viewers nothing is known: padding [count, length]; empty for length 0."""
    if not length:
        return {}
    row, *numbers = SHOWN
    padding = {name: np.zeros((count, length), np.int32) for name in numbers}
    return {row: np.full((count, length), "", object), **padding}


def shown_order(scores: np.ndarray, pinned: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Pinned rows at their own places, the others on the remaining places by falling score, ties in page order.

    Args:
        scores: [n, m] in page order.
        pinned: [n, m] True where the page forces the position.
        mask: [n, m] True where there is a row.

    Returns:
        [n, m] int: the place in the page as it was of the row shown at each place; padding keeps its own.
    """
    group = np.where(mask & ~pinned, 0, np.where(mask, 1, 2))  # the movable, the pinned, the padding
    falling = np.where(group == 0, -scores, 0)
    rows = np.lexsort((falling, group), axis=1)  # stable: equal scores stay in page order
    places = np.argsort(group, axis=1, kind="stable")
    order = np.empty_like(places)
    np.put_along_axis(order, places, rows, axis=1)
    return order


def scores_in_page_order(pages: Pages, row_ids: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """A model's ranked scores [n, m] put back on the rows [n, m] of the pages they belong to; padding gets 0."""
    offered, returned = _keys(pages, row_ids)
    by_offered, by_returned = np.argsort(offered), np.argsort(returned)
    wrong = offered[by_offered] != returned[by_returned]
    if wrong.any():
        raise ScoresError(
            f"the model returned other rows than it was given on page view {_page_of(pages, by_offered[wrong][0])}",
            wanted="each row of the menu once, padding last",
            fix="Train and export the version again",
        )
    in_order = np.empty(len(offered), np.float32)
    in_order[by_offered] = scores[pages.mask][by_returned]
    if np.isnan(in_order).any():
        page = _page_of(pages, np.flatnonzero(np.isnan(in_order))[0])
        raise ScoresError(
            f"the model's score of a row of page view {page} is not a number",
            wanted="a number for each row",
            got="NaN",
            fix="Train the version again, with a smaller learning_rate if its loss diverged",
        )
    placed = np.zeros(pages.mask.shape, np.float32)
    placed[pages.mask] = in_order
    return placed


def _keys(pages: Pages, row_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One integer for each (page, row id), of the rows offered and of the rows returned."""
    count = int(pages.mask.sum())
    codes, distinct = pd.factorize(np.concatenate([pages.menu[pages.mask], row_ids[pages.mask].astype(object)]))
    page = np.nonzero(pages.mask)[0] * (len(distinct) + 1)
    return page + codes[:count], page + codes[count:]


def _page_of(pages: Pages, index: int) -> object:
    """The name of the page of the index-th row, padding not counted."""
    return pages.names[np.nonzero(pages.mask)[0][index]]


def padded(values: np.ndarray, lengths: np.ndarray, width: int, fill: object) -> np.ndarray:
    """Lists laid end to end as one array.

    Args:
        values: [sum of lengths] all lists' elements, list after list.
        lengths: [n] how many belong to each list; at most `width`.
        width: of the result.
        fill: what pads the end of each list.

    Returns:
        [n, width], of the type of `values`.
    """
    out = np.full((len(lengths), width), fill, dtype=values.dtype)
    out[filled(lengths, width)] = values
    return out


def filled(lengths: np.ndarray, width: int) -> np.ndarray:
    """[n, width] True at the first `lengths[i]` places of each list."""
    return np.arange(width) < lengths[:, None]
