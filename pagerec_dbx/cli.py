"""`pagerec`: one subcommand a stage, and `demo`."""

import dataclasses
import datetime as dt
import functools
import json as jsonlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import click
from click.core import ParameterSource

from pagerec_dbx import __version__
from pagerec_dbx.config import flat, given_settings, load_settings
from pagerec_dbx.errors import PagerecError, UsageError, full_disk
from pagerec_dbx.figures import number
from pagerec_dbx.home import Home, open_home, require_layout
from pagerec_dbx.lock import locked
from pagerec_dbx.models.names import MODEL_NAMES, MODEL_SETTINGS, SEARCH_SPACES, require_model_name
from pagerec_dbx.stages.rekey_note import require_no_move
from pagerec_dbx.workbench import Workbench


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a command has to say: an object for programs, a text for people, and whether it did what was asked."""

    data: dict
    text: str
    refused: bool = False


def _command(name: str, *, writes: bool, example: str, begins: bool = False, names: bool = False):
    """A subcommand with the options that all have; its function takes a Workbench and returns an Outcome.

    Args:
        writes: hold the home's lock while the command runs; others change nothing, and with `--dry-run` or
            `--plan` it is as if it did not write.
        begins: make the home if there is none; other commands that write refuse a home that is not there.
        example: shown at the end of `--help`.
        names: words without `=` before or among the settings are names, which the function takes.
    """

    def register(body: Callable[..., Outcome]):
        @functools.wraps(body)
        def run(home, config, overrides, json, debug, **options):
            if names:
                options["names"] = tuple(word for word in overrides if "=" not in word)
                overrides = tuple(word for word in overrides if "=" in word)
            settings = load_settings(_path(config), overrides, MODEL_SETTINGS.get(options.get("model_name", "")))
            changes = writes and not (options.get("dry_run") or options.get("plan"))
            given = frozenset(given_settings(_path(config), overrides))
            bench = Workbench(open_home(home, new=begins) if changes else Home(home), settings, given)
            if changes:
                with locked(bench.home, name):
                    if name != "rekey":
                        require_no_move(bench.home)
                    outcome = body(bench, **options)
            else:
                outcome = body(bench, **options)
            click.echo(jsonlib.dumps(outcome.data, default=str) if json else outcome.text)
            return 1 if outcome.refused else 0

        for decorate in reversed(_SHARED):
            run = decorate(run)
        command = cli.command(name, epilog=f"\b\nExample:\n  {example}")(run)
        if names:
            next(one for one in command.params if one.name == "overrides").metavar = "[NAME | KEY=VALUE]..."
        # A file that a command takes stands before the settings.
        command.params.sort(key=lambda parameter: parameter.name == "overrides")
        return command

    return register


_SHARED = (
    click.option("--home", default="./pagerec-home", show_default=True, help="Folder; on Databricks catalog.schema."),
    click.option("--config", type=click.Path(dir_okay=False), help="YAML file of settings."),
    click.option("--json", is_flag=True, help="Print the result as one JSON object."),
    click.option("--debug", is_flag=True, help="Show stack traces."),
    click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]..."),
)


_MODELS = ", ".join(MODEL_NAMES) + "."
_DAY = click.DateTime(formats=["%Y-%m-%d"])
_MODEL_NAME = click.option(
    "--model-name", "registered", help="Full name of the registered model; refused unless it is this home's."
)


class _InOrder(click.Group):
    """Lists the commands in the order in which they are used, not by the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Learns in which order to show the rows of a home page to each viewer.

    Settings are given as KEY=VALUE after the options; `pagerec settings` lists them.
    """


@_command(
    "simulate", writes=True, begins=True, example="pagerec simulate --out logs --page-views 60000 --days 4 --seed 17"
)
@click.option("--out", required=True, type=click.Path(), help="New folder for the logs.")
@click.option("--page-views", required=True, type=click.IntRange(1), help="Distinct page views.")
@click.option("--days", required=True, type=click.IntRange(1), help="Days, from 2024-01-01 UTC unless set.")
@click.option("--seed", required=True, type=int, help="Same seed and key, same lines.")
def simulate(bench: Workbench, out: str, page_views: int, days: int, seed: int) -> Outcome:
    """Make raw logs of a world whose best order is known."""
    from pagerec_dbx.stages.simulate import simulate as stage

    key = _key(bench)
    settings = dataclasses.replace(bench.settings.simulate, seed=seed)
    result = stage(bench.tables.spark, key, Path(out), page_views, days, settings)
    return Outcome(_plain(result), f"{result.page_views:,} page views simulated in {out}")


@_command("import-metarank", writes=False, example="pagerec import-metarank events.jsonl.gz --out logs")
@click.argument("file", type=click.Path())
@click.option("--out", required=True, type=click.Path(), help="New folder for the logs.")
def import_metarank(bench: Workbench, file: str, out: str) -> Outcome:
    """Read Metarank-format events (RankLens) into raw logs of the default format."""
    from pagerec_dbx.stages.import_metarank import import_metarank as stage

    result = stage(Path(file), Path(out))
    return Outcome(_plain(result), f"Imported {file} into {out}: {_counts(_plain(result))}")


@_command("ingest", writes=True, begins=True, example="pagerec ingest --logs logs --mapping mapping.yml --dry-run")
@click.option("--logs", required=True, type=click.Path(), help="Folder with service_logs/, click_logs/ and so on.")
@click.option("--mapping", type=click.Path(dir_okay=False), help="YAML file: where your lines have the fields.")
@click.option("--new-checkpoints", is_flag=True, help="Begin new streams where one is lost; nothing is read twice.")
@click.option("--dry-run", is_flag=True, help="Show the first ten records of each source; write nothing.")
def ingest(bench: Workbench, logs: str, mapping: str | None, new_checkpoints: bool, dry_run: bool) -> Outcome:
    """Raw lines -> bronze -> silver, only what is new, each line once.

    Lines with other field names than the default ones need a mapping file (docs/data-formats.md); look with --dry-run
    at what becomes of them.
    """
    from pagerec_dbx.pipelines.mapping import Mapping
    from pagerec_dbx.pipelines.mapping_file import read_mapping

    forms = read_mapping(Path(mapping)) if mapping else Mapping()
    if dry_run:
        return _dry_run(bench, Path(logs), forms)
    from pagerec_dbx.pipelines.files import require_logs
    from pagerec_dbx.stages.demo_home import require_no_demo
    from pagerec_dbx.stages.ingest import ingest as stage

    require_no_demo(bench.home, Path(logs))
    require_logs(Path(logs))  # a mistyped folder is refused before a key is made and Spark started
    result = stage(bench.tables, Path(logs), _key(bench), bench.settings.ingest, bench.now(), forms, new_checkpoints)
    return Outcome(_plain(result), f"Ingested {logs}: {_counts(_plain(result))}")


def _dry_run(bench: Workbench, logs: Path, mapping) -> Outcome:
    """`ingest --dry-run`, which makes no folder either: Spark's own messages go nowhere."""
    from pagerec_dbx.hashing import existing_key, throw_away_key
    from pagerec_dbx.spark import spark_session
    from pagerec_dbx.stages.dry_run import dry_run as stage

    require_layout(bench.home)
    key = existing_key(bench.home) or throw_away_key()
    spark = spark_session(log_file=Path(os.devnull))
    result = stage(spark, logs, key, bench.settings.ingest, bench.now(), mapping)
    return Outcome(result.to_json(), result.to_text())


