"""The limit of the guarded slices: in none of them may a version lose too much."""

from collections.abc import Sequence

from pagerec_dbx.config import JudgeSettings
from pagerec_dbx.evaluation.comparison import HERE, CompareResult, ComparisonRow, counts
from pagerec_dbx.evaluation.limit import Limit
from pagerec_dbx.evaluation.multiplicity import below, holm
from pagerec_dbx.evaluation.power import normal_width
from pagerec_dbx.evaluation.protocols import MENU, SPLIT
from pagerec_dbx.figures import signed

_FALSE = 0.05  # the chance of refusing for a slice that does not lose too much


def no_slice_lost(comparison: CompareResult, decisive: ComparisonRow, settings: JudgeSettings) -> Limit:
    """No guarded slice is worse than allowed, beyond what chance explains over all of them (Holm, one-sided).

    Args:
        decisive: the record, over all page views, of the baseline that decides.
    """
    told = [
        row
        for row in comparison.rows
        if row.slice.partition(": ")[0] in settings.guarded_slices
        and (row.baseline, row.protocol, row.metric, row.measured) == (decisive.baseline, MENU, decisive.metric, HERE)
    ]
    guarded = [row for row in told if row.difference is not None]
    lost = _lost(guarded, settings.max_slice_loss)
    names, allowed = ", ".join(settings.guarded_slices) or "none", f"{settings.max_slice_loss:g} {decisive.metric}"
    unseen = [name for name in settings.guarded_slices if name not in {row.slice.partition(": ")[0] for row in guarded}]
    if lost:
        losses = "; ".join(f"{row.slice} {signed(row.difference)} ({counts(row)})" for row in lost)
        return Limit(
            False,
            f"Failed: loses more than {allowed} against {decisive.baseline} in {losses}; {MENU} protocol, {SPLIT}.",
        )
    if unseen:
        return Limit(
            True,
            f"Alarm: of {' and '.join(unseen)} no slice of at least {settings.least_slice_page_views:,} page views was "
            f"compared with {decisive.baseline}, so that no loss in them can be shown.",
        )
    smallest = f", the smallest of {counts(min(guarded, key=lambda row: row.pages))}" if guarded else ""
    if small := len(told) - len(guarded):
        smallest += f"; {small} smaller {'one was' if small == 1 else 'ones were'} not compared"
    return Limit(
        True,
        f"Passed: in none of {len(guarded)} guarded slices ({names}) is a loss of more than {allowed} against "
        f"{decisive.baseline} shown ({MENU} protocol, {SPLIT}{smallest}).",
    )


def _lost(guarded: Sequence[ComparisonRow], allowed: float) -> list[ComparisonRow]:
    """The slices whose loss is beyond the allowed one by more than chance explains."""
    errors = [(row.upper - row.lower) / normal_width(2.0) for row in guarded]
    beyond = [row.difference + allowed for row in guarded]
    chances = holm([below(loss, error) for loss, error in zip(beyond, errors, strict=True)])
    return [row for row, chance in zip(guarded, chances, strict=True) if chance < _FALSE]
