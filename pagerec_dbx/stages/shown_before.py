"""What a version that reads what was shown before gets with the page views that it ranks."""

import datetime as dt

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.errors import SnapshotError
from pagerec_dbx.features.preparation import Preparation
from pagerec_dbx.pipelines.shown import Shown, with_shown_before
from pagerec_dbx.schemas import CLICK_MATCHES, LABELLED_PAGE_VIEWS
from pagerec_dbx.tables import Tables


def with_shown_fields(
    tables: Tables, page_views: DataFrame, shown_length: int, until: dt.date | None = None
) -> DataFrame:
    """Page views with the fields `shown_*`, as the examples have them; as they are if the version reads none.

    Args:
        page_views: records of `page_views` or `labelled_page_views`.
        shown_length: of the version.
        until: the last day of these page views, to read no later one; None where it is not known.

    Raises:
        MissingTableError: the version reads them and `join` has not run, so that nobody knows of an earlier page view.
    """
    if not shown_length:
        return page_views
    labelled, matches = tables.read(LABELLED_PAGE_VIEWS), tables.read(CLICK_MATCHES)
    if until is not None:  # a matched click is on the day of its page view
        labelled, matches = (frame.where(F.col("day") <= F.lit(until)) for frame in (labelled, matches))
    return with_shown_before(page_views, labelled, Shown(shown_length, matches))


def require_shown(version: str, shown_length: int, preparation: Preparation) -> None:
    """Refuse to judge a version on records that hold less of what was shown before than it was trained with.

    Raises:
        SnapshotError: they do; more does no harm, the version reads the first ones.
    """
    if preparation.shown_length < shown_length:
        raise SnapshotError(
            f"the holdout's records hold fewer rows shown before than version {version} reads",
            wanted=f"at least {shown_length}",
            got=str(preparation.shown_length),
            fix=f"Run `pagerec prepare shown_length={shown_length}`",
        )