@_command("join", writes=True, example="pagerec join --from 2024-01-02 --to 2024-01-03")
@click.option("--from", "from_", type=_DAY, help="First day (UTC) to label anew, whether it changed or not.")
@click.option("--to", type=_DAY, help="Last day (UTC), included.")
def join(bench: Workbench, from_: dt.datetime | None, to: dt.datetime | None) -> Outcome:
    """Silver -> labelled_page_views and join_health, for the days that changed or those named."""
    from pagerec_dbx.stages.join import DayRange
    from pagerec_dbx.stages.join import join as stage

    if from_ is not None and to is not None and from_ > to:
        raise UsageError("the range has no day", wanted="--from before or at --to", got=f"{from_.date()}, {to.date()}")
    named = from_ is not None or to is not None
    recompute = DayRange(from_ and from_.date(), to and to.date()) if named else None
    result = _plain(stage(bench.tables, bench.settings.join, recompute))
    return Outcome(result, f"Joined: {_counts(result)}")


@_command("prepare", writes=True, example="pagerec prepare holdout_fraction=.2 history_length=20")
def prepare(bench: Workbench) -> Outcome:
    """Vocabularies, examples, and the snapshots for training, validation and holdout."""
    from pagerec_dbx.stages.prepare import prepare as stage

    result = _plain(stage(bench.tables, bench.settings.prepare, bench.now()))
    return Outcome(result, f"Prepared: {_counts(result)}")


