"""`python -m benchmarks.ranklens EVENTS`: page_ranker on real pages, with other sets of its parts, beside trees.

`--others` puts the other models in its place, as they were designed.

EVENTS is a file of Metarank-format events. On RankLens (Metarank project, CC BY-SA 4.0, item fields from TMDB and
MovieLens tags) the holdout is the standard cut, the last fifth of the pages. Nothing is chosen there: `--validation`
trains and judges on the last fifth of what lies before it, and the holdout is read without it only, once a version.
"""

import argparse
import datetime as dt
import gzip
import json
import shutil
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.ceilings import CASES
from benchmarks.homes import prepared_home
from benchmarks.seeds import RESAMPLES, against, judged_seeds, of_holdout, sides_of
from benchmarks.train import first_records, newest
from pagerec_dbx.baselines.catalogue import all_baselines
from pagerec_dbx.config import load_settings
from pagerec_dbx.evaluation.compare import Side
from pagerec_dbx.evaluation.protocols import BASELINE_PREFIX, MENU, METRICS
from pagerec_dbx.features.snapshot import MANIFEST
from pagerec_dbx.home import Home, write_atomically
from pagerec_dbx.models.names import PAGE_RANKER
from pagerec_dbx.stages.baselines import baselines
from pagerec_dbx.workbench import Workbench

LOOKS = "looks.jsonl"  # in the folder
TREES = ("lambdamart", "lambdamart_shown")  # with the fields of items; with what the viewer was shown before, too
PREPARED = (
    "shown_length=96", "history_length=50", "menu_length=24", "catalogue=true",  # four pages of 24 rows
    "validation_fraction=.05",  # is only looked at; the trees learn from all that lies before the holdout
)  # fmt: skip
# Chosen on the choices' home. Own weights do as well there when they are stopped early; without them nothing need be.
_FIELDS = "genres,tags,actors,director,writer,popularity,vote_avg,vote_cnt,budget,runtime,release_date"
TRAINED = (
    "batch_size=128", "epochs=25", "learning_rate=.003", "factorisation=false", "own_weights=false",
    "embedding_size=4", "context=[]", "row_network=32", "dropout=.2", "l2=.001", f"attribute_fields=[{_FIELDS}]",
    "position_bias=additive", "position_kept=true",
    "best_by=last",  # a twentieth of the page views is too few to choose an epoch by
)  # fmt: skip
# Without attributes or rates there must be own weights, which learn by heart: the loss says when to stop.
_OWN = ("own_weights=true", "hidden_sizes=[4]", "dropout=.5", "best_by=loss", "patience=5")
PARTS = {
    "own_weights, no row_attributes, no viewer_taste": (*_OWN, "row_attributes=0", "viewer_taste=false"),
    "own_weights, no row_rates, no row_network": (*_OWN, "row_rates=false", "row_network=0"),
    "without viewer_taste": ("viewer_taste=false",),
    "without row_network": ("row_network=0",),
    "without the place": ("position_bias=null", "position_kept=false"),
    "own_weights": _OWN,
}
# Sizes and losses as designed; few page views are soon learnt by heart, so the loss says when to stop.
_SHORT = ("batch_size=128", "epochs=30", "best_by=loss", "patience=5")
OTHERS = {
    **{name: (model, *_SHORT, *rest) for name, (model, *rest) in CASES.items() if model != PAGE_RANKER},
    f"{PAGE_RANKER} with its defaults": (PAGE_RANKER, *_SHORT),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Import and prepare, train and judge; what is prepared already is not made again."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ranklens", description=__doc__.splitlines()[0])
    parser.add_argument("events", type=Path, help="Metarank-format events, JSON lines, plain or gz")
    parser.add_argument("--folder", type=Path, default=Path("bench-ranklens"), help="where logs and homes go")
    parser.add_argument("--validation", action="store_true", help="judge on the last fifth of what may be learnt from")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--ablation", action="store_true", help="other sets of its parts, too")
    parser.add_argument(
        "--share", type=float, default=1.0,
        help="of the training records, for a learning curve with --validation; rates and trees know all of them",
    )  # fmt: skip
    parser.add_argument("--others", action="store_true", help="the other models, and page_ranker with its defaults")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings of model and training")
    options = parser.parse_intermixed_args(arguments)
    if options.share != 1 and not options.validation:
        parser.error("--share goes with --validation: each share would be another look at the holdout")
    if (options.ablation or options.overrides) and not options.validation:
        parser.error("--ablation and settings go with --validation: on the holdout nothing is chosen")
    bench = _prepared(options.events, options.folder, options.validation, options.share)
    parts = {PAGE_RANKER: (), **(PARTS if options.ablation else {})}
    own = {name: (PAGE_RANKER, *TRAINED, *options.overrides, *given) for name, given in parts.items()}
    others = {name: (*case, *options.overrides) for name, case in OTHERS.items()}
    cases = others if options.others else own
    versions = {name: judged_seeds(bench, *case, seeds=options.seeds) for name, case in cases.items()}
    baselines(bench.tables, bench.registry, {name: all_baselines()[name] for name in TREES}, bench.settings.judge)
    trees = {name: [BASELINE_PREFIX + name] for name in TREES}
    print(table(sides_of(of_holdout(bench), {**trees, **versions})))
    if not options.validation:
        print(f"\n{looks(options.folder / LOOKS, cases, options.seeds, bench.now())}")


