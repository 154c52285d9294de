"""`python -m benchmarks.effects`: does each option gain where its effect is there, and nothing where it is not?

SIMULATED worlds with one effect at a time: the same model without and with the option that is made for it, trained on
the same snapshots and held against each other on the same holdout, page view by page view.
"""

import argparse
import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

from benchmarks.homes import prepared_home, run
from pagerec_dbx.config import STANDARD_SLICES, load_settings
from pagerec_dbx.evaluation.comparison import ComparisonRow
from pagerec_dbx.evaluation.protocols import ALL, MENU
from pagerec_dbx.features.preparation import latest_preparation
from pagerec_dbx.home import Home
from pagerec_dbx.stages.compare import Sides, compare
from pagerec_dbx.stages.judge import evaluate_missing
from pagerec_dbx.workbench import Workbench

NOTHING = 0.003  # NDCG: where the effect is not there, the whole interval lies within so much of none
METRIC = "ndcg"
_QUIET = (  # a world whose rows differ by the viewer's taste alone, in logs without faults
    "context_strength=0", "interaction_strength=0", "position_strength=0", "history_decay=1",
    "history_half_life_days=100000", "repeated_page_rate=0", "two_pages_rate=0", "history_ids_alone_share=0",
)  # fmt: skip
_MENU = "loss=menu_softmax"
TRAINED = ("batch_size=512", "epochs=30", "patience=3")  # until it gets no better: a difference is none of haste


@dataclasses.dataclass(frozen=True)
class Effect:
    """Something that decides clicks, and the option that models it."""

    name: str
    on: tuple[str, ...]  # settings of its world, over those of the quiet one
    without: tuple[str, ...]  # settings of the model
    option: tuple[str, ...]  # added to them
    off: tuple[str, ...] = ()  # of the world without it, over those of the quiet one
    judged: str = ALL  # slice of the holdout


EFFECTS = (
    Effect("context", ("context_strength=1",), (_MENU,), ("context=[hour,weekday,device]",)),
    Effect(
        "context of new viewers",
        ("context_strength=1",),
        (_MENU,),
        ("context=[hour,weekday,device]",),
        judged="history: none",
    ),
    Effect(
        "order and age of the history",
        ("history_decay=0.7", "history_half_life_days=2"),
        (_MENU,),
        ("history_encoder=recency",),
    ),
    Effect(
        "pair interaction",
        ("interaction_strength=1.5",),
        (_MENU, "context=[hour,device]", "hidden_sizes=[64]"),
        ("cross_layers=2",),
    ),
    Effect(
        "position bias",
        ("position_strength=1.5", "policy_strength=2"),
        (_MENU,),
        ("position_bias=additive",),
        off=("policy_strength=2",),
        judged="randomized: true",
    ),
    Effect(
        "rows unseen in training",  # offered from the validation's last hours on
        ("launched_share=0.3", "launch_day=4.7"),
        (_MENU,),
        ("row_attributes=40",),
    ),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the worlds, train, compare; one line a world. What is there already is not made again."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.effects", description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("bench-effects"), help="where logs and homes go")
    parser.add_argument("--page-views", type=int, default=100_000, help="of each world")
    parser.add_argument("--model", default="single_tower_softmax")
    parser.add_argument("--effects", nargs="*", default=[effect.name for effect in EFFECTS], help="only these")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings of both models")
    options = parser.parse_args(arguments)
    print(f"SIMULATED worlds of {options.page_views:,} page views, model {options.model}\n\n{HEAD}", flush=True)
    for effect in EFFECTS:
        for is_on in (True, False):
            if effect.name in options.effects:
                print(line(effect, is_on, _difference(effect, is_on, options)), flush=True)


HEAD = (
    f"| effect | in the world | page views judged | {METRIC} without the option | with it | difference (95 %) | |"
    "\n"
    "|---|---|---|---|---|---|---|"
)


def line(effect: Effect, is_on: bool, row: ComparisonRow) -> str:
    """One world as a row of the table, and whether it came out as it must."""
    as_it_must = row.lower > 0 if is_on else row.lower > -NOTHING and row.upper < NOTHING
    return (
        f"| {effect.name}{'' if effect.judged == ALL else f' ({effect.judged})'} | {'yes' if is_on else 'no'} "
        f"| {row.pages:,} | {row.value_baseline:.4f} | {row.value_challenger:.4f} "
        f"| {row.difference:+.4f} [{row.lower:+.4f}, {row.upper:+.4f}] | {'as it must' if as_it_must else 'NOT'} |"
    )


def _difference(effect: Effect, is_on: bool, options: argparse.Namespace) -> ComparisonRow:
    world = (*_QUIET, *(effect.on if is_on else effect.off))
    name = hashlib.sha256(" ".join(world).encode()).hexdigest()[:12]  # effects may share a world
    folder = options.folder / f"{name} {options.page_views}"
    simulated = ("simulate", "--page-views", str(options.page_views), "--days", "6", "--seed", "17", *world)
    home = prepared_home(folder / "logs", folder / "home", simulated, ("catalogue=true",))
    column = effect.judged.partition(":")[0]
    columns = [] if column in (ALL, *STANDARD_SLICES) else [f"slice_columns=[{column}]"]
    bench = Workbench(Home(home), load_settings(overrides=columns))
    versions = []
    for settings in (effect.without, (*effect.without, *effect.option)):
        run("train", "--model", options.model, "--home", home, *TRAINED, *settings, *options.overrides)
        versions.append(bench.registry.resolve("challenger"))
    sides = Sides(challenger=versions[1], champion=versions[0], legacy=None)
    evaluate_missing(bench, sides)
    holdout = latest_preparation(bench.tables).holdout
    rows = compare(bench.tables, sides, holdout, None, bench.settings.judge, bench.now()).rows
    wanted = (versions[0], MENU, METRIC, effect.judged)
    return next(row for row in rows if (row.baseline, row.protocol, row.metric, row.slice) == wanted)


if __name__ == "__main__":
    main()
