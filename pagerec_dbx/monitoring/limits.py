"""What was measured of a day against the limits: one sentence each, kept or not."""

import dataclasses
from collections.abc import Mapping

from pagerec_dbx.config import MonitorSettings
from pagerec_dbx.figures import number, signed
from pagerec_dbx.monitoring.distributions import CLICK_SHARE, NEW_NAME, UNKNOWN, WITH_CLICK, Distribution
from pagerec_dbx.monitoring.psi import shift
from pagerec_dbx.monitoring.scored import FIGURES, GAIN, OF_POPULARITY, Figure

PSI = "psi_"  # before the name of a distribution
DECIDES = GAIN + FIGURES[0]  # the figure that has a limit


@dataclasses.dataclass(frozen=True)
class Sample:
    """How much stands behind a measure."""

    page_views: int  # of the day
    viewers: int
    training_page_views: int | None = None


@dataclasses.dataclass(frozen=True)
class Measure:
    """One measure of a day; shares are of what is counted: new tokens, unknown tokens, page views with a click."""

    measure: str
    value: float
    lower: float | None  # of the 95 % interval by viewer
    upper: float | None
    expected_by_chance: float | None  # the mean of a PSI if nothing changed
    chance_99: float | None  # what it exceeds once in a hundred days if nothing changed
    limit: float | None  # None: shown, not judged
    passed: bool
    training_share: float | None
    day_share: float | None
    page_views: int
    viewers: int
    training_page_views: int | None
    reason: str  # a sentence; empty where there is no limit


def limit_of(distribution: str, settings: MonitorSettings) -> float:
    """The limit on the PSI of a distribution."""
    if distribution == CLICK_SHARE:
        return settings.max_psi_click_share
    return settings.max_psi_unknown if distribution in UNKNOWN.values() else settings.max_psi


def psi_measure(name: str, distribution: Distribution, sample: Sample, limit: float) -> Measure:
    """The PSI of a distribution; it fails past the limit, unless chance alone goes as far."""
    found = shift(distribution.training, distribution.day)
    past_limit, past_chance = found.value > limit, found.value > found.chance_99
    passed = not (past_limit and past_chance)
    compared = "within" if not past_limit else "past" if past_chance else "no further than chance, though past"
    reason = (
        f"{_word(passed)}: {PSI}{name} {number(found.value)} is {compared} the limit of {limit:g}; by chance it is "
        f"about {number(found.expected_by_chance)}, and above {number(found.chance_99)} on one day in a hundred."
    )
    counted = next((one for one in (NEW_NAME, WITH_CLICK, "unknown") if one in distribution.names), None)
    before, after = distribution.share(counted) if counted else (None, None)
    return Measure(
        measure=PSI + name, value=found.value, lower=None, upper=None, expected_by_chance=found.expected_by_chance,
        chance_99=found.chance_99, limit=limit, passed=passed, training_share=before, day_share=after,
        reason=reason + _moved(distribution, found.moved), **dataclasses.asdict(sample),
    )  # fmt: skip


def _moved(distribution: Distribution, cell: int) -> str:
    if cell < 0:
        return " One of the two sides has nothing to count."
    before, after = distribution.training.shares[cell], distribution.day.shares[cell]
    return f" Most of it: `{distribution.names[cell]}`, {before:.2%} in training, {after:.2%} on the day."


def figure_measures(figures: Mapping[str, Figure], least_gain: float) -> list[Measure]:
    """The version's metrics, those of popularity and the gains; the gain of NDCG has a limit."""
    return [
        Measure(
            measure=name, value=figure.value, lower=figure.lower, upper=figure.upper, expected_by_chance=None,
            chance_99=None, limit=least_gain if name == DECIDES else None,
            passed=name != DECIDES or figure.upper >= least_gain, training_share=None, day_share=None,
            page_views=figure.page_views, viewers=figure.viewers, training_page_views=None,
            reason=_gain_reason(figure, least_gain) if name == DECIDES else "",
        )
        for name, figure in figures.items()
    ]  # fmt: skip


def _gain_reason(figure: Figure, least_gain: float) -> str:
    passed = figure.upper >= least_gain
    compared = "is not shown to be below" if passed else "is below"
    return (
        f"{_word(passed)}: {DECIDES} over {OF_POPULARITY.rstrip('_')} {signed(figure.value)}, 95 % interval "
        f"{signed(figure.lower)} to {signed(figure.upper)}, {compared} the limit of {least_gain:g} "
        f"({figure.page_views:,} page views with a click of {figure.viewers:,} viewers)."
    )


def _word(passed: bool) -> str:
    return "Passed" if passed else "Failed"
