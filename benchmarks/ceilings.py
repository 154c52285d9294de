"""`python -m benchmarks.ceilings`: how far each model comes from popularity to the best order that there is.

One SIMULATED world with all of its effects, the default one. Expected figures (over the true chances of a click) of
the holdout's page views: of all as they were served, and of those ordered by chance, where places tell nothing of rows.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from benchmarks.homes import prepared_home
from benchmarks.seeds import judged
from pagerec_dbx.config import Settings
from pagerec_dbx.evaluation.baselines import POPULARITY
from pagerec_dbx.evaluation.protocols import MENU, WITH_POSITION, WITHOUT_POSITION
from pagerec_dbx.features.preparation import latest_preparation
from pagerec_dbx.home import Home
from pagerec_dbx.schemas import EVALUATIONS
from pagerec_dbx.workbench import Workbench

# What viewers were shown before has no part in this world, and their taste is in what they watch.
_PAGE_RANKER = ("page_ranker", "viewer_taste=false", "row_memory=false", "position_bias=additive", "best_by=loss")
CASES: Mapping[str, tuple[str, ...]] = {
    "legacy_binary": ("legacy_binary",),
    "two_tower_binary": ("two_tower_binary",),
    "single_tower_softmax": ("single_tower_softmax",),
    "two_tower_softmax": ("two_tower_softmax",),
    "single_tower_softmax, menu_softmax": ("single_tower_softmax", "loss=menu_softmax"),
    "page_ranker, position set aside": _PAGE_RANKER,
    "page_ranker, position kept": (*_PAGE_RANKER, "position_kept=true"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the world, unless it is there, train and judge."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ceilings", description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("bench-ceilings"), help="where logs and home go")
    parser.add_argument("--page-views", type=int, default=500_000)
    parser.add_argument("--cases", nargs="*", choices=list(CASES), default=list(CASES), help="only these")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings of all models")
    options = parser.parse_intermixed_args(arguments)
    folder = options.folder / str(options.page_views)
    logs = folder / "logs"
    world = ("simulate", "--page-views", str(options.page_views), "--days", "6", "--seed", "17", "gzip_logs=true")
    bench = Workbench(Home(prepared_home(logs, folder / "home", world, ("catalogue=true",))), Settings())
    versions = {case: judged(bench, *CASES[case], *options.overrides, truth=logs / "truth") for case in options.cases}
    holdout = latest_preparation(bench.tables).holdout
    of_menus = (F.col("holdout") == holdout) & (F.col("protocol") == MENU)
    print(table(means(bench.tables.read(EVALUATIONS).where(of_menus)), versions, options.page_views))


def means(records: DataFrame) -> Mapping[str, tuple[int, float, int, float | None]]:
    """By version, floor or ceiling: page views and mean expected NDCG as served, and the same of those ordered by
    chance, which are those that the ceiling without position has.

    Args:
        records: `evaluations` of one holdout under one protocol.
    """
    by_chance = records.where(F.col("version") == WITHOUT_POSITION).select("page_view_id", F.lit(True).alias("drawn"))
    drawn = F.when(F.col("drawn"), F.col("expected_ndcg"))
    found = (
        records.where(F.col("expected_ndcg").isNotNull())
        .join(by_chance, "page_view_id", "left")
        .groupBy("version")
        .agg(F.count("*"), F.mean("expected_ndcg"), F.count(drawn), F.mean(drawn))
    )
    return {name: tuple(figures) for name, *figures in found.collect()}


def table(found: Mapping, versions: Mapping[str, str], page_views: int) -> str:
    """One line a model: its expected NDCG and its share of the distance, of both kinds of page views."""
    floor, best = found[POPULARITY], (found[WITH_POSITION][1], found[WITHOUT_POSITION][3])
    lines = [
        f"SIMULATED, {page_views:,} page views; expected NDCG, protocol {MENU}, split holdout: {floor[0]:,} page views "
        f"as served, {floor[2]:,} ordered by chance\n",
        "| who | as served | share of the distance | ordered by chance | share of the distance |",
        "|---|---|---|---|---|",
        f"| popularity | {floor[1]:.4f} | 0 | {floor[3]:.4f} | 0 |",
    ]
    for name, version in versions.items():
        own = found[version][1], found[version][3]
        shares = [(of - low) / (top - low) for of, low, top in zip(own, (floor[1], floor[3]), best, strict=True)]
        lines.append(f"| {name} | {own[0]:.4f} | {shares[0]:.3f} | {own[1]:.4f} | {shares[1]:.3f} |")
    return "\n".join([*lines, f"| ceiling, with and without the position | {best[0]:.4f} | 1 | {best[1]:.4f} | 1 |"])


if __name__ == "__main__":
    main()