@_command("train", writes=True, example="pagerec train --model two_tower_softmax --ranks 2 epochs=20 batch_size=256")
@click.option("--model", "model_name", default="two_tower_softmax", show_default=True, help=_MODELS)
@click.option("--ranks", default=1, show_default=True, type=click.IntRange(1), help="Horovod ranks on Spark.")
@click.option(
    "--resume",
    "run_id",
    metavar="RUN",
    help="Go on with a stopped training, with its model and ranks; `auto`: with one of just this model, ranks and "
    "settings, or begin it.",
)
@click.option("--plan", is_flag=True, help="Say what it would take, from 20 steps; no run begins, none is registered.")
@click.option("--profile", is_flag=True, help="Leave a trace of some steps and a summary in HOME/profiles.")
@click.option(
    "--seeds",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Train from so many seeds: each one's figures on the validation days, their mean and spread; the best of "
    "them is registered.",
)
def train(
    bench: Workbench, model_name: str, ranks: int, run_id: str | None, plan: bool, profile: bool, seeds: int
) -> Outcome:
    """Train, export, register as challenger (legacy_binary: as legacy); prints the version."""
    if sum((run_id is not None, plan, profile, seeds > 1)) > 1:
        raise UsageError("--resume, --plan, --profile and --seeds do not go together", fix="Choose one")
    if run_id not in (None, "auto"):
        return _resume(bench, run_id)
    require_model_name(model_name)  # a mistyped one is refused before Spark is started
    if plan:
        from pagerec_dbx.stages.plan import plan_training

        open_home(bench.home.name, new=False)
        planned = plan_training(bench.tables, model_name, ranks, bench.settings)
        return Outcome(_plain(planned), planned.to_text())
    if seeds > 1:
        from pagerec_dbx.stages.seeds import train_seeds

        spread = train_seeds(bench.tables, bench.registry, model_name, ranks, bench.settings, seeds)
        return Outcome(_plain(spread), spread.to_text())
    if run_id == "auto":
        from pagerec_dbx.stages.resume import resume_or_train

        result = resume_or_train(bench.tables, bench.registry, model_name, ranks, bench.settings)
    else:
        from pagerec_dbx.stages.train import train as stage

        result = stage(bench.tables, bench.registry, model_name, ranks, bench.settings, profile)
    return Outcome(_plain(result), result.version)


def _resume(bench: Workbench, run_id: str) -> Outcome:
    from pagerec_dbx.stages.resume import resume
    from pagerec_dbx.stages.stopped_runs import find_stopped

    for name, option in (("model_name", "--model"), ("ranks", "--ranks")):
        if click.get_current_context().get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise UsageError("--resume goes on with its run's own model and ranks", got=option, fix="Leave it out")
    stopped = find_stopped(bench.home, run_id)  # before Spark is started
    result = resume(bench.tables, bench.registry, stopped, bench.settings, bench.given)
    return Outcome(_plain(result), result.version)


