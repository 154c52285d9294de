"""`demo`: the whole thread, from raw logs to a judged version, ranked menus and a page of results."""

import contextlib
import dataclasses
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

from pagerec_dbx.config import Settings, TrainSettings
from pagerec_dbx.errors import UsageError
from pagerec_dbx.features.preparation import latest_preparation
from pagerec_dbx.features.snapshot import open_snapshot
from pagerec_dbx.hashing import ensure_key
from pagerec_dbx.progress import say
from pagerec_dbx.report.board import boards, terminal_table
from pagerec_dbx.report.content import ReportContent
from pagerec_dbx.stages.demo_home import demo_logs, require_demo
from pagerec_dbx.stages.import_metarank import import_metarank
from pagerec_dbx.stages.ingest import ingest
from pagerec_dbx.stages.join import join
from pagerec_dbx.stages.judge import evaluate_version, known_of
from pagerec_dbx.stages.prepare import prepare
from pagerec_dbx.stages.promote import compare_and_judge, promote_version
from pagerec_dbx.stages.report import collect_content, write_report
from pagerec_dbx.stages.report_comparison import last_compared
from pagerec_dbx.stages.score import score_version
from pagerec_dbx.stages.simulate import simulate
from pagerec_dbx.stages.train import TrainResult, train
from pagerec_dbx.workbench import Workbench

MODEL = "two_tower_softmax"
LEGACY = Path(__file__).parents[1] / "examples" / "legacy-study.json"
STEPS_WANTED = 40  # an epoch of fewer steps learns little; the batch is halved until there are as many


@dataclasses.dataclass(frozen=True)
class DemoLog:
    """Where the raw logs come from: an events file, or else a simulated world."""

    events: Path | None
    page_views: int
    days: int


@dataclasses.dataclass(frozen=True)
class DemoResult:
    """What the demo came to."""

    trained: TrainResult
    promoted: bool
    reasons: tuple[str, ...]
    scored_version: str
    scored_page_views: int
    report: str
    source: str | None  # the events file; None for a simulated world
    seconds: dict[str, float]  # by stage
    table: str

    def to_json(self) -> dict:
        values = dataclasses.asdict(self)
        return {name: value for name, value in values.items() if name != "table"}

    def to_text(self) -> str:
        source = [f"Source: events file {self.source}."] if self.source else []
        alarms = [reason for reason in self.reasons if reason.startswith("Alarm")]
        ends = [self._verdict(), *alarms, f"The page of results: {self.report}", *source, self._times()]
        return "\n".join([self.table, "", *ends])

    def _verdict(self) -> str:
        version = self.trained.version
        if self.promoted:
            return f"Version {version} kept every limit and is champion; it ranked {self.scored_page_views:,} menus."
        failed = " ".join(reason for reason in self.reasons if reason.startswith("Failed"))
        return (
            f"Version {version} was not promoted. {failed}\n"
            f"So version {self.scored_version}, as challenger, ranked {self.scored_page_views:,} menus."
        )

    def _times(self) -> str:
        total = sum(self.seconds.values())
        stages = ", ".join(f"{name} {seconds:.0f}" for name, seconds in self.seconds.items())
        return f"{total:.0f} s in all: {stages}."


def run_demo(bench: Workbench, log: DemoLog, ranks: int) -> DemoResult:
    """Run every stage in turn on one home; a refused promotion is a result, and then the challenger scores."""
    clock = _Clock()
    with clock.stage("Spark"):
        tables = bench.tables
        require_demo(tables)
    key, _ = ensure_key(bench.home, derived_from_seed=bench.settings.simulate.seed)
    with clock.stage("logs"):
        logs = _logs(bench, log, key)
    with clock.stage("ingest"):
        ingest(tables, logs, key, bench.settings.ingest, bench.now())
    with clock.stage("join"):
        join(tables, bench.settings.join)
    with clock.stage("prepare"):
        prepare(tables, bench.settings.prepare, bench.now())
    with clock.stage("train"):
        trained = train(tables, bench.registry, MODEL, ranks, _fitting(bench, ranks))
    truth = None if log.events else logs / "truth"
    with clock.stage("evaluate"):
        evaluate_version(bench, trained.version, truth)
    with clock.stage("compare"):
        compare_and_judge(bench, trained.version, legacy=LEGACY, truth=truth)
    with clock.stage("promote"):
        decision = promote_version(bench, trained.version)
    with clock.stage("score"):
        scored = score_version(bench, "champion" if decision.promoted else "challenger")
    with clock.stage("report"):
        known = known_of(bench, trained.version, last_compared(tables, trained.version).others)
        content = collect_content(tables, bench.now(), trained.version, known)
        report = write_report(bench.home, content)
    return DemoResult(
        trained=trained,
        promoted=decision.promoted,
        reasons=decision.reasons,
        scored_version=scored.version,
        scored_page_views=scored.page_views,
        report=report.path,
        source=content.source,
        seconds=clock.seconds,
        table=_table(content),
    )


def _logs(bench: Workbench, log: DemoLog, key) -> Path:
    """The raw logs in the home; made once, so that a second demo goes on with the same ones."""
    name = _log_name(bench, log)
    logs = demo_logs(bench.home) / name
    others = [other.name for other in logs.parent.glob("[!.]*") if other.name != name]
    if others:
        raise UsageError(
            f"home {bench.home.name} holds another demo",
            wanted=f"logs {name}",
            got=", ".join(others),
            fix="Choose another --home",
        )
    if logs.exists():
        say(f"  logs are there already: {logs}")
    elif log.events:
        import_metarank(log.events, logs)
    else:
        simulate(bench.tables.spark, key, logs, log.page_views, log.days, bench.settings.simulate)
    return logs


def _log_name(bench: Workbench, log: DemoLog) -> str:
    """Other events, or another world, have another name."""
    if log.events:
        with log.events.open("rb") as events:
            content = hashlib.file_digest(events, "sha256").hexdigest()[:8]
        return f"events-{log.events.name}-{content}"
    world = hashlib.sha256(repr(bench.settings.simulate).encode()).hexdigest()[:8]
    return f"simulated-{log.page_views}-{log.days}-{world}"


def _fitting(bench: Workbench, ranks: int) -> Settings:
    """The settings with a batch small enough for a demo's log."""
    preparation = latest_preparation(bench.tables)
    records = open_snapshot(preparation.folder(bench.home, "train")).manifest.records
    fitted = fitting_batch(bench.settings.train, records, ranks)
    if fitted != bench.settings.train:
        say(f"  {records:,} examples are few: the batch a rank is {fitted.batch_size} instead of "
            f"{bench.settings.train.batch_size}")  # fmt: skip
    return dataclasses.replace(bench.settings, train=fitted)


def fitting_batch(settings: TrainSettings, records: int, ranks: int) -> TrainSettings:
    """The same settings, the batch halved until an epoch has STEPS_WANTED steps, but not below 16."""
    batch_size = settings.batch_size
    while batch_size > 16 and records < STEPS_WANTED * ranks * batch_size:
        batch_size //= 2
    return dataclasses.replace(settings, batch_size=batch_size)


def _table(content: ReportContent) -> str:
    shown = boards(content.results, content.differences, content.simulated, content.metric)
    told = [content.elsewhere] if content.elsewhere else []
    return "\n\n".join([*(terminal_table(board) for board in shown), *told])


class _Clock:
    """Says each stage as it begins and keeps how long it took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        say(f"{name} ...")
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 1)
