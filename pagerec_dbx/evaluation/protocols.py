"""Which rows are ranked: the protocols, and the lists that each makes of a batch of page views.

`menu` ranks the rows offered on the page, `menu_unpinned` those of them that are not pinned, `vocabulary` the row
vocabulary of the preparation that made the holdout. A figure under one is never compared with one under another.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from pagerec_dbx.errors import ScoresError
from pagerec_dbx.evaluation import metrics

PROTOCOLS = MENU, MENU_UNPINNED, VOCABULARY = ("menu", "menu_unpinned", "vocabulary")
METRICS = ("ndcg", "ndcg_at_10", "reciprocal_rank", "hit_at_1", "hit_at_5")
EXPECTED = tuple(f"expected_{name}" for name in METRICS)  # over the true click, in a simulated world
CEILINGS = WITH_POSITION, WITHOUT_POSITION = ("ceiling:with_position", "ceiling:without_position")
BASELINE_PREFIX = "baseline:"  # what the names of baselines begin with; floors are `floor:...`
SPLIT = "holdout"
ALL = "all"  # the slice that is the whole

UNKNOWN = 1  # the id of a row that the vocabulary does not hold
FIRST_ROW = 2  # the first id of the vocabulary proper


@dataclasses.dataclass(frozen=True)
class PageBatch:
    """Page views of the holdout as arrays; a menu is padded at its end."""

    page_view_ids: np.ndarray  # [pages] int64
    record: Mapping[str, np.ndarray]  # what a model reads: history, history_age, menu, hour, weekday, device, location
    pinned: np.ndarray  # [pages, menu] bool
    clicked: np.ndarray  # [pages, menu] bool
    row_ids: pa.StringArray  # the rows of all menus one after the other, no padding

    @property
    def menu(self) -> np.ndarray:
        """[pages, menu] ids of the rows, 0 is padding."""
        return self.record["menu"]

    @property
    def offered(self) -> np.ndarray:
        """[pages, menu] True where there is a row."""
        return self.menu > 0


@dataclasses.dataclass(frozen=True)
class Lists:
    """What is ranked on each page view under one protocol; arrays as `metrics` takes them."""

    scores: np.ndarray  # [pages, length]
    relevant: np.ndarray  # [pages, length] bool
    mask: np.ndarray  # [pages, length] bool
    unlisted: np.ndarray | None = None  # [pages] clicked rows that the list does not hold

    def places(self, names: np.ndarray | None = None) -> metrics.TiedPlaces:
        """The lists sorted.

        Raises:
            ScoresError: a score is NaN; `names` [pages] say on which page view.
        """
        return metrics.tied_places(self.scores, self.relevant, self.mask, self.unlisted, names)


def menu_lists(pages: PageBatch, scores: np.ndarray) -> Lists:
    """All rows of the menu; `scores` [pages, menu]."""
    return Lists(scores, pages.clicked, pages.offered)


def unpinned_lists(pages: PageBatch, scores: np.ndarray) -> Lists:
    """The rows that are not pinned; a page view whose clicked rows are all pinned has nothing relevant left."""
    free = pages.offered & ~pages.pinned
    return Lists(scores, pages.clicked & free, free)


def vocabulary_lists(pages: PageBatch, scores: np.ndarray, row_count: int) -> Lists:
    """All rows of the vocabulary, ids 2 to row_count - 1.

    Args:
        scores: [pages, own] of all ids that the version knows, padding and unknown included; ids past its own tie at
            the end, ids past row_count are not in the list.
        row_count: entries of the preparation's vocabulary, padding and unknown included.
    """
    fitted = np.full((len(scores), row_count), -np.inf, dtype=np.float64)
    own = min(row_count, scores.shape[1])
    fitted[:, :own] = scores[:, :own]
    relevant = np.zeros(fitted.shape, dtype=bool)
    listed = pages.clicked & (pages.menu >= FIRST_ROW)
    relevant[np.nonzero(listed)[0], pages.menu[listed]] = True
    everywhere = np.ones((len(scores), row_count - FIRST_ROW), dtype=bool)
    return Lists(fitted[:, FIRST_ROW:], relevant[:, FIRST_ROW:], everywhere, _unlisted(pages))


def offered_first_lists(pages: PageBatch, scores: np.ndarray) -> Lists:
    """The vocabulary with the rows that were not offered at its end; `scores` [pages, menu].

    A clicked row was offered, so the rows behind it change no metric and are left out of the list.
    """
    known = pages.menu >= FIRST_ROW
    return Lists(scores, pages.clicked & known, known, _unlisted(pages))


def page_metrics(places: metrics.TiedPlaces) -> dict[str, np.ndarray]:
    """The metrics of METRICS, [pages] each; NaN where a page view has nothing relevant."""
    return {
        "ndcg": metrics.ndcg_of(places),
        "ndcg_at_10": metrics.ndcg_of(places, 10),
        "reciprocal_rank": metrics.reciprocal_rank_of(places),
        "hit_at_1": metrics.hit_of(places, 1),
        "hit_at_5": metrics.hit_of(places, 5),
    }


def require_scores(scores: np.ndarray, shape: tuple[int, int], who: str) -> np.ndarray:
    """The scores, if they have the shape of what they rank.

    Raises:
        ScoresError: they have not.
    """
    if scores.shape != shape:
        raise ScoresError(f"{who} gave scores of the wrong shape", wanted=str(shape), got=str(scores.shape))
    return scores


def _unlisted(pages: PageBatch) -> np.ndarray:
    return (pages.clicked & (pages.menu == UNKNOWN)).sum(axis=1)