@_command("tune", writes=True, example="pagerec tune --model two_tower_softmax --trials 30 epochs=10 batch_size=512")
@click.option(
    "--model",
    "model_name",
    default="two_tower_softmax",
    show_default=True,
    help=", ".join(SEARCH_SPACES) + ".",
)
@click.option("--trials", required=True, type=click.IntRange(1), help="Altogether; those of a stopped run count.")
@click.option("--ranks", default=1, show_default=True, type=click.IntRange(1), help="Horovod ranks of each trial.")
def tune(bench: Workbench, model_name: str, trials: int, ranks: int) -> Outcome:
    """Look for a model's best settings on the validation days; train with them and register as challenger.

    A setting that is given as KEY=VALUE stays as it is; the others of the model's search space are looked for
    (docs/models.md). If it is stopped, the same command goes on.
    """
    from pagerec_dbx.models.search import search_space

    # What cannot be tuned is refused before Spark is started.
    search_space(model_name, bench.given, bench.settings.model)
    from pagerec_dbx.training.study import require_optuna

    require_optuna()
    from pagerec_dbx.stages.tune import tune as stage

    result = stage(bench.tables, bench.registry, model_name, trials, ranks, bench.settings, bench.given)
    return Outcome(_plain(result), result.to_text())


@_command("evaluate", writes=True, example="pagerec evaluate --version challenger")
@click.option("--version", required=True, help="Number, challenger, champion, previous or legacy.")
@click.option("--truth", type=click.Path(), help="LOGS/truth of a simulated world, for ceilings and expected figures.")
@click.option(
    "--legacy-way",
    type=click.IntRange(1),
    metavar="BATCH_SIZE",
    help="Beside them what a legacy notebook prints: mean of batch means, ties in page order.",
)
def evaluate(bench: Workbench, version: str, truth: str | None, legacy_way: int | None) -> Outcome:
    """Figures of one version on the holdout, with the floors."""
    from pagerec_dbx.stages.judge import evaluate_version

    result = evaluate_version(bench, version, _path(truth), legacy_way)
    return Outcome(result.to_json(), result.to_text())


@_command("predictions", writes=False, example="pagerec predictions --version challenger --page-views 10")
@click.option("--version", required=True, help="Number, challenger, champion, previous or legacy.")
@click.option("--page-views", default=10, show_default=True, type=click.IntRange(1, 1_000), help="How many.")
def predictions(bench: Workbench, version: str, page_views: int) -> Outcome:
    """Predicted orders beside the rows that were clicked, of page views of the validation days; no figures."""
    from pagerec_dbx.stages.predictions import predictions as stage

    open_home(bench.home.name, new=False)
    result = stage(bench, version, page_views)
    return Outcome(_plain(result), result.to_text())


@_command("baselines", writes=True, names=True, example="pagerec baselines als lambdamart")
@click.option("--truth", type=click.Path(), help="LOGS/truth of a simulated world, for expected figures.")
def baselines(bench: Workbench, names: tuple[str, ...], truth: str | None) -> Outcome:
    """Simpler rankers, fitted before the holdout and measured on it; all, or those named.

    `compare` then holds the challenger against them too (docs/baselines.md).
    """
    from pagerec_dbx.baselines.catalogue import require_baselines
    from pagerec_dbx.stages.baselines import baselines as stage

    chosen = require_baselines(names)  # a mistyped one is refused before Spark is started
    result = stage(bench.tables, bench.registry, chosen, bench.settings.judge, _path(truth))
    return Outcome(result.to_json(), result.to_text())


