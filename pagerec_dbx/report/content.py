"""What a report tells, as plain values. Every figure knows its protocol, page views and viewers."""

import dataclasses
import datetime as dt
from collections.abc import Mapping

from pagerec_dbx.evaluation.baselines import POPULARITY
from pagerec_dbx.evaluation.calibration import Reliability
from pagerec_dbx.figures import number, signed

METRICS = {"ndcg": "NDCG", "ndcg_at_10": "NDCG@10", "reciprocal_rank": "RR", "hit_at_1": "hit@1", "hit_at_5": "hit@5"}
PROTOCOLS = {
    "menu": "the rows offered on the page",
    "menu_unpinned": "the offered rows that are not pinned",
    "vocabulary": "all rows of the vocabulary (a floor: the offered rows first)",
}
SPLIT = "holdout"
MEASURED_HERE = "here"
# In the order in which they are shown.
ROLES = (
    "challenger",
    "champion",
    "legacy",
    "version",
    "baseline",
    "floor",
    "ceiling",
    "imported",
)


@dataclasses.dataclass(frozen=True)
class Result:
    """The mean figures of one version, floor or ceiling under one protocol."""

    name: str  # a version's number, `floor:popularity`, `ceiling:with_position`, ...
    role: str  # one of ROLES
    protocol: str
    metrics: Mapping[str, float | None]
    pages: int | None = None
    viewers: int | None = None
    expected: Mapping[str, float | None] = dataclasses.field(
        default_factory=dict
    )  # over the true click; simulated only
    note: str = ""  # said beside the role: a floor's smoothing


@dataclasses.dataclass(frozen=True)
class Difference:
    """How much better the challenger is than a baseline, with its 95 % interval."""

    baseline: str
    protocol: str
    metric: str
    difference: float | None  # None, and no interval: a slice too small to compare
    lower: float | None
    upper: float | None
    pages: int | None = None
    viewers: int | None = None


@dataclasses.dataclass(frozen=True)
class SliceGain:
    """A difference inside one slice of the holdout."""

    slice: str  # `column: band`
    gain: Difference
    p_adjusted: float | None  # by Holm over all slices


@dataclasses.dataclass(frozen=True)
class Decision:
    """A verdict on the version, and whether it was acted on."""

    decided_at: dt.datetime
    version: str
    previous_version: str | None
    promoted: bool  # where nobody has acted on it: whether it may be
    reasons: tuple[str, ...]
    acted_on: bool = True  # False: judged, but neither promoted nor refused yet
    earlier: bool = False  # by an earlier comparison on the same holdout than the one that is shown


@dataclasses.dataclass(frozen=True)
class Health:
    """One measure of the joins on one day."""

    day: dt.date
    join_method: str
    measure: str
    value: float | None


@dataclasses.dataclass(frozen=True)
class PositionClicks:
    """How often the rows at one position were shown and clicked."""

    position: int  # 0-based
    randomized: bool  # on page views whose order was drawn at random
    shown: int
    clicked: int


@dataclasses.dataclass(frozen=True)
class PositionShare:
    """How often the rows at one position of the holdout's menus were clicked, and how often that was predicted."""

    position: int  # 0-based
    shown: int
    predicted: float  # mean probability, given a click on the page view
    observed: float  # mean target: 1 by the number of clicked rows, on each of them


@dataclasses.dataclass(frozen=True)
class Quarantined:
    """Lines of one source refused for one reason."""

    source: str
    reason: str
    lines: int


@dataclasses.dataclass(frozen=True)
class Monitored:
    """One measure of a monitored day, as the table `drift` has it."""

    day: dt.date
    version: str
    measure: str
    value: float
    lower: float | None
    upper: float | None
    expected_by_chance: float | None
    limit: float | None
    passed: bool
    training_share: float | None
    day_share: float | None
    page_views: int
    viewers: int
    reason: str


