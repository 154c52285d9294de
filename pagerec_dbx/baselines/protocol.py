"""What a baseline is: fitted on what lies before the holdout, it scores the menus of page views."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from pyspark.sql import DataFrame

from pagerec_dbx.evaluation.baselines import PopularityFloor, popularity_floor, row_counts


@dataclasses.dataclass(frozen=True)
class Past:
    """All that may be learnt from. Page views and clicks are as `views` makes them, of the time before the holdout."""

    page_views: DataFrame  # clicked or not, validation included, as for the popularity floor
    clicks: DataFrame
    row_attributes: DataFrame  # row_id, attributes, numbers; a row need not be there
    shown: DataFrame  # page_view_id and the fields shown_* of all page views, the holdout's too: what came before each
    smoothing: float  # impressions at the common rate that are added to each row's own
    seed: int

    @functools.cached_property
    def popularity(self) -> PopularityFloor:
        """What a baseline falls back to where it knows nothing; its `row_ids` are all rows that were shown.

        Raises:
            NoExamplesError: there are no page views.
        """
        return popularity_floor(row_counts(self.page_views, "menu"), self.smoothing)


class Fitted(Protocol):
    """A baseline that has learnt what it needs."""

    @property
    def figures(self) -> Mapping[str, float]:
        """What fitting came to, for the run."""
        ...

    def scores(self, page_views: DataFrame, clicks: DataFrame) -> DataFrame:
        """One record per page view: page_view_id, `scores` array<double> aligned with the menu.

        Args:
            page_views: those to be ranked; their `clicked` must not be looked at.
            clicks: all clicks of the log. Of a viewer's own only those strictly before the page view may count, and
                of others only those before the holdout, which `Past` holds.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write what is worth keeping beside the run; nothing that tells of one viewer."""
        ...


class Baseline(Protocol):
    """How a baseline is fitted; an immutable set of settings."""

    @property
    def trained(self) -> bool:
        """Whether fitting is a training worth a run of its own."""
        ...

    @property
    def parameters(self) -> Mapping[str, object]:
        """The settings by name, for the run."""
        ...

    def fit(self, past: Past) -> Fitted: ...