@_command("compare", writes=True, example="pagerec compare --challenger challenger --legacy legacy-study.json")
@click.option("--challenger", required=True, help="Number or alias.")
@click.option("--champion", help="Number or alias; the current champion unless given.")
@click.option("--legacy", type=click.Path(), help="JSON with the legacy model's training_metrics.")
@_MODEL_NAME
def compare(
    bench: Workbench, challenger: str, champion: str | None, legacy: str | None, registered: str | None
) -> Outcome:
    """Paired differences against champion, retrained legacy and every floor, and the verdict; both are stored."""
    from pagerec_dbx.stages.promote import compare_and_judge

    bench.registry.require_model(registered)
    result = compare_and_judge(bench, challenger, champion, _path(legacy or None))
    return Outcome(result.to_json(), result.to_text())


@_command("approval", writes=False, example="pagerec approval --version 2")
@click.option("--version", required=True, help="Number or alias.")
@click.option("--tag", default="approval", show_default=True, help="Tag of the version that must say Approved.")
@_MODEL_NAME
def approval(bench: Workbench, version: str, tag: str, registered: str | None) -> Outcome:
    """Whether a person has approved of a version, by a tag on it; exit 1 if not."""
    from pagerec_dbx.stages.approval import approval as stage

    bench.registry.require_model(registered)
    result = stage(bench.registry, version, tag)
    return Outcome(result.to_json(), result.to_text(), refused=not result.approved)


@_command("promote", writes=True, example="pagerec promote --version challenger")
@click.option("--version", required=True, help="Number or alias.")
@_MODEL_NAME
def promote(bench: Workbench, version: str, registered: str | None) -> Outcome:
    """Make a version champion if the verdict allows it; exit 1 with the reasons if not."""
    from pagerec_dbx.stages.promote import promote_version

    bench.registry.require_model(registered)
    result = promote_version(bench, version)
    return Outcome(_plain(result), result.to_text(), refused=not result.promoted)


@_command("power", writes=False, example="pagerec power --gain .005")
@click.option("--gain", required=True, type=float, help="True gain of the verdict's metric that should be seen.")
@click.option("--challenger", default="challenger", show_default=True, help="Number or alias.")
@click.option("--against", help="Number, alias, floor or baseline; by itself the champion, else popularity.")
def power(bench: Workbench, gain: float, challenger: str, against: str | None) -> Outcome:
    """How many page views a verdict needs to see a gain."""
    from pagerec_dbx.stages.judge import power_of

    open_home(bench.home.name, new=False)
    result = power_of(bench, gain, challenger, against)
    return Outcome(_plain(result), result.to_text())


@_command("rollback", writes=True, example="pagerec rollback")
def rollback(bench: Workbench) -> Outcome:
    """Swap champion and previous."""
    decision = bench.registry.rollback(bench.tables, bench.now())
    data = {"version": decision.version, "previous": decision.previous_version}
    return Outcome(data, f"Version {decision.version} serves again; version {decision.previous_version} is previous.")


@_command("score", writes=True, example="pagerec score --from 2024-01-04 --to 2024-01-05")
@click.option("--version", default="champion", show_default=True, help="Number or alias.")
@click.option("--from", "from_", help="First time of page views scored, ISO 8601.")
@click.option("--to", help="Time before which page views are scored, ISO 8601.")
def score(bench: Workbench, version: str, from_: str | None, to: str | None) -> Outcome:
    """Champion x page views -> ranked_menus; pinned rows keep their position."""
    from pagerec_dbx.stages.score import score_version

    result = _plain(score_version(bench, version, from_ or None, to or None))  # a job's parameters may be empty
    return Outcome(result, f"Ranked {result['page_views']:,} menus with version {result['version']}")


@_command(
    "rank", writes=False, example="""echo '{"candidates": [{"row_id": "r001"}, {"row_id": "r007"}]}' | pagerec rank"""
)
@click.option("--version", default="champion", show_default=True, help="Number or alias.")
def rank(bench: Workbench, version: str) -> Outcome:
    """One page as JSON on standard input -> its rows in order with scores."""
    from pagerec_dbx.stages.grounds import resolve_quickly
    from pagerec_dbx.stages.rank import rank_text

    open_home(bench.home.name, new=False)
    text = sys.stdin.buffer.read()
    answer = rank_text(bench.registry, resolve_quickly(bench, version), text)
    return Outcome(answer, jsonlib.dumps(answer))


