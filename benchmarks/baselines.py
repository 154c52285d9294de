"""`make bench-baselines EVENTS=FILE`: all floors and baselines on real pages, with intervals, as one table.

EVENTS is a file of Metarank-format events. On RankLens (Metarank project, CC BY-SA 4.0, item fields from TMDB and
MovieLens tags) the holdout is the standard cut: the last fifth of the pages, of which those with a like are judged.
"""

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pyspark.sql import functions as F

from benchmarks.homes import prepared_home
from pagerec_dbx.baselines.catalogue import all_baselines
from pagerec_dbx.config import Settings
from pagerec_dbx.evaluation.baselines import POPULARITY
from pagerec_dbx.evaluation.compare import Side, viewer_sums
from pagerec_dbx.evaluation.intervals import paired_intervals
from pagerec_dbx.evaluation.protocols import MENU, METRICS
from pagerec_dbx.home import Home
from pagerec_dbx.schemas import EVALUATIONS
from pagerec_dbx.stages.baselines import baselines
from pagerec_dbx.workbench import Workbench

RESAMPLES, SEED = 2_000, 17
OWN_CLICKS = ("viewer_clicks", "days_since_click")


def main(arguments: Sequence[str] | None = None) -> None:
    """Import, prepare and measure in one folder; what is there already is not made again."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.baselines", description=__doc__.splitlines()[0])
    parser.add_argument("events", type=Path, help="Metarank-format events, JSON lines, plain or gz")
    parser.add_argument("--folder", type=Path, default=Path("bench-baselines"), help="where logs and home go")
    parser.add_argument("--metric", choices=METRICS, default="ndcg_at_10")
    options = parser.parse_args(arguments)
    make_logs = ("import-metarank", str(options.events))
    home = prepared_home(options.folder / "logs", options.folder / "home", make_logs)
    bench = Workbench(Home(home), Settings())
    chosen = dict(all_baselines())
    chosen["lambdamart_without_own_clicks"] = dataclasses.replace(chosen["lambdamart"], left_out=OWN_CLICKS)
    result = baselines(bench.tables, bench.registry, chosen, bench.settings.judge)
    evaluations = bench.tables.read(EVALUATIONS).where(F.col("holdout") == result.holdout)
    names = sorted({one.name for one in result.measured})
    sides = {name: side for (name, protocol), side in viewer_sums(evaluations, names).items() if protocol == MENU}
    print(table(sides, options.metric, result.seconds))


def table(sides: Mapping[str, Side], metric: str, seconds: Mapping[str, float]) -> str:
    """One line a floor or baseline, the best first: its mean and what it has more than popularity, each with its
    interval.

    Args:
        sides: by name, all over the same viewers in the same order; `floor:popularity` among them.
        seconds: of those that were fitted.
    """
    names, at = list(sides), METRICS.index(metric)
    sums = np.stack([sides[name].sums[:, at] for name in names], axis=1)
    popular = sides[POPULARITY]
    counts = np.repeat(popular.pages[:, None], 2 * len(names), axis=1)
    columns = np.hstack([sums, sums - popular.sums[:, [at]]])
    found = paired_intervals(columns, counts, RESAMPLES, SEED)
    lines = [
        f"{int(popular.pages.sum()):,} page views of {len(popular.pages):,} viewers; protocol {MENU}, split holdout; "
        f"95 % intervals by {RESAMPLES:,} resamples of viewers.\n",
        f"| who | {metric} | interval | more than popularity | interval | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for number in sorted(range(len(names)), key=lambda one: -found.difference[one]):
        other, name = number + len(names), names[number]
        gain = "| | |" if name == POPULARITY else f"| {found.difference[other]:+.4f} | {_interval(found, other, '+')} |"
        mean = f"| {name} | {found.difference[number]:.4f} | {_interval(found, number, '')} "
        lines.append(f"{mean}{gain} {seconds[name]:.0f} |" if name in seconds else f"{mean}{gain} |")
    return "\n".join(lines)


def _interval(found, number: int, sign: str) -> str:
    return f"{found.lower[number]:{sign}.4f} to {found.upper[number]:{sign}.4f}"


if __name__ == "__main__":
    main()
