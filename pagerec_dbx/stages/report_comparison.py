"""What the report tells of a version: its latest comparison, and what became of the version by it."""

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence

from pyspark.sql import Column, Row
from pyspark.sql import functions as F

from pagerec_dbx.evaluation.baselines import POPULARITY
from pagerec_dbx.evaluation.comparison import HERE, elsewhere_sentence, slice_order
from pagerec_dbx.evaluation.protocols import ALL
from pagerec_dbx.promotions import PROMOTE
from pagerec_dbx.report.board import results_from_rows
from pagerec_dbx.report.content import METRICS, Decision, Difference, Result, SliceGain, role_of
from pagerec_dbx.schemas import COMPARISONS, EVALUATIONS, PROMOTIONS, VERDICTS
from pagerec_dbx.stages.floor_records import stored_smoothing
from pagerec_dbx.tables import Tables


@dataclasses.dataclass(frozen=True)
class Compared:
    """A version's latest comparison over all page views of its holdout."""

    version: str
    holdout: str
    comparison_id: str
    compared_micros: int  # since 1970: Spark hands a timestamp over in the machine's own time zone
    rows: tuple[Row, ...]  # and, of earlier ones on the same holdout, what was measured elsewhere

    @property
    def others(self) -> list[str]:
        """The versions that it was compared with: champion and retrained legacy."""
        return list(dict.fromkeys(row["baseline"] for row in self.rows if ":" not in row["baseline"]))


def last_compared(tables: Tables, version: str | None = None) -> Compared | None:
    """The version's, or anybody's, last comparison; None where there is none."""
    if not tables.exists(COMPARISONS):
        return None
    whole = tables.read(COMPARISONS).where(F.col("slice") == ALL)
    known = whole if version is None else whole.where(F.col("challenger") == version)
    known = known.withColumn("compared_micros", F.unix_micros("compared_at"))
    last = known.orderBy(F.desc("compared_at"), "comparison_id").first()
    if last is None:
        return None
    same = (F.col("challenger") == last["challenger"]) & (F.col("holdout") == last["holdout"])
    told = (F.col("comparison_id") == last["comparison_id"]) | (F.col("measured") != HERE)
    records = whole.where(same & told).orderBy("compared_at").collect()  # some dozen
    # Of figures measured elsewhere that several comparisons have, the latest.
    rows = {(record["baseline"], record["protocol"], record["metric"]): record for record in records}
    return Compared(
        version=last["challenger"],
        holdout=last["holdout"],
        comparison_id=last["comparison_id"],
        compared_micros=last["compared_micros"],
        rows=tuple(rows.values()),
    )


def comparison_part(tables: Tables, compared: Compared, legacy: str | None) -> dict:
    """The report's content that comes of a comparison: results, differences, slices, and the verdict on it."""
    verdict = _verdict(tables, compared)
    champion = next((name for name in compared.others if name != legacy), None)
    against = champion or legacy or POPULARITY
    slices = _slices(tables, compared, against)
    results, differences = results_from_rows(compared.rows, champion, legacy)
    metric = verdict["metric"] if verdict else slices[0].gain.metric if slices else "ndcg"
    return {
        "version": compared.version,
        "holdout": compared.holdout,
        "metric": metric,
        "against": against,
        "legacy": legacy,
        "results": tuple(_with_ceilings(tables, results, compared.holdout)),
        "differences": tuple(differences),
        "slices": slices,
        "decision": _decision(tables, compared, verdict),
        "elsewhere": elsewhere_sentence(compared.rows),
    }


def _slices(tables: Tables, compared: Compared, against: str) -> tuple[SliceGain, ...]:
    same = (F.col("comparison_id") == compared.comparison_id) & (F.col("slice") != ALL)
    records = tables.read(COMPARISONS).where(same & (F.col("baseline") == against)).collect()  # some dozen
    names = ("baseline", "protocol", "metric", "difference", "lower", "upper", "pages", "viewers")
    return tuple(
        SliceGain(record["slice"], Difference(*(record[name] for name in names)), record["p_adjusted"])
        for record in sorted(records, key=lambda record: slice_order(record["slice"]))
    )