@_command("monitor", writes=True, example="pagerec monitor --day 2024-01-05")
@click.option("--day", type=_DAY, help="Day (UTC) of labelled page views; the newest unless given.")
@click.option("--version", help="Number or alias; the champion unless given.")
def monitor(bench: Workbench, day: dt.datetime | None, version: str | None) -> Outcome:
    """Hold a day against the training days of the version that serves; exit 1 with the reasons past a limit."""
    from pagerec_dbx.stages.monitor import monitor_version

    result = monitor_version(bench, day and day.date(), version)
    return Outcome(result.to_json(), result.to_text(), refused=not result.passed)


@_command("doctor", writes=False, example="pagerec doctor")
def doctor(bench: Workbench) -> Outcome:
    """What this machine and home have and lack."""
    from pagerec_dbx.stages.doctor import doctor as stage

    result = stage(bench.home)
    return Outcome(_plain(result), result.to_text(), refused=not result.ok)


@_command("report", writes=True, example="pagerec report")
def report(bench: Workbench) -> Outcome:
    """One self-contained HTML page of the latest results."""
    from pagerec_dbx.stages.judge import known_of
    from pagerec_dbx.stages.report import report as stage
    from pagerec_dbx.stages.report_comparison import last_compared

    last = last_compared(bench.tables)
    version = last.version if last else None
    known = known_of(bench, version, last.others if last else ())
    result = stage(bench.tables, bench.now(), version, known)
    return Outcome(_plain(result), f"{result.headline}\n{result.path}")


@_command("forget", writes=True, example="pagerec forget --user-id-file ids.txt --purge-unreadable")
@click.option("--user-id-file", type=click.Path(dir_okay=False), help="UTF-8 text, one raw user id a line.")
@click.option("--purge-unreadable", is_flag=True, help="Remove refused lines, too, in which no user could be read.")
@click.option("--vacuum", is_flag=True, help="Delete the tables' versions of more than history_days (7) ago.")
def forget(bench: Workbench, user_id_file: str | None, purge_unreadable: bool, vacuum: bool) -> Outcome:
    """Remove viewers from every table and snapshot, for good.

    Their hashes stay on a list that ingest honours, so that a replay of the logs does not bring them back. The logs
    themselves are yours to clean (docs/forgetting.md).
    """
    from pagerec_dbx.stages.viewer_commands import run_forget

    parts = run_forget(bench, _path(user_id_file or None), purge_unreadable, vacuum)
    data = {key: value for part in parts for key, value in part.to_json().items()}
    return Outcome(data, "\n".join(part.to_text() for part in parts))


@_command("rekey", writes=True, example="pagerec rekey --ids ids.csv --new-key-file new.key")
@click.option("--ids", required=True, type=click.Path(dir_okay=False), help="CSV file: old_id,new_id of every viewer.")
@click.option("--new-key-file", required=True, type=click.Path(dir_okay=False), help="64 hex digits.")
@click.option("--drop-refused", is_flag=True, help="Remove refused lines whose user is not in the file.")
def rekey(bench: Workbench, ids: str, new_key_file: str, drop_refused: bool) -> Outcome:
    """Move the home to another hashing key, or say why it cannot be.

    The file has a header: old_id,new_id, or user_id alone where the ids stay, or hashes under old_hash or new_hash.
    """
    from pagerec_dbx.stages.viewer_commands import run_rekey

    result = run_rekey(bench, Path(ids), Path(new_key_file), drop_refused)
    return Outcome(_plain(result), result.to_text())


