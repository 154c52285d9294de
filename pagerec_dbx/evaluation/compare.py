"""Two sides on the same page views: paired differences with their intervals, and the legacy's figures beside them."""

import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.config import JudgeSettings
from pagerec_dbx.errors import ComparisonError
from pagerec_dbx.evaluation.baselines import POPULARITY
from pagerec_dbx.evaluation.comparison import (
    ELSEWHERE,
    HERE,
    LEGACY_IMPORTED,
    POPULARITY_IMPORTED,
    CompareResult,
    ComparisonRow,
)
from pagerec_dbx.evaluation.intervals import Intervals, paired_intervals
from pagerec_dbx.evaluation.legacy import LegacyFigures
from pagerec_dbx.evaluation.protocols import ALL, BASELINE_PREFIX, MENU, METRICS, PROTOCOLS

_IMPORTED_NAMES = {  # who and in which metric, by the file's names
    (LEGACY_IMPORTED, "ndcg"): "val_ndcg",
    (LEGACY_IMPORTED, "reciprocal_rank"): "val_mrr",
    (POPULARITY_IMPORTED, "ndcg"): "pop_ndcg",
    (POPULARITY_IMPORTED, "reciprocal_rank"): "pop_mrr",
}


@dataclasses.dataclass(frozen=True)
class Side:
    """Somebody's figures under one protocol, summed over each viewer's page views."""

    sums: np.ndarray  # [viewers, metrics] in the order of METRICS
    pages: np.ndarray  # [viewers]

    @property
    def means(self) -> np.ndarray:
        """[metrics] over page views."""
        return self.sums.sum(axis=0) / self.pages.sum()


def comparison_id_of(challenger: str, holdout: str, baselines: Sequence[str]) -> str:
    """The same challenger, holdout and set of champion and floors make the same comparison.

    Who else is shown beside (`baseline:...`) may grow: the comparison is then replaced.
    """
    decisive = sorted(name for name in baselines if not name.startswith(BASELINE_PREFIX))
    identity = json.dumps([challenger, holdout, decisive])
    return hashlib.sha256(identity.encode("utf-8")).hexdigest()[:16]


def viewer_sums(evaluations: DataFrame, versions: Sequence[str]) -> dict[tuple[str, str], Side]:
    """The figures of each (version, protocol), summed by viewer in Spark; the same viewers in the same order for all.

    Args:
        evaluations: records of one holdout.

    Returns:
        Only those with a page view.
    """
    pairs = [(version, protocol) for version in versions for protocol in PROTOCOLS]
    long = evaluations.groupBy("user_hash", "version", "protocol").agg(
        *(F.sum(metric).alias(metric) for metric in METRICS), F.count("*").cast("double").alias("pages")
    )
    fields = (*METRICS, "pages")
    columns = [
        F.sum(F.when((F.col("version") == version) & (F.col("protocol") == protocol), F.col(field)).otherwise(0.0))
        for version, protocol in pairs
        for field in fields
    ]
    named = [column.alias(f"c{number}") for number, column in enumerate(columns)]
    wide = long.where(F.col("version").isin(list(versions))).groupBy("user_hash").agg(*named)
    # One record per viewer: what the resampling needs, in an order that does not depend on Spark's partitions.
    numbers = wide.orderBy("user_hash").drop("user_hash").toPandas().to_numpy(np.float64)
    cube = numbers.reshape(len(numbers), len(pairs), len(fields))
    sides = {pair: Side(cube[:, number, :-1], cube[:, number, -1]) for number, pair in enumerate(pairs)}
    return {pair: side for pair, side in sides.items() if side.pages.sum() > 0}


def compared(
    sides: dict[tuple[str, str], Side],
    challenger: str,
    baselines: Sequence[str],
    holdout: str,
    legacy: LegacyFigures | None,
    settings: JudgeSettings,
    now: dt.datetime,
) -> CompareResult:
    """The challenger against each baseline, under each protocol that both have.

    Raises:
        ComparisonError: one of them was not evaluated on this holdout, or not on the same page views.
    """
    for version in (challenger, *baselines):
        require_evaluated(sides, version, holdout)
    common: dict = {"holdout": holdout, "challenger": challenger, "slice": ALL, "p_adjusted": None, "compared_at": now}
    common["comparison_id"] = comparison_id_of(challenger, holdout, baselines)
    pairs = [
        (baseline, protocol)
        for protocol in PROTOCOLS
        for baseline in baselines
        if (baseline, protocol) in sides and (challenger, protocol) in sides
    ]
    intervals = _intervals(sides, challenger, pairs, settings)
    rows = [
        ComparisonRow(**common, **_figures(sides, challenger, pair, metric, intervals, number))
        for number, (pair, metric) in enumerate((pair, metric) for pair in pairs for metric in METRICS)
    ]
    imported = _imported(legacy, sides[challenger, MENU]) if legacy else []
    rows += [ComparisonRow(**common, **figures) for figures in imported]
    return CompareResult(common["comparison_id"], challenger, holdout, tuple(rows))