def table(sides: Mapping[str, Sequence[Side]], metric: str = "ndcg_at_10") -> str:
    """One line a case: the mean of its seeds, their standard deviation, and what it has more than the first case.

    Args:
        sides: by case the figures of its seeds; the first case is what the others are held against.
    """
    (first, baseline), *others = sides.items()
    found = against(baseline, [of_case for _, of_case in others], metric)
    lines = [
        f"{found.pages[0]:,} page views of {found.viewers[0]:,} viewers; protocol {MENU}; 95 % intervals by "
        f"{RESAMPLES:,} resamples of viewers.\n",
        f"| who | {metric}, mean of seeds | deviation of one seed | more than {first} | interval |",
        "|---|---|---|---|---|",
        f"| {first} | {found.difference[0]:.4f} | | | |",
    ]
    for number, (name, of_case) in enumerate(others, start=1):
        more = number + len(others)
        each = [side.means[METRICS.index(metric)] for side in of_case]
        deviation = f"{np.std(each, ddof=1):.4f}" if len(each) > 1 else ""
        lines.append(
            f"| {name} | {found.difference[number]:.4f} | {deviation} | {found.difference[more]:+.4f} "
            f"| {found.lower[more]:+.4f} to {found.upper[more]:+.4f} |"
        )
    return "\n".join(lines)


def looks(file: Path, cases: Mapping[str, Sequence[str]], seeds: int, now: dt.datetime) -> str:
    """How often the standard cut's holdout was looked at, this time included: a line each, whatever home it was in."""
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    of_cases = [{"at": now.isoformat(), "case": case, "seeds": seeds} for case in cases.values()]
    every = before + "".join(json.dumps(look) + "\n" for look in of_cases)
    write_atomically(file, every)
    trained = sum(json.loads(line)["seeds"] for line in every.splitlines())
    return f"looks at this holdout from this folder so far: {trained} trained versions ({file})"


def _prepared(events: Path, folder: Path, validation: bool, share: float = 1.0) -> Workbench:
    """The home whose holdout is the standard cut or, for choices, the last fifth of what lies before that."""
    own = folder / ("choices" if validation else "judged")
    own.mkdir(parents=True, exist_ok=True)
    read = events
    if validation:
        read = own / "events.jsonl"
        if not read.exists():
            _learning_part(events, read)
    prepared = own / f"home {zlib.crc32(' '.join(PREPARED).encode()):08x}"  # another one for other settings
    home = prepared_home(own / "logs", prepared, ("import-metarank", str(read)), PREPARED)
    return Workbench(Home(home if share == 1 else str(_thinned(prepared, share))), load_settings())


def _thinned(home: Path, share: float) -> Path:
    """A copy of the home whose training snapshot has that share of its row groups, in the order drawn for them."""
    thin = home.with_name(f"{home.name} {share:g}")
    if not thin.exists():
        aside = home.with_name(f"{home.name} being copied")
        shutil.rmtree(aside, ignore_errors=True)
        shutil.copytree(home, aside)
        train = newest(aside, "train")
        part = first_records(train, round(share * train.manifest.records))
        write_atomically(train.folder / MANIFEST, part.manifest.to_json())
        aside.rename(thin)
    return thin


def _learning_part(events: Path, file: Path) -> None:
    """Write the events without the last fifth of the pages, by time and id, and without what was liked there."""
    with (gzip.open if events.suffix == ".gz" else open)(events, "rt", encoding="utf-8") as opened:
        all_events = [json.loads(line) for line in opened]
    pages = sorted((int(one["timestamp"]), one["id"]) for one in all_events if one["event"] == "ranking")
    kept = {name for _, name in pages[: len(pages) * 4 // 5]}
    of_page = {"ranking": "id", "interaction": "ranking"}
    lines = [one for one in all_events if one["event"] not in of_page or one[of_page[one["event"]]] in kept]
    write_atomically(file, "".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    main()