@_command("demo", writes=True, begins=True, example="pagerec demo --home demo")
@click.option(
    "--events", type=click.Path(exists=True, dir_okay=False), help="Metarank-format events instead of a simulated log."
)
@click.option("--page-views", default=60_000, show_default=True, type=click.IntRange(1), help="Simulated page views.")
@click.option("--days", default=4, show_default=True, type=click.IntRange(1), help="Simulated days.")
@click.option("--ranks", default=2, show_default=True, type=click.IntRange(1), help="Horovod ranks.")
def demo(bench: Workbench, events: str | None, page_views: int, days: int, ranks: int) -> Outcome:
    """The whole thread, from raw logs to a judged model and a page of results."""
    from pagerec_dbx.stages.demo import DemoLog, run_demo

    result = run_demo(bench, DemoLog(_path(events), page_views, days), ranks)
    return Outcome(result.to_json(), result.to_text())


@_command("settings", writes=False, example="pagerec settings epochs=5")
def settings(bench: Workbench) -> Outcome:
    """Every setting with its value."""
    values = flat(bench.settings)
    return Outcome(values, "\n".join(f"{name}={value}" for name, value in sorted(values.items())))


def _key(bench: Workbench):
    """The hashing key, with a word to the person when it was made just now."""
    from pagerec_dbx.hashing import VARIABLE, ensure_key
    from pagerec_dbx.progress import say

    key, made = ensure_key(bench.home)
    if made:
        say(
            f"A hashing key was made: {key.file}. Back it up: without it later logs cannot be matched with these "
            f"viewers. (Or set {VARIABLE} and delete the file.)"
        )
    return key


def _plain(result) -> dict:
    """A result as JSON's types, by its own `to_json` where it has one."""
    return result.to_json() if hasattr(result, "to_json") else dataclasses.asdict(result)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _counts(values: dict) -> str:
    told = {name.replace("_", " "): value for name, value in values.items() if isinstance(value, int | float)}
    return ", ".join(f"{name} {number(v) if isinstance(v, float) else f'{v:,}'}" for name, v in told.items())


STOPPED = 130  # as shells say of a command that Ctrl-C ended


def run_command(arguments: Sequence[str], trace_unexpected: bool = False) -> int:
    """Run one command and return its exit code; results go to standard output, errors in one line to standard error.

    Args:
        trace_unexpected: show the trace of an error that nobody foresaw, where it cannot be asked for by running again.
    """
    debug = "--debug" in arguments
    if not arguments:
        run_command(["--help"])
        return 2
    try:
        return cli.main(args=list(arguments), prog_name="pagerec", standalone_mode=False) or 0
    except PagerecError as error:
        return _failed(str(error), error.exit_code, debug)
    except click.ClickException as error:
        return _failed(f"{error.format_message().rstrip('.')}. See `pagerec --help`.", 2, debug)
    except (click.Abort, KeyboardInterrupt):
        return _failed("stopped", STOPPED, debug)
    except SystemExit as error:
        return _failed("stopped", error.code if isinstance(error.code, int) else 1, debug)
    except Exception as error:  # anything not foreseen still ends in one line
        full = full_disk(error)
        if full is not None:
            return _failed(str(full), full.exit_code, debug)
        first = (str(error).strip().splitlines() or [""])[0][:300]
        advice = "the trace is above" if trace_unexpected or debug else "run again with --debug for the trace"
        return _failed(f"unexpected {type(error).__name__}: {first} ({advice})", 1, trace_unexpected or debug)


def _failed(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    click.echo(f"pagerec: {message}", err=True)
    return code


def _end(number: int, _frame: object) -> None:
    """A signal to end, as an exception: what is open is closed, and what was stopped is said, as with Ctrl-C."""
    raise SystemExit(128 + number)


def main() -> None:
    """Entry point of the console script."""
    signal.signal(signal.SIGTERM, _end)
    sys.exit(run_command(sys.argv[1:]))


if __name__ == "__main__":
    main()
