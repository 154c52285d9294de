"""What a version predicts, beside what was clicked: a few page views of the validation days, rows by name."""

import dataclasses

from pyspark.sql import functions as F

from pagerec_dbx.features.preparation import latest_preparation
from pagerec_dbx.pipelines.cuts import at_or_after
from pagerec_dbx.schemas import LABELLED_PAGE_VIEWS
from pagerec_dbx.scoring.batch import ranked_menus
from pagerec_dbx.stages.grounds import resolve, serving
from pagerec_dbx.stages.ranker_loader import broadcast_ranker
from pagerec_dbx.stages.shown_before import with_shown_fields
from pagerec_dbx.workbench import Workbench
from pagerec_dbx.workers import worker_errors

TOP = 5  # rows of the predicted order that are printed


@dataclasses.dataclass(frozen=True)
class Prediction:
    """A page view (its time is UTC), its rows in the predicted order, the places there of those that were clicked."""

    page_view_id: int
    served_at: str
    ranked: list[str]
    clicked: dict[str, int]

    def to_text(self) -> str:
        """One line."""
        truth = ", ".join(f"{row} (place {place})" for row, place in self.clicked.items())
        return f"{self.served_at}  predicted {' '.join(self.ranked[:TOP])}  of {len(self.ranked)}; clicked {truth}"


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What `pagerec predictions` shows; no figure: those are `evaluate`'s."""

    version: str
    pages: list[Prediction]

    def to_text(self) -> str:
        """A line for each page view."""
        head = f"Version {self.version}, page views with a click of the validation days, first of the predicted order:"
        return "\n".join([head, *(page.to_text() for page in self.pages)])


def predictions(bench: Workbench, version: str, page_views: int) -> Predictions:
    """Rank the first page views with a click of the validation days; the holdout is not looked at.

    Args:
        version: number or alias.
        page_views: so many, or as many as there are.

    Raises:
        UnknownVersionError: no such version, or nobody serves.
        MissingTableError: there is no preparation.
    """
    serving(bench)  # aliases may have stayed behind in a crash
    cuts = latest_preparation(bench.tables).cuts
    labelled = bench.tables.read(LABELLED_PAGE_VIEWS).where(at_or_after(cuts.validation) & ~at_or_after(cuts.holdout))
    clicked = labelled.where(F.array_contains("clicked", 1))
    chosen = clicked.orderBy("served_at", "request_id", "page_view_id").limit(page_views)
    load = broadcast_ranker(bench.tables, bench.registry, resolve(bench, version))
    views = with_shown_fields(bench.tables, chosen, load.shown_length, cuts.holdout.served_at.date())
    with worker_errors():
        ranked = {record["page_view_id"]: record for record in ranked_menus(views, load.version, load).collect()}
        served_at = F.date_format("served_at", "yyyy-MM-dd HH:mm").alias("served_at")
        labels = chosen.select("page_view_id", served_at, "menu.row_id", "clicked").collect()
    return Predictions(load.version, [_prediction(ranked[label["page_view_id"]], label) for label in labels])


def _prediction(record, label) -> Prediction:
    order = [row["row_id"] for row in record["ranked"]]
    truth = [row for row, is_clicked in zip(label["row_id"], label["clicked"], strict=True) if is_clicked]
    places = {row: 1 + order.index(row) for row in truth}
    return Prediction(label["page_view_id"], label["served_at"], order, places)