@dataclasses.dataclass(frozen=True)
class ReportContent:
    """All that the page shows; any part may be missing."""

    made_at: dt.datetime
    version: str | None = None  # under judgement
    holdout: str | None = None
    simulated: bool = False
    source: str | None = None  # name of the events file that the logs were imported from
    metric: str = "ndcg"  # that decides; the headline tells it
    against: str = POPULARITY  # whom the headline and the slices are about: the champion, the legacy or popularity
    legacy: str | None = None  # the version that is the legacy's architecture, trained here
    elsewhere: str = ""  # who won where the legacy's file was measured
    results: tuple[Result, ...] = ()
    differences: tuple[Difference, ...] = ()
    slices: tuple[SliceGain, ...] = ()  # against the side that the headline tells of
    decision: Decision | None = None
    curves: tuple[Mapping[str, float], ...] = ()  # one an epoch
    health: tuple[Health, ...] = ()
    positions: tuple[PositionClicks, ...] = ()
    calibration: Reliability | None = None  # of the version, under the menu protocol
    shares: tuple[PositionShare, ...] = ()  # of the version, under the menu protocol
    quarantine: tuple[Quarantined, ...] = ()
    monitored: tuple[Monitored, ...] = ()  # of the version monitored last, in order of the days


def decisive(content: ReportContent) -> Difference | None:
    """The difference the headline tells: menu protocol, the metric that decides, against whom the content says; where
    there is none, against anybody."""
    asked = [d for d in content.differences if (d.protocol, d.metric) == ("menu", content.metric)]
    known = [difference for difference in asked if difference.lower is not None]
    return next((one for one in known if one.baseline == content.against), known[0] if known else None)


def headline(content: ReportContent) -> str:
    """The finding in one sentence."""
    told = decisive(content)
    if content.version is None:
        return "No version has been compared yet."
    if told is None:
        return f"Version {content.version} has not been compared with a floor or a champion yet."
    where = f", on {told.pages:,} page views" if told.pages is not None else ""
    simulated = " (simulated)" if content.simulated else ""
    return (
        f"Version {content.version} {_finding(told)} {spoken_side(content, told.baseline)}: "
        f"{METRICS[content.metric]} {signed(told.difference)}, "
        f"95 % interval {number(told.lower)} to {number(told.upper)}{where}{simulated}."
    )


def spoken_side(content: ReportContent, name: str) -> str:
    """As `spoken`, and the retrained legacy as "the legacy (version 3)"."""
    return f"the legacy ({spoken(name)})" if name == content.legacy else spoken(name)


def _finding(told: Difference) -> str:
    if told.lower > 0:
        return "ranks better than"
    return "ranks worse than" if told.upper < 0 else "is not shown to rank better than"


def floors_sentence(content: ReportContent) -> str:
    """Whether all floors are beaten: the interval of the difference lies above 0 against each."""
    floors = [
        difference
        for difference in content.differences
        if (difference.protocol, difference.metric) == ("menu", content.metric)
        and difference.baseline.startswith("floor:")
    ]
    if not floors:
        return ""
    lost = [spoken(floor.baseline) for floor in floors if floor.lower is None or floor.lower <= 0]
    if lost:
        return f"It does not beat every floor: {' and '.join(lost)} not beaten."
    return f"It beats every floor: {', '.join(spoken(floor.baseline) for floor in floors)}."


def role_of(
    name: str,
    challenger: str | None,
    champion: str | None = None,
    measured: str = MEASURED_HERE,
    legacy: str | None = None,
) -> str:
    """What part a version, floor or ceiling plays in a comparison."""
    if measured != MEASURED_HERE:
        return "imported"
    kind = name.partition(":")[0]
    if ":" in name:
        return kind if kind in ROLES else "baseline"
    return {legacy: "legacy", champion: "champion", challenger: "challenger"}.get(name, "version")


def spoken(name: str) -> str:
    """A version, floor or ceiling as one says it: `floor:page_order` is "page order"."""
    kind, colon, rest = name.partition(":")
    if not colon:
        return f"version {name}"
    said = rest.replace("_", " ")
    if kind in ("floor", "baseline"):
        return said
    return f"best order {said}" if kind == "ceiling" else f"{kind} {said}"