def _verdict(tables: Tables, compared: Compared) -> Row | None:
    """The stored verdict, if it was made by these figures: not on another comparison, nor before the last one."""
    if not tables.exists(VERDICTS):
        return None
    mine = (F.col("version") == compared.version) & (F.col("comparison_id") == compared.comparison_id)
    later = F.unix_micros("judged_at") >= compared.compared_micros
    record = tables.read(VERDICTS).where(mine & later).withColumn("seconds", F.unix_seconds("judged_at")).first()
    return record if record and record["grounds"]["holdout"] == compared.holdout else None


def _decision(tables: Tables, compared: Compared, verdict: Row | None) -> Decision | None:
    """What was decided by this comparison's verdict; else the verdict itself; else what was decided on this holdout."""
    decided = _decided(tables, compared)
    if verdict is None:
        return decided and dataclasses.replace(decided, earlier=True)
    judged_at = dt.datetime.fromtimestamp(verdict["seconds"], dt.UTC)
    if decided is not None and decided.decided_at >= judged_at and decided.reasons == tuple(verdict["reasons"]):
        return decided
    champion = verdict["grounds"]["champion"]
    return Decision(
        judged_at, compared.version, champion, verdict["promote"], tuple(verdict["reasons"]), acted_on=False
    )


def _decided(tables: Tables, compared: Compared) -> Decision | None:
    """The last decision by a verdict on the version, on this holdout; a rollback is none."""
    if not tables.exists(PROMOTIONS):
        return None
    on_holdout = tables.read(COMPARISONS).where(F.col("holdout") == compared.holdout).select("comparison_id").distinct()
    mine = (F.col("version") == compared.version) & (F.col("action") == PROMOTE)
    found = tables.read(PROMOTIONS).where(mine).join(on_holdout, "comparison_id", how="left_semi")
    last = found.withColumn("seconds", F.unix_seconds("decided_at")).orderBy(F.desc("sequence")).first()
    if last is None:
        return None
    decided_at = dt.datetime.fromtimestamp(last["seconds"], dt.UTC)
    return Decision(decided_at, compared.version, last["previous_version"], last["promoted"], tuple(last["reasons"]))


def _with_ceilings(tables: Tables, results: Sequence[Result], holdout: str) -> list[Result]:
    """The compared results with their expected figures and the floor's smoothing, and the ceilings of the holdout."""
    if not tables.exists(EVALUATIONS):
        return list(results)
    smoothing = stored_smoothing(tables, holdout)
    evaluations = tables.read(EVALUATIONS).where((F.col("holdout") == holdout) & _of_interest(results))
    means = (
        evaluations.groupBy("version", "protocol")
        .agg(
            F.count("*").alias("pages"),
            F.countDistinct("user_hash").alias("viewers"),
            *(F.avg(f"expected_{name}").alias(f"expected_{name}") for name in METRICS),
        )
        .collect()
    )
    known = {(mean["version"], mean["protocol"]): _result(mean.asDict()) for mean in means}
    own = [
        dataclasses.replace(result, expected=known[result.name, result.protocol].expected)
        if (result.name, result.protocol) in known
        else result
        for result in results
    ]
    noted = [
        dataclasses.replace(result, note=f"smoothing {smoothing:g}")
        if smoothing is not None and result.name == POPULARITY
        else result
        for result in own
    ]
    return noted + [result for result in known.values() if result.role == "ceiling"]


def _of_interest(results: Sequence[Result]) -> Column:
    return F.col("version").isin([result.name for result in results]) | F.col("version").startswith("ceiling:")


def _result(mean: Mapping) -> Result:
    expected = {name: mean[f"expected_{name}"] for name in METRICS if mean[f"expected_{name}"] is not None}
    # A ceiling's own figure is the expected one: observed clicks only choose its page views.
    return Result(
        mean["version"], role_of(mean["version"], None), mean["protocol"], {}, mean["pages"], mean["viewers"], expected
    )
