"""One limit's word in a verdict."""

import dataclasses

from pagerec_dbx.evaluation.comparison import ComparisonRow
from pagerec_dbx.evaluation.protocols import SPLIT


@dataclasses.dataclass(frozen=True)
class Limit:
    """Whether a limit is kept, and its sentence: `Passed: ...`, `Failed: ...`, or `Alarm: ...`, which is no refusal."""

    passed: bool
    reason: str


def word(passed: bool) -> str:
    """How a limit's sentence begins."""
    return "Passed" if passed else "Failed"


def counts_of(row: ComparisonRow) -> str:
    """What a figure was measured on."""
    return f"{row.protocol} protocol, {SPLIT}: {row.pages:,} page views of {row.viewers:,} viewers"
