"""Stage `report`: what the home's tables say, as one HTML page."""

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from pagerec_dbx.evaluation.baselines import POPULARITY
from pagerec_dbx.evaluation.comparison import slice_order
from pagerec_dbx.home import Home, is_simulated, write_atomically
from pagerec_dbx.importers.metarank import events_file
from pagerec_dbx.progress import watch_spark
from pagerec_dbx.report.board import results_from_rows
from pagerec_dbx.report.content import (
    METRICS,
    Decision,
    Difference,
    Health,
    Monitored,
    PositionClicks,
    Quarantined,
    ReportContent,
    Result,
    SliceGain,
    headline,
    role_of,
)
from pagerec_dbx.report.page import render
from pagerec_dbx.schemas import (
    COMPARISONS,
    DRIFT,
    EVALUATIONS,
    INGESTED_FILES,
    JOIN_HEALTH,
    LABELLED_PAGE_VIEWS,
    PROMOTIONS,
    QUARANTINE,
    Table,
)
from pagerec_dbx.stages.calibrate import calibration_of, shares_of
from pagerec_dbx.tables import Tables


@dataclasses.dataclass(frozen=True)
class ReportResult:
    """The page that was written, and its first sentence."""

    path: str
    headline: str


@dataclasses.dataclass(frozen=True)
class FromRegistry:
    """What only the registry knows of the version reported on."""

    curves: Sequence[Mapping[str, float]] = ()  # one dictionary an epoch of its training: epoch, loss, ...
    smoothing: str | None = None  # of the popularity floor that it was evaluated beside; None where it is not known
    legacy: str | None = None  # the version that is the legacy's architecture, trained here


def report(
    tables: Tables,
    now: dt.datetime,
    version: str | None = None,
    known: FromRegistry = FromRegistry(),
) -> ReportResult:
    """Write HOME/reports/index.html from what there is; a missing table is a section that names its command.

    Args:
        tables: of the home.
        now: when the report is made.
        version: the version reported on; the challenger of the latest comparison unless given.
        known: what the registry knows of it.
    """
    with watch_spark(tables.spark, "report"):
        content = collect_content(tables, now, version, known)
    return write_report(tables.home, content)


def write_report(home: Home, content: ReportContent) -> ReportResult:
    """The page of what was collected, as HOME/reports/index.html."""
    path = home.reports / "index.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, render(content))
    return ReportResult(str(path), headline(content))


def last_compared(tables: Tables) -> tuple[str, str] | None:
    """Challenger and holdout of the latest comparison; None where there is none."""
    rows = _comparison(tables, None)
    return (rows[0]["challenger"], rows[0]["holdout"]) if rows else None


def collect_content(
    tables: Tables,
    now: dt.datetime,
    version: str | None,
    known: FromRegistry = FromRegistry(),
) -> ReportContent:
    """The report's figures, counted by Spark; only counts and means reach the driver."""
    rows = _comparison(tables, version)
    version = rows[0]["challenger"] if rows else version
    holdout = rows[0]["holdout"] if rows else None
    decision = _decision(tables, version)
    champion = _champion(rows, decision, known.legacy)
    compared, differences = results_from_rows(rows, champion, known.legacy)
    evaluated = _evaluated(tables, compared, holdout)
    return ReportContent(
        made_at=now,
        version=version,
        holdout=holdout,
        simulated=is_simulated(tables.home),
        source=_source(tables),
        results=tuple(_with_smoothing(result, known.smoothing) for result in evaluated),
        differences=tuple(differences),
        slices=_slices(tables, rows, champion),
        decision=decision,
        curves=tuple(known.curves),
        health=_health(tables),
        positions=_positions(tables),
        quarantine=_quarantine(tables),
        monitored=_monitored(tables),
        **_calibration(tables, version, holdout),
    )


def _calibration(tables: Tables, version: str | None, holdout: str | None) -> dict:
    if version is None or holdout is None or not tables.exists(EVALUATIONS):
        return {}
    return {
        "calibration": calibration_of(tables, holdout, version),
        "shares": shares_of(tables, holdout, version),
    }


def _read(tables: Tables, table: Table) -> DataFrame | None:
    return tables.read(table) if tables.exists(table) else None


def _comparison(tables: Tables, version: str | None) -> list[Row]:
    """The version's, or anybody's, last comparison: one record per baseline, protocol and metric over all page views.

    What the version was compared with before, on the same holdout, is in it too.
    """
    comparisons = _read(tables, COMPARISONS)
    if comparisons is None:
        return []
    whole = comparisons.where(F.col("slice") == "all")
    known = whole if version is None else whole.where(F.col("challenger") == version)
    last = known.orderBy(F.desc("compared_at"), "comparison_id").first()
    if last is None:
        return []
    same = (F.col("challenger") == last["challenger"]) & (F.col("holdout") == last["holdout"])
    records = whole.where(same).orderBy("compared_at", "comparison_id").collect()
    return list({(record["baseline"], record["protocol"], record["metric"]): record for record in records}.values())


def _slices(tables: Tables, rows: Sequence[Row], champion: str | None) -> tuple[SliceGain, ...]:
    """The slices of the latest comparison against the champion, or against popularity where none was compared with."""
    comparisons = _read(tables, COMPARISONS)
    if comparisons is None or not rows:
        return ()
    latest = max(rows, key=lambda row: row["compared_at"])
    same = (F.col("comparison_id") == latest["comparison_id"]) & (F.col("slice") != "all")
    records = comparisons.where(same & (F.col("baseline") == (champion or POPULARITY))).collect()  # some dozen
    names = ("baseline", "protocol", "metric", "difference", "lower", "upper", "pages", "viewers")
    return tuple(
        SliceGain(record["slice"], Difference(*(record[name] for name in names)), record["p_adjusted"])
        for record in sorted(records, key=lambda record: slice_order(record["slice"]))
    )


