"""The stage `power`: stored evaluations -> how many page views a verdict needs."""

import dataclasses

from pyspark.sql import functions as F

from pagerec_dbx.config import JudgeSettings
from pagerec_dbx.evaluation.compare import require_evaluated, viewer_sums
from pagerec_dbx.evaluation.power import POWER, Needed, Spread, measured_spread, needed
from pagerec_dbx.evaluation.protocols import MENU, METRICS
from pagerec_dbx.figures import number, signed
from pagerec_dbx.home import is_simulated
from pagerec_dbx.progress import watch_spark
from pagerec_dbx.schemas import EVALUATIONS
from pagerec_dbx.tables import Tables


@dataclasses.dataclass(frozen=True)
class PowerResult:
    """How many page views of the holdout a verdict needs, by the spread between two sides that were measured."""

    challenger: str
    baseline: str
    holdout: str
    protocol: str
    metric: str
    minimum_gain: float
    power: float
    spread: Spread
    needed: Needed
    simulated: bool

    def to_text(self) -> str:
        """What it takes, what there is, and of whom that holds."""
        spread, wanted = self.spread, self.needed
        above = f" above the minimum gain of {self.minimum_gain:g}" if self.minimum_gain else ""
        return (
            f"To see a gain of {wanted.gain:g} in {self.metric}{above} in {self.power:.0%} of verdicts, a holdout "
            f"needs {wanted.page_views:,} page views with a click, of about {wanted.viewers:,} viewers.\n"
            f"Holdout {self.holdout} has {spread.pages:,} of {spread.viewers:,} viewers"
            f"{', SIMULATED' if self.simulated else ''}: it shows gains from {number(wanted.smallest_gain)} on. "
            f"Measured on the difference of {self.challenger} and {self.baseline}, {self.protocol} protocol "
            f"({signed(spread.difference)}, standard error {number(spread.standard_error)}).\n"
            "Two that rank more differently vary more between viewers and need more; each side of a verdict has a need "
            "of its own (--against)."
        )


def power(
    tables: Tables, challenger: str, baseline: str, holdout: str, gain: float, settings: JudgeSettings
) -> PowerResult:
    """How many page views it takes to see a gain of the verdict's metric.

    Args:
        challenger, baseline: two who were evaluated on the holdout; their difference gives the spread between viewers.
        gain: the true gain that should be seen.

    Raises:
        MissingTableError, ComparisonError: one of them was not evaluated on this holdout.
        UsageError: the gain is not above the minimum gain.
    """
    with watch_spark(tables.spark, "power"):
        evaluations = tables.read(EVALUATIONS).where(F.col("holdout") == holdout)
        sides = viewer_sums(evaluations, [challenger, baseline])
    for side in (challenger, baseline):
        require_evaluated(sides, side, holdout)
    own, other = sides[challenger, MENU], sides[baseline, MENU]
    at = METRICS.index(settings.verdict_metric)
    spread = measured_spread(own.sums[:, at] - other.sums[:, at], own.pages)
    return PowerResult(
        challenger=challenger,
        baseline=baseline,
        holdout=holdout,
        protocol=MENU,
        metric=settings.verdict_metric,
        minimum_gain=settings.minimum_gain,
        power=POWER,
        spread=spread,
        needed=needed(spread, gain, settings.minimum_gain),
        simulated=is_simulated(tables.home),
    )
