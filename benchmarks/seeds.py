"""The same model from several seeds: what it comes to is their mean, and what one seed alone says is luck."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from benchmarks.homes import run
from pagerec_dbx.evaluation.compare import Side, viewer_sums
from pagerec_dbx.evaluation.intervals import Intervals, paired_intervals
from pagerec_dbx.evaluation.protocols import MENU, METRICS
from pagerec_dbx.features.preparation import latest_preparation
from pagerec_dbx.models.names import LEGACY_BINARY
from pagerec_dbx.registry.versions import CHALLENGER, LEGACY
from pagerec_dbx.schemas import EVALUATIONS
from pagerec_dbx.stages.judge import evaluate_version
from pagerec_dbx.workbench import Workbench

RESAMPLES, SEED = 2_000, 17


def judged(bench: Workbench, model: str, *settings: str, truth: Path | None = None) -> str:
    """Train and judge on the holdout; the version.

    Args:
        truth: of a simulated world, for expected figures.
    """
    run("train", "--model", model, "--home", bench.home.name, *settings)
    version = bench.registry.resolve(LEGACY if model == LEGACY_BINARY else CHALLENGER)
    evaluate_version(bench, version, truth)
    return version


def judged_seeds(bench: Workbench, model: str, *settings: str, seeds: int) -> list[str]:
    """Train from seeds 1, 2, ... and judge each on the holdout; the versions."""
    return [judged(bench, model, *settings, f"seed={seed}") for seed in range(1, seeds + 1)]


def of_holdout(bench: Workbench) -> DataFrame:
    """What was measured on the latest holdout."""
    return bench.tables.read(EVALUATIONS).where(F.col("holdout") == latest_preparation(bench.tables).holdout)


def sides_of(records: DataFrame, cases: Mapping[str, Sequence[str]]) -> Mapping[str, list[Side]]:
    """By case the figures of its versions on the menu, all over the same viewers in the same order."""
    versions = [version for of_case in cases.values() for version in of_case]
    found = {name: side for (name, protocol), side in viewer_sums(records, versions).items() if protocol == MENU}
    return {name: [found[version] for version in of_case] for name, of_case in cases.items()}


def against(first: Sequence[Side], others: Sequence[Sequence[Side]], metric: str) -> Intervals:
    """Means of seeds with their intervals: of the first, of each other, and of what each other has more than it.

    Returns:
        Columns: first, others, differences. The interval is of page views drawn, seeds as they are.
    """
    at, pages = METRICS.index(metric), first[0].pages
    if any((side.pages != pages).any() for sides in (first, *others) for side in sides):
        raise ValueError("not all were judged on the same page views")
    means = [np.mean([side.sums[:, at] for side in sides], axis=0) for sides in (first, *others)]
    columns = np.stack([*means, *(mean - means[0] for mean in means[1:])], axis=1)
    return paired_intervals(columns, np.repeat(pages[:, None], columns.shape[1], axis=1), RESAMPLES, SEED)
