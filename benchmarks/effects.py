"""`python -m benchmarks.effects`: does each option gain where its effect is there, and nothing where it is not?

SIMULATED worlds with one effect at a time: the same model without and with the option that is made for it, trained on
the same snapshots and held against each other on the same holdout, page view by page view.
"""

import argparse
import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

from pyspark.sql import functions as F

from benchmarks.homes import prepared_home
from benchmarks.seeds import against, judged_seeds, of_holdout, sides_of
from pagerec_dbx.config import STANDARD_SLICES, load_settings
from pagerec_dbx.evaluation.intervals import Intervals
from pagerec_dbx.evaluation.protocols import ALL
from pagerec_dbx.home import Home
from pagerec_dbx.workbench import Workbench

NOTHING = 0.003  # NDCG: where the effect is not there, the whole interval lies within so much of none
METRIC = "ndcg"
_QUIET = (  # a world whose rows differ by the viewer's taste alone, in logs without faults
    "context_strength=0", "interaction_strength=0", "position_strength=0", "history_decay=1",
    "history_half_life_days=100000", "repeated_page_rate=0", "two_pages_rate=0", "history_ids_alone_share=0",
)  # fmt: skip
_MENU = "loss=menu_softmax"
_CONTEXT = ("context=[hour,weekday,device]",)
_BIASED_POLICY = ("policy_strength=4", "randomized_share=0.2", "no_click_utility=1")  # and clicks enough by chance
_MANY_NEW = ("viewers_new_each_day=3",)  # so that there are page views without a history enough
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
    Effect("context", ("context_strength=1",), (_MENU,), _CONTEXT),
    Effect(
        "context of new viewers",
        (*_MANY_NEW, "context_strength=1"),
        (_MENU,),
        _CONTEXT,
        off=_MANY_NEW,
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
        # 64 hidden units learn pairs by themselves; few do not, and taste, for which they are too few, is in products.
        (_MENU, "context=[hour,device]", "factorisation=true", "hidden_sizes=[4]", "l2=.003"),
        ("cross_layers=2",),
    ),
    Effect(
        "position bias",
        (*_BIASED_POLICY, "position_strength=1.5"),
        (_MENU, "best_by=loss"),  # NDCG on pages as served is for whoever keeps the place in the score
        ("position_bias=additive",),
        off=_BIASED_POLICY,
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
    """Make the worlds that are not there, train, compare; one line a world."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.effects", description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("bench-effects"), help="where logs and homes go")
    parser.add_argument("--page-views", type=int, default=100_000, help="of each world")
    parser.add_argument("--model", default="single_tower_softmax")
    parser.add_argument("--seeds", type=int, default=3, help="trained of each model")
    names = [effect.name for effect in EFFECTS]
    parser.add_argument("--effects", nargs="*", choices=names, default=names, metavar="EFFECT", help="only these")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings of both models")
    options = parser.parse_intermixed_args(arguments)
    print(f"SIMULATED worlds of {options.page_views:,} page views, {options.model}, means of {options.seeds} seeds\n")
    print(HEAD, flush=True)
    for effect in EFFECTS:
        for is_on in (True, False):
            if effect.name in options.effects:
                print(line(effect, is_on, _gain(effect, is_on, options)), flush=True)


HEAD = (
    f"| effect | in the world | page views judged | {METRIC} without the option | with it | difference (95 %) | |"
    "\n"
    "|---|---|---|---|---|---|---|"
)


def line(effect: Effect, is_on: bool, gain: Intervals) -> str:
    """One world as a row of the table, and whether it came out as it must.

    Args:
        gain: columns without the option, with it, difference.
    """
    (without, with_it, more), lower, upper = gain.difference, gain.lower[2], gain.upper[2]
    as_it_must = lower > 0 if is_on else lower > -NOTHING and upper < NOTHING
    of_slice = "" if effect.judged == ALL else f" ({effect.judged})"
    return (
        f"| {effect.name}{of_slice} | {'yes' if is_on else 'no'} | {gain.pages[0]:,} "
        f"| {without:.4f} | {with_it:.4f} | {more:+.4f} [{lower:+.4f}, {upper:+.4f}] "
        f"| {'as it must' if as_it_must else 'NOT'} |"
    )


def _gain(effect: Effect, is_on: bool, options: argparse.Namespace) -> Intervals:
    world = (*_QUIET, *(effect.on if is_on else effect.off))
    name = hashlib.sha256(" ".join(world).encode()).hexdigest()[:12]  # effects may share a world
    folder = options.folder / f"{name} {options.page_views}"
    simulated = ("simulate", "--page-views", str(options.page_views), "--days", "6", "--seed", "17", *world)
    home = prepared_home(folder / "logs", folder / "home", simulated, ("catalogue=true",))
    columns = {effect.judged.partition(":")[0]} - {ALL, *STANDARD_SLICES}
    bench = Workbench(Home(home), load_settings(overrides=[f"slice_columns=[{','.join(columns)}]"]))
    with_option = (*effect.without, *effect.option)
    cases = {
        case: judged_seeds(bench, options.model, *TRAINED, *settings, *options.overrides, seeds=options.seeds)
        for case, settings in (("without", effect.without), ("with", with_option))
    }
    in_slice = F.lit(True) if effect.judged == ALL else F.array_contains("slices", effect.judged)
    found = sides_of(of_holdout(bench).where(in_slice), cases)
    return against(found["without"], [found["with"]], METRIC)


if __name__ == "__main__":
    main()