def _with_smoothing(result: Result, smoothing: str | None) -> Result:
    known = smoothing is not None and result.name == POPULARITY
    return dataclasses.replace(result, note=f"smoothing {smoothing}") if known else result


def _log_folders(tables: Tables) -> list[Path]:
    """The folders of logs that were ingested."""
    files = _read(tables, INGESTED_FILES)
    if files is None:
        return []
    folders = files.select(F.regexp_extract("file", "^(.*)/[^/]+/[^/]+$", 1).alias("folder")).distinct().collect()
    return sorted(Path(record["folder"]) for record in folders)


def _source(tables: Tables) -> str | None:
    """The events files that the logs were imported from, by what the import left beside them."""
    files = [file for folder in _log_folders(tables) if (file := events_file(folder)) is not None]
    return ", ".join(files) or None


def _decision(tables: Tables, version: str | None) -> Decision | None:
    """The last verdict on a version; a rollback is none."""
    promotions = _read(tables, PROMOTIONS)
    if promotions is None or version is None:
        return None
    mine = promotions.where((F.col("version") == version) & (F.col("action") == "promote"))
    # As a number: Spark hands a timestamp over in the machine's own time zone.
    last = mine.withColumn("seconds", F.unix_seconds("decided_at")).orderBy(F.desc("sequence")).first()
    if last is None:
        return None
    decided_at = dt.datetime.fromtimestamp(last["seconds"], dt.UTC)
    return Decision(decided_at, version, last["previous_version"], last["promoted"], tuple(last["reasons"]))


def _champion(rows: Sequence[Row], decision: Decision | None, legacy: str | None) -> str | None:
    """The version that served when the comparison was made, among those compared with."""
    versions = {row["baseline"]: row["compared_at"] for row in rows if ":" not in row["baseline"]}
    if decision is not None and decision.previous_version in versions:
        return decision.previous_version
    latest = max(row["compared_at"] for row in rows) if rows else None
    now = [version for version, compared_at in versions.items() if version != legacy and compared_at == latest]
    return now[0] if now else None


def _evaluated(tables: Tables, compared: Sequence[Result], holdout: str | None) -> list[Result]:
    """The compared results with their expected figures, and the ceilings of the same holdout."""
    evaluations = _read(tables, EVALUATIONS)
    if evaluations is None or holdout is None:
        return list(compared)
    names = [name for name in (*METRICS, *(f"expected_{name}" for name in METRICS)) if name in evaluations.columns]
    means = (
        evaluations.where((F.col("holdout") == holdout) & _of_interest(compared))
        .groupBy("version", "protocol")
        .agg(
            F.count("*").alias("pages"),
            F.countDistinct("user_hash").alias("viewers"),
            *(F.avg(name).alias(name) for name in names),
        )
        .collect()
    )
    known = {(mean["version"], mean["protocol"]): _result(mean.asDict()) for mean in means}
    own = [
        dataclasses.replace(result, expected=known[result.name, result.protocol].expected)
        if (result.name, result.protocol) in known
        else result
        for result in compared
    ]
    return own + [result for result in known.values() if result.role == "ceiling"]


def _of_interest(compared: Sequence[Result]) -> Column:
    return F.col("version").isin([result.name for result in compared]) | F.col("version").startswith("ceiling:")


def _result(mean: Mapping) -> Result:
    expected = {name: mean[f"expected_{name}"] for name in METRICS if mean.get(f"expected_{name}") is not None}
    # A ceiling's own figure is the expected one: observed clicks only choose its page views.
    return Result(
        mean["version"], role_of(mean["version"], None), mean["protocol"], {}, mean["pages"], mean["viewers"], expected
    )


def _health(tables: Tables) -> tuple[Health, ...]:
    health = _read(tables, JOIN_HEALTH)
    records = [] if health is None else health.select("day", "join_method", "measure", "value").collect()
    return tuple(Health(*record) for record in records)


def _positions(tables: Tables) -> tuple[PositionClicks, ...]:
    labelled = _read(tables, LABELLED_PAGE_VIEWS)
    if labelled is None:
        return ()
    places = labelled.select("randomized", F.posexplode("clicked").alias("position", "label"))
    counts = places.groupBy("position", "randomized").agg(F.count("*").alias("shown"), F.sum("label").alias("clicked"))
    return tuple(PositionClicks(*record) for record in counts.orderBy("randomized", "position").collect())


def _quarantine(tables: Tables) -> tuple[Quarantined, ...]:
    quarantine = _read(tables, QUARANTINE)
    records = [] if quarantine is None else quarantine.groupBy("source", "reason").count().collect()
    return tuple(Quarantined(*record) for record in records)


def _monitored(tables: Tables) -> tuple[Monitored, ...]:
    """All monitored days of the version that was monitored last."""
    drift = _read(tables, DRIFT)
    last = None if drift is None else drift.orderBy(F.desc("monitored_at"), F.desc("day")).first()
    if last is None:
        return ()
    names = [field.name for field in dataclasses.fields(Monitored)]
    records = drift.where(F.col("version") == last["version"]).select(*names).collect()  # some dozen a day
    in_order = sorted(records, key=lambda one: (one["day"], not one["measure"].startswith("psi_"), one["measure"]))
    return tuple(Monitored(*one) for one in in_order)
