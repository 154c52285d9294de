"""`python -m benchmarks.ranklens EVENTS`: page_ranker on real pages, each of its parts left out in turn, beside trees.

EVENTS is a file of Metarank-format events. On RankLens (Metarank project, CC BY-SA 4.0, item fields from TMDB and
MovieLens tags) the holdout is the standard cut, the last fifth of the pages. Nothing is chosen there: `--validation`
trains and judges on the last fifth of what lies before it, and the holdout is read without it only, once a version.
"""

import argparse
import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pyspark.sql import functions as F

from benchmarks.homes import prepared_home, run
from pagerec_dbx.baselines.catalogue import all_baselines
from pagerec_dbx.config import load_settings
from pagerec_dbx.evaluation.compare import Side, viewer_sums
from pagerec_dbx.evaluation.intervals import paired_intervals
from pagerec_dbx.evaluation.protocols import BASELINE_PREFIX, MENU, METRICS
from pagerec_dbx.features.preparation import latest_preparation
from pagerec_dbx.home import Home
from pagerec_dbx.models.names import PAGE_RANKER
from pagerec_dbx.schemas import EVALUATIONS
from pagerec_dbx.stages.baselines import baselines
from pagerec_dbx.stages.judge import evaluate_version
from pagerec_dbx.workbench import Workbench

RESAMPLES, SEED = 2_000, 17
TREES = "lambdamart"  # with the fields of items
PREPARED = ("shown_length=96", "history_length=50", "menu_length=24", "catalogue=true")  # four pages of 24 rows
# Chosen on the validation pages of the choices' home: no film comes to a viewer twice, so embeddings are next to none.
_FIELDS = "genres,tags,actors,director,writer,popularity,vote_avg,vote_cnt,budget,runtime,release_date"
TRAINED = (
    "batch_size=128", "epochs=10", "patience=3", "learning_rate=.001", "factorisation=false", "hidden_sizes=[4]",
    "embedding_size=4", "context=[]", "dropout=.5", "l2=.01", f"attribute_fields=[{_FIELDS}]",
)  # fmt: skip
WITHOUT = {
    "row_attributes": ("row_attributes=0", "viewer_taste=false"),
    "row_rates": ("row_rates=false",),
    "viewer_taste": ("viewer_taste=false",),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Import and prepare, train and judge; what is prepared already is not made again."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ranklens", description=__doc__.splitlines()[0])
    parser.add_argument("events", type=Path, help="Metarank-format events, JSON lines, plain or gz")
    parser.add_argument("--folder", type=Path, default=Path("bench-ranklens"), help="where logs and homes go")
    parser.add_argument("--validation", action="store_true", help="judge on the last fifth of what may be learnt from")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--ablation", action="store_true", help="each part left out in turn, too")
    parser.add_argument("--model", default=PAGE_RANKER)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings of model and training")
    options = parser.parse_intermixed_args(arguments)
    bench = _prepared(options.events, options.folder, options.validation)
    parts = {f"without {name}": given for name, given in WITHOUT.items()} if options.ablation else {}
    cases: dict[str, tuple[str, ...]] = {options.model: (), **parts}
    versions = {name: _trained(bench, options, given) for name, given in cases.items()}
    baselines(bench.tables, bench.registry, {TREES: all_baselines()[TREES]}, bench.settings.judge)
    holdout = latest_preparation(bench.tables).holdout
    records = bench.tables.read(EVALUATIONS).where(F.col("holdout") == holdout)
    trees = BASELINE_PREFIX + TREES
    names = [trees, *(version for of_case in versions.values() for version in of_case)]
    sides = {name: side for (name, protocol), side in viewer_sums(records, names).items() if protocol == MENU}
    print(table({name: [sides[one] for one in of_case] for name, of_case in versions.items()}, sides[trees]))


def table(cases: dict[str, list[Side]], trees: Side, metric: str = "ndcg_at_10") -> str:
    """One line a case: the mean of its seeds, their standard deviation, and what it has more than trees.

    Args:
        cases: by name the seeds' sums; all sides are over the same viewers in the same order.
    """
    at = METRICS.index(metric)
    pages = trees.pages
    means = {name: np.mean([side.sums[:, at] for side in sides], axis=0) for name, sides in cases.items()}
    columns = np.stack([trees.sums[:, at], *means.values(), *(mean - trees.sums[:, at] for mean in means.values())], 1)
    found = paired_intervals(columns, np.repeat(pages[:, None], columns.shape[1], axis=1), RESAMPLES, SEED)
    lines = [
        f"{int(pages.sum()):,} page views of {len(pages):,} viewers; protocol {MENU}; 95 % intervals by {RESAMPLES:,} "
        "resamples of viewers.\n",
        f"| who | {metric}, mean of seeds | deviation of one seed | more than {TREES} | interval |",
        "|---|---|---|---|---|",
        f"| {TREES} | {found.difference[0]:.4f} | | | |",
    ]
    for number, (name, sides) in enumerate(cases.items(), start=1):
        more = number + len(cases)
        each = [side.sums[:, at].sum() / pages.sum() for side in sides]
        deviation = f"{np.std(each, ddof=1):.4f}" if len(each) > 1 else ""
        lines.append(
            f"| {name} | {found.difference[number]:.4f} | {deviation} | {found.difference[more]:+.4f} "
            f"| {found.lower[more]:+.4f} to {found.upper[more]:+.4f} |"
        )
    return "\n".join(lines)


def _prepared(events: Path, folder: Path, validation: bool) -> Workbench:
    """The home whose holdout is the standard cut or, for choices, the last fifth of what lies before that."""
    own = folder / ("choices" if validation else "judged")
    own.mkdir(parents=True, exist_ok=True)
    read = events
    if validation:
        read = own / "events.jsonl"
        _learning_part(events, read)
    home = prepared_home(own / "logs", own / "home", ("import-metarank", str(read)), PREPARED)
    return Workbench(Home(home), load_settings())


def _learning_part(events: Path, file: Path) -> None:
    """Write the events without the last fifth of the pages, by time and id, and without what was liked there."""
    with (gzip.open if events.suffix == ".gz" else open)(events, "rt", encoding="utf-8") as opened:
        all_events = [json.loads(line) for line in opened]
    pages = sorted((int(one["timestamp"]), one["id"]) for one in all_events if one["event"] == "ranking")
    kept = {name for _, name in pages[: len(pages) * 4 // 5]}
    of_page = {"ranking": "id", "interaction": "ranking"}
    lines = [one for one in all_events if one["event"] not in of_page or one[of_page[one["event"]]] in kept]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def _trained(bench: Workbench, options: argparse.Namespace, given: Sequence[str]) -> list[str]:
    """The versions of all seeds, judged."""
    versions = []
    for seed in range(1, options.seeds + 1):
        settings = [*TRAINED, *options.overrides, *given, f"seed={seed}"]
        run("train", "--model", options.model, "--home", bench.home.name, *settings)
        versions.append(bench.registry.resolve("challenger"))
        evaluate_version(bench, versions[-1])
    return versions


if __name__ == "__main__":
    main()
