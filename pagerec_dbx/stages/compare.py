"""The stage `compare`: stored evaluations -> paired differences in `comparisons`."""

import dataclasses
import datetime as dt
from pathlib import Path

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.config import JudgeSettings
from pagerec_dbx.evaluation.baselines import FLOORS
from pagerec_dbx.evaluation.compare import compared, viewer_sums
from pagerec_dbx.evaluation.comparison import HERE, CompareResult, ComparisonRow
from pagerec_dbx.evaluation.legacy import LegacyFigures, read_legacy
from pagerec_dbx.evaluation.protocols import ALL, BASELINE_PREFIX, MENU
from pagerec_dbx.evaluation.slices import slice_differences, sliced_comparison
from pagerec_dbx.home import is_simulated
from pagerec_dbx.progress import watch_spark
from pagerec_dbx.schemas import COMPARISONS, EVALUATIONS
from pagerec_dbx.tables import Tables, spark_schema


@dataclasses.dataclass(frozen=True)
class Sides:
    """Who is held against whom; every floor, and every baseline that was measured, stands beside them."""

    challenger: str
    champion: str | None = None
    legacy: str | None = None  # the legacy's architecture as it was trained here

    @property
    def versions(self) -> list[str]:
        """The registered ones, each once, the challenger first."""
        return list(dict.fromkeys(one for one in (self.challenger, self.champion, self.legacy) if one is not None))

    @property
    def decisive(self) -> list[str]:
        """Whom the challenger must be held against: champion, legacy, floors."""
        return [*self.versions[1:], *FLOORS]


def compare(
    tables: Tables,
    sides: Sides,
    holdout: str,
    legacy_file: Path | None,
    settings: JudgeSettings,
    now: dt.datetime,
) -> CompareResult:
    """Hold the challenger against champion and legacy, where given, and every floor; the same comparison is replaced.

    Every baseline that was measured on this holdout stands beside them.

    Figures measured elsewhere that stood beside it stay there, unless a new file of them is given.

    Args:
        holdout: id of the holdout on which all were evaluated.
        legacy_file: JSON of a legacy run, to be shown beside.

    Raises:
        LegacyFileError: the file is missing or malformed; nothing is read or written then.
        MissingTableError, ComparisonError: somebody was not evaluated on this holdout.
    """
    legacy = None if legacy_file is None else read_legacy(legacy_file)
    result = _compared(tables, sides, holdout, legacy, settings, now)
    stored = None if legacy else stored_comparison(tables, sides, holdout)
    result = result if stored is None else _with_imported(result, stored)
    _store(tables, result)
    return result


def renewed_comparison(
    tables: Tables, stored: CompareResult, sides: Sides, settings: JudgeSettings, now: dt.datetime
) -> CompareResult:
    """The same comparison by the evaluations and settings of now: the given one if nothing differs, else stored anew.

    Figures measured elsewhere stay beside it.
    """
    fresh = _compared(tables, sides, stored.holdout, None, settings, now)
    renewed = _with_imported(fresh, stored)
    if _agree(renewed, stored):
        return stored
    _store(tables, renewed)
    return renewed


def _with_imported(fresh: CompareResult, stored: CompareResult) -> CompareResult:
    """A new comparison, and beside it what was measured elsewhere and stands beside the stored one."""
    own = {(row.protocol, row.metric): row for row in fresh.rows if row.slice == ALL}
    beside = tuple(
        dataclasses.replace(
            row,
            value_challenger=own[row.protocol, row.metric].value_challenger,
            compared_at=fresh.rows[0].compared_at,
        )
        for row in stored.rows
        if row.measured != HERE
    )
    return dataclasses.replace(fresh, rows=fresh.rows + beside)


def _agree(one: CompareResult, other: CompareResult) -> bool:
    """Whether two comparisons hold the same records, but for their time and for the order in which Spark added up."""
    left, right = _by_name(one), _by_name(other)
    return left.keys() == right.keys() and all(
        np.allclose(left[name], right[name], rtol=0, atol=1e-9, equal_nan=True) for name in left
    )


def _by_name(result: CompareResult) -> dict[tuple, np.ndarray]:
    of_sides, of_sample = ("value_challenger", "value_baseline"), ("pages", "viewers", "effective_viewers")
    figures = (*of_sides, "difference", "lower", "upper", *of_sample, "p_adjusted")
    return {
        (row.baseline, row.protocol, row.metric, row.slice, row.measured): np.array(
            [getattr(row, name) for name in figures], np.float64
        )
        for row in result.rows
    }


def _compared(
    tables: Tables,
    sides: Sides,
    holdout: str,
    legacy: LegacyFigures | None,
    settings: JudgeSettings,
    now: dt.datetime,
) -> CompareResult:
    challenger = sides.challenger
    with watch_spark(tables.spark, "compare"):
        evaluations = tables.read(EVALUATIONS).where(F.col("holdout") == holdout)
        baselines = [*sides.decisive, *_measured_baselines(evaluations)]
        sums = viewer_sums(evaluations, [challenger, *baselines])
        result = compared(sums, challenger, baselines, holdout, legacy, settings, now)
        of_menu = evaluations.where(F.col("protocol") == MENU)
        metric, least = settings.verdict_metric, settings.least_slice_page_views
        sliced = slice_differences(of_menu, challenger, baselines, metric).collect()  # some dozen a baseline
    result = sliced_comparison(result, sliced, metric, least)
    return dataclasses.replace(result, simulated=is_simulated(tables.home), legacy=sides.legacy)


def stored_comparison(tables: Tables, sides: Sides, holdout: str) -> CompareResult | None:
    """The stored comparison of these sides on a holdout; None if there is none.

    Which baselines stand beside them does not matter.
    """
    if not tables.exists(COMPARISONS):
        return None
    same = (F.col("challenger") == sides.challenger) & (F.col("holdout") == holdout)
    rows = [ComparisonRow(**record.asDict()) for record in tables.read(COMPARISONS).where(same).collect()]  # some dozen
    wanted = set(sides.decisive)
    for latest in sorted({(row.compared_at, row.comparison_id) for row in rows}, reverse=True):
        own = tuple(row for row in rows if (row.compared_at, row.comparison_id) == latest)
        here = {row.baseline for row in own if row.measured == HERE}
        if {name for name in here if not name.startswith(BASELINE_PREFIX)} == wanted:
            return CompareResult(latest[1], sides.challenger, holdout, own, is_simulated(tables.home), sides.legacy)
    return None


def _measured_baselines(evaluations: DataFrame) -> list[str]:
    """The baselines that there are records of; `pagerec baselines` makes them."""
    names = (
        evaluations.where(F.col("version").startswith(BASELINE_PREFIX)).select("version").distinct().collect()
    )  # a handful
    return sorted(record["version"] for record in names)


def _store(tables: Tables, result: CompareResult) -> None:
    rows = [dataclasses.asdict(row) for row in result.rows]
    records = [tuple(row[name] for name in COMPARISONS.column_names) for row in rows]
    frame = tables.spark.createDataFrame(records, spark_schema(COMPARISONS))
    tables.replace_where(COMPARISONS, frame, f"comparison_id = '{result.comparison_id}'")
