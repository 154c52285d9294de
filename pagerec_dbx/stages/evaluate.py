"""The stage `evaluate`: a version and the floors on the holdout -> `evaluations`, and their means."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pagerec_dbx.config import JudgeSettings
from pagerec_dbx.errors import OverlapError, SnapshotError
from pagerec_dbx.evaluation.baselines import FLOORS, all_floors, row_counts
from pagerec_dbx.evaluation.calibration import BINS, Reliability
from pagerec_dbx.evaluation.entries import FIGURES
from pagerec_dbx.evaluation.legacy_way import LegacyWay, legacy_means
from pagerec_dbx.evaluation.looks import Looks, looks_at, note_look
from pagerec_dbx.evaluation.offline import Judged, Ranker, evaluate_frame
from pagerec_dbx.evaluation.pages import holdout_pages, read_truth, with_truth
from pagerec_dbx.evaluation.protocols import CEILINGS, EXPECTED, MENU, METRICS, PROTOCOLS, SPLIT
from pagerec_dbx.evaluation.slices import with_slices
from pagerec_dbx.features.leases import reading
from pagerec_dbx.features.preparation import Preparation
from pagerec_dbx.features.snapshot import Snapshot, open_snapshot
from pagerec_dbx.figures import MISSING, number
from pagerec_dbx.home import is_simulated, mark_simulated
from pagerec_dbx.pipelines.cuts import at_or_after
from pagerec_dbx.pipelines.order import OrderKey
from pagerec_dbx.progress import watch_spark
from pagerec_dbx.schemas import EVALUATIONS, EXAMPLES, LABELLED_PAGE_VIEWS
from pagerec_dbx.stages.calibrate import calibrate
from pagerec_dbx.stages.conditions import judged_records
from pagerec_dbx.stages.floor_records import with_known_expected
from pagerec_dbx.tables import Tables
from pagerec_dbx.workers import worker_errors

ECE = "ece"  # among the metrics of the menu protocol


@dataclasses.dataclass(frozen=True)
class ProtocolResult:
    """Means over the page views of the holdout under one protocol; every page view weighs alike."""

    version: str
    protocol: str
    split: str
    pages: int
    viewers: int
    left_out: int  # page views of the holdout on which nothing that is ranked was clicked
    metrics: Mapping[str, float]
    floors: Mapping[str, Mapping[str, float]]
    ceilings: Mapping[str, Mapping[str, float]] | None  # of a simulated world, expected figures; None elsewhere


@dataclasses.dataclass(frozen=True)
class EvaluateResult:
    """What `pagerec evaluate` answers: the menu protocol first, the others beside it."""

    holdout: str
    simulated: bool  # the home holds logs of a simulated world
    menu: ProtocolResult
    others: tuple[ProtocolResult, ...]
    calibrated_pairs: int  # (page view, offered row) pairs behind the calibration error; 0 where there is none
    alarms: tuple[str, ...]  # sentences; an alarm refuses nothing
    legacy_way: LegacyWay | None
    looks: Looks  # at this holdout so far, this one among them

    def to_json(self) -> dict:
        whole = dataclasses.asdict(self)
        return {**whole.pop("menu"), **whole}

    def to_text(self) -> str:
        """A table for the terminal: no figure without its protocol, its page views and its split."""
        lines = _lines(self.menu, self.simulated)
        if ECE in self.menu.metrics:
            lines.append(
                f"  version {self.menu.version}: expected calibration error {number(self.menu.metrics[ECE])} in {BINS} "
                f"bins of {self.calibrated_pairs:,} pairs of page view and offered row"
            )
        lines += [line for result in self.others for line in _lines(result, self.simulated)]
        if self.legacy_way is not None:
            lines += self.legacy_way.to_lines()
        return "\n".join([*lines, *(f"Alarm: {alarm}" for alarm in self.alarms), self.looks.to_text()])


def evaluate(
    tables: Tables,
    version: str,
    preparation: Preparation,
    load_ranker: Callable[[], Ranker],
    trained_until: OrderKey,
    settings: JudgeSettings,
    truth: Path | None = None,
    legacy_batch_size: int | None = None,
) -> EvaluateResult:
    """Measure a version and every floor on the holdout; their earlier records on it are replaced.

    Without the truth they keep the expected figures that they have.

    Args:
        load_ranker: gives the version's ranker; picklable, called once in each worker process.
        trained_until: the last page view that the version was trained or validated on.
        truth: LOGS/truth of a simulated world, for ceilings and expected figures.
        legacy_batch_size: page views of a batch, for the figures the legacy's way beside ours; None for none.

    Raises:
        OverlapError: the version has seen page views of the holdout.
        SnapshotError: the holdout is damaged or does not fit the examples.
        ScoresError: a score is NaN; the page view is named.
        SettingError: `slice_columns` names a column by which the examples cannot be sliced.
    """
    holdout = open_snapshot(preparation.folder(tables.home, SPLIT))
    require_later(version, trained_until, holdout)
    note_look(tables, preparation.holdout, version)
    with watch_spark(tables.spark, "evaluate"), reading(holdout.folder):
        labelled = tables.read(LABELLED_PAGE_VIEWS, preparation.labelled_version)
        before = labelled.where(~at_or_after(preparation.cuts.holdout))
        rows_before = row_counts(before).persist()  # some hundred records, which floors and slices count by
        floors = all_floors(rows_before, settings.popularity_smoothing)
        examples = with_slices(_examples(tables, preparation, truth), rows_before, settings.slice_columns)
        pages = holdout_pages(tables.spark, holdout, examples)
        judged = Judged(preparation.holdout, preparation.row_count, version, load_ranker, floors)
        mine = judged_records(preparation.holdout, (version, *FLOORS, *(CEILINGS if truth is not None else ())))
        try:
            with worker_errors():
                records = with_known_expected(tables, evaluate_frame(pages, judged), preparation.holdout)
                tables.replace_where(EVALUATIONS, records, mine)
                legacy_way = legacy_batch_size and legacy_means(pages, examples, judged, legacy_batch_size)
        finally:
            rows_before.unpersist()
        looks = looks_at(tables, preparation.holdout)
        result = _result(tables.read(EVALUATIONS).where(mine), version, holdout, is_simulated(tables.home), looks)
        return _completed(result, calibrate(tables, preparation.holdout, version), legacy_way or None, settings)


def _examples(tables: Tables, preparation: Preparation, truth: Path | None) -> DataFrame:
    """Those of the holdout, with the truth where it is given."""
    examples = tables.read(EXAMPLES, preparation.examples_version).where(at_or_after(preparation.cuts.holdout))
    if truth is None:
        return examples
    true = read_truth(tables.spark, truth)
    mark_simulated(tables.home)
    return with_truth(examples, true)


def _completed(
    result: EvaluateResult, calibration: Reliability, legacy_way: LegacyWay | None, settings: JudgeSettings
) -> EvaluateResult:
    menu = result.menu
    if calibration.count:
        menu = dataclasses.replace(menu, metrics={**menu.metrics, ECE: calibration.error})
    alarm = collapsed(menu, settings.alarm_above_tied_tops)
    return dataclasses.replace(
        result,
        menu=menu,
        calibrated_pairs=calibration.count,
        alarms=() if alarm is None else (alarm,),
        legacy_way=legacy_way,
    )


def collapsed(menu: ProtocolResult, alarm_above: float) -> str | None:
    """The alarm that many page views have no best row, as scores that have become equal give no order."""
    tied = menu.metrics["tied_top"]
    if tied <= alarm_above:
        return None
    return (
        f"several rows share the best score on {tied:.1%} of {menu.pages:,} page views, more than {alarm_above:.1%} "
        f"(version {menu.version}, {menu.protocol} protocol, {menu.split}): scores have collapsed or rows are unknown."
    )


def require_later(version: str, trained_until: OrderKey, holdout: Snapshot) -> None:
    """Refuse a holdout that the version has seen a part of.

    Raises:
        OverlapError: it begins at or before the last page view trained on.
    """
    first = holdout.manifest.first
    if trained_until.rank >= first.rank:
        raise OverlapError(
            f"version {version} was trained on page views of the holdout",
            wanted=f"a holdout after {trained_until.as_json()}",
            got=f"one from {first.as_json()}",
            fix="Train again on the latest preparation, or prepare a later holdout (holdout_from)",
        )


def _result(evaluations: DataFrame, version: str, holdout: Snapshot, simulated: bool, looks: Looks) -> EvaluateResult:
    means = evaluations.groupBy("version", "protocol").agg(
        F.count("*").alias("pages"),
        F.countDistinct("user_hash").alias("viewers"),
        *(F.avg(name).alias(name) for name in FIGURES),
    )
    records = {(record["version"], record["protocol"]): record.asDict() for record in means.collect()}  # a dozen
    total = holdout.manifest.records
    menu, *others = (_protocol_result(records, version, protocol, total) for protocol in PROTOCOLS
                     if (version, protocol) in records)  # fmt: skip
    if menu.protocol != MENU or menu.pages != total:
        raise SnapshotError(
            f"holdout {holdout.manifest.name} does not fit the examples it was made from",
            wanted=f"{total:,} page views judged",
            got=f"{menu.pages:,}",
            fix="Run `pagerec prepare` again",
        )
    return EvaluateResult(holdout.manifest.name, simulated, menu, tuple(others), 0, (), None, looks)


def _protocol_result(records: Mapping, version: str, protocol: str, total: int) -> ProtocolResult:
    own = records[version, protocol]
    ceilings = {
        name.removeprefix("ceiling:"): {
            "pages": records[name, protocol]["pages"],
            **_known(records[name, protocol], EXPECTED),
        }
        for name in CEILINGS
        if (name, protocol) in records
    }
    return ProtocolResult(
        version=version,
        protocol=protocol,
        split=SPLIT,
        pages=own["pages"],
        viewers=own["viewers"],
        left_out=total - own["pages"],
        metrics=_known(own, FIGURES),
        floors={name: _known(records[name, protocol], FIGURES) for name in FLOORS if (name, protocol) in records},
        ceilings=ceilings or None,
    )


def _known(record: Mapping, names: tuple[str, ...]) -> dict[str, float]:
    return {name: record[name] for name in names if record[name] is not None}


def _lines(result: ProtocolResult, simulated: bool) -> list[str]:
    left_out = f", {result.left_out:,} left out" if result.left_out else ""
    count = f"{result.pages:,} page views of {result.viewers:,} viewers{left_out}"
    head = f"{result.protocol} protocol, {result.split}: {count}{', SIMULATED' if simulated else ''}"
    everybody = {f"version {result.version}": result.metrics, **result.floors}
    lines = [head, f"  {'':<24}" + "".join(f"{name:>17}" for name in METRICS)]
    lines += [_line(name, figures, METRICS) for name, figures in everybody.items()]
    if result.ceilings is None:
        return lines
    lines += ["  expected over the true clicks of the simulated world:"]
    lines += [_line(name, figures, EXPECTED) for name, figures in everybody.items()]
    return lines + [
        _line(f"ceiling {name.replace('_', ' ')}", figures, EXPECTED) + f"  on {figures['pages']:,} page views"
        for name, figures in result.ceilings.items()
    ]


def _line(name: str, figures: Mapping[str, float], names: tuple[str, ...]) -> str:
    return f"  {name:<24}" + "".join(f"{number(figures.get(one)):>17}" for one in names).replace(MISSING, "-")