def legacy_named(result: CompareResult) -> dict[str, float]:
    """The challenger against popularity, ranking the menu, under the names of the legacy's results file."""
    whole = (POPULARITY, MENU, ALL)
    rows = {row.metric: row for row in result.rows if (row.baseline, row.protocol, row.slice) == whole}
    figures: dict[str, float] = {}
    for short, metric in (("mrr", "reciprocal_rank"), ("ndcg", "ndcg")):
        own, popular = rows[metric].value_challenger, rows[metric].value_baseline
        figures |= {f"pop_{short}": popular, f"val_{short}": own, f"{short}_diff": own - popular}
        figures[f"{short}_rel_diff"] = (own - popular) / popular
    return figures


def _intervals(sides, challenger: str, pairs: Sequence[tuple[str, str]], settings: JudgeSettings) -> Intervals:
    """One column for each pair and metric, all over the same resamples of viewers."""
    differences, counts = [], []
    for baseline, protocol in pairs:
        own, other = sides[challenger, protocol], sides[baseline, protocol]
        if not np.array_equal(own.pages, other.pages):
            raise ComparisonError(
                f"version {challenger} and {baseline} were not measured on the same page views",
                wanted=f"{own.pages.sum():,.0f} page views under {protocol}",
                got=f"{other.pages.sum():,.0f}",
                fix=f"{_evaluation_of(challenger)} and {_evaluation_of(baseline)[4:]} again",
            )
        differences.append(own.sums - other.sums)
        counts.append(np.repeat(own.pages[:, None], len(METRICS), axis=1))
    return paired_intervals(np.hstack(differences), np.hstack(counts), settings.resamples, settings.seed)


def _figures(sides, challenger: str, pair: tuple[str, str], metric: str, intervals: Intervals, number: int) -> dict:
    baseline, protocol = pair
    at = METRICS.index(metric)
    return {
        "baseline": baseline,
        "protocol": protocol,
        "metric": metric,
        "value_challenger": float(sides[challenger, protocol].means[at]),
        "value_baseline": float(sides[baseline, protocol].means[at]),
        "difference": float(intervals.difference[number]),
        "lower": float(intervals.lower[number]),
        "upper": float(intervals.upper[number]),
        "pages": int(intervals.pages[number]),
        "viewers": int(intervals.viewers[number]),
        "effective_viewers": float(intervals.effective_viewers[number]),
        "measured": HERE,
    }


def _imported(legacy: LegacyFigures, own: Side) -> list[dict]:
    """The legacy's own figures, and its popularity's, beside ours: other data, so no difference, interval or count."""
    nothing = dict.fromkeys(("difference", "lower", "upper", "pages", "viewers", "effective_viewers"))
    return [
        {
            **nothing,
            "baseline": baseline,
            "protocol": MENU,
            "metric": metric,
            "value_challenger": float(own.means[METRICS.index(metric)]),
            "value_baseline": legacy.metrics[name],
            "measured": ELSEWHERE,
        }
        for (baseline, metric), name in _IMPORTED_NAMES.items()
    ]


def require_evaluated(sides: Mapping[tuple[str, str], Side], version: str, holdout: str) -> None:
    """Refuse to compare somebody of whom there are no figures.

    Raises:
        ComparisonError: nothing was evaluated under the menu protocol.
    """
    if (version, MENU) not in sides:
        raise ComparisonError(
            f"{version} was not evaluated on holdout {holdout}",
            wanted=f"its records in `evaluations` under the {MENU} protocol",
            fix=_evaluation_of(version),
        )


def _evaluation_of(name: str) -> str:
    if name.startswith(BASELINE_PREFIX):
        return f"Run `pagerec baselines {name.removeprefix(BASELINE_PREFIX)}`"
    return f"Run `pagerec evaluate --version {name}`"
