"""Stage `report`: what the home's tables say, as one HTML page."""

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.home import Home, is_simulated, write_atomically
from pagerec_dbx.importers.metarank import events_file
from pagerec_dbx.progress import watch_spark
from pagerec_dbx.report.content import (
    Health,
    Monitored,
    PositionClicks,
    Quarantined,
    ReportContent,
    headline,
)
from pagerec_dbx.report.page import render
from pagerec_dbx.schemas import (
    DRIFT,
    EVALUATIONS,
    INGESTED_FILES,
    JOIN_HEALTH,
    LABELLED_PAGE_VIEWS,
    QUARANTINE,
    Table,
)
from pagerec_dbx.stages.calibrate import calibration_of, shares_of
from pagerec_dbx.stages.report_comparison import Compared, comparison_part, last_compared
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
    legacy: str | None = None  # of those that it was compared with: the legacy's architecture, trained here


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


def collect_content(
    tables: Tables,
    now: dt.datetime,
    version: str | None,
    known: FromRegistry = FromRegistry(),
) -> ReportContent:
    """The report's figures, counted by Spark; only counts and means reach the driver."""
    compared = last_compared(tables, version)
    told = {"version": version} if compared is None else comparison_part(tables, compared, known.legacy)
    return ReportContent(
        made_at=now,
        simulated=is_simulated(tables.home),
        source=_source(tables),
        curves=tuple(known.curves),
        health=_health(tables),
        positions=_positions(tables),
        quarantine=_quarantine(tables),
        monitored=_monitored(tables),
        **told,
        **_calibration(tables, compared),
    )


def _calibration(tables: Tables, compared: Compared | None) -> dict:
    if compared is None or not tables.exists(EVALUATIONS):
        return {}
    return {
        "calibration": calibration_of(tables, compared.holdout, compared.version),
        "shares": shares_of(tables, compared.holdout, compared.version),
    }


def _read(tables: Tables, table: Table) -> DataFrame | None:
    return tables.read(table) if tables.exists(table) else None


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
