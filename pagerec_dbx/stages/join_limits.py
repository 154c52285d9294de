"""Limits on join health: `match_rate >= .5` turns a measure into a failure."""

import dataclasses
import operator
import re
from collections.abc import Iterable

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.errors import HealthError, SettingError

_LIMIT = re.compile(r"\s*(?:(all|keyed|windowed)\.)?([a-z_0-9]+)\s*(>=|<=)\s*(-?\d*\.?\d+(?:[eE]-?\d+)?)\s*")
_COMPARED = {">=": operator.ge, "<=": operator.le}


@dataclasses.dataclass(frozen=True)
class Limit:
    """One measure's bound; it holds on every day that has the measure."""

    join_method: str
    measure: str
    comparison: str  # >= or <=
    bound: float

    def holds(self, value: float) -> bool:
        return _COMPARED[self.comparison](value, self.bound)


def parse_limit(text: str) -> Limit:
    """`match_rate>=.5`, `windowed.match_rate>=.4`; without a join the measure of all.

    Raises:
        SettingError: not such a text.
    """
    match = _LIMIT.fullmatch(text)
    if match is None:
        raise SettingError(
            "setting `health_limits` is malformed",
            wanted="[join.]measure>=number or <=, as windowed.match_rate>=.4",
            got=repr(text),
            fix="Set health_limits=[match_rate>=.5]",
        )
    method, measure, comparison, bound = match.groups()
    return Limit(method or "all", measure, comparison, float(bound))


def parse_limits(texts: Iterable[str]) -> list[Limit]:
    """All of them; SettingError for the first that is malformed."""
    return [parse_limit(text) for text in texts]


def require_limits(join_health: DataFrame, limits: Iterable[str]) -> None:
    """Raise HealthError for the first measure and day that is past its limit, or a measure that no day has."""
    for limit in parse_limits(limits):
        of_measure = (F.col("join_method") == limit.join_method) & (F.col("measure") == limit.measure)
        days = join_health.where(of_measure & F.col("value").isNotNull()).orderBy("day").collect()  # one a day
        name = f"{limit.join_method}.{limit.measure}"
        if not days:
            raise HealthError(f"no day has the measure {name}", fix="Look at table `join_health` for its measures")
        bad = [row for row in days if not limit.holds(row["value"])]
        if bad:
            raise HealthError(
                f"{name} is past its limit on {len(bad)} of {len(days)} days, first on {bad[0]['day']}; all is written",
                wanted=f"{limit.comparison} {limit.bound:g}",
                got=f"{bad[0]['value']:.6g}",
                fix="Read docs/joins.md on what to do, then run `pagerec join` again",
            )
