"""`train --seeds`: the same training from several seeds, how far they lie apart, and the one that is registered."""

import contextlib
import dataclasses
import math
import shutil
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from pagerec_dbx.config import Settings
from pagerec_dbx.errors import GO_ON, TrainingError, with_advice_to_repeat
from pagerec_dbx.features.preparation import Preparation
from pagerec_dbx.figures import number
from pagerec_dbx.home import Home
from pagerec_dbx.progress import say
from pagerec_dbx.registry.store import Registry
from pagerec_dbx.stages.export import export
from pagerec_dbx.stages.stopped_runs import StoppedRun
from pagerec_dbx.stages.train import advise_on_steps, job_of, learn, mark_failed, open_run, sound_run
from pagerec_dbx.tables import Tables

SEED_STEP = 10_000  # between two seeds: each rank adds its number to its seed, and no two may draw the same


@dataclasses.dataclass(frozen=True)
class SeedFigures:
    """What one seed came to; the figures are of its best epoch, on the validation days."""

    seed: int
    run_id: str
    epochs: int
    best_epoch: int
    validation_ndcg: float
    validation_loss: float


@dataclasses.dataclass(frozen=True)
class SeedsResult:
    """What `pagerec train --seeds` says; spreads are standard deviations of single seeds, n - 1 below."""

    version: str
    registered_seed: int
    run_id: str  # below which the seeds' runs stand
    model: str
    ranks: int
    seeds: tuple[SeedFigures, ...]
    validation_ndcg_mean: float
    validation_ndcg_deviation: float
    validation_loss_mean: float
    validation_loss_deviation: float

    def to_text(self) -> str:
        """For the terminal."""
        lines = [
            f"seed {one.seed}: validation NDCG {number(one.validation_ndcg)}, loss {number(one.validation_loss)}, "
            f"best epoch {one.best_epoch} of {one.epochs}"
            for one in self.seeds
        ]
        ndcg = f"{number(self.validation_ndcg_mean)} ± {number(self.validation_ndcg_deviation)}"
        loss = f"{number(self.validation_loss_mean)} ± {number(self.validation_loss_deviation)}"
        return "\n".join(
            [
                *lines,
                f"{len(self.seeds)} seeds: validation NDCG {ndcg}, loss {loss} (mean ± standard deviation of one seed)",
                f"version {self.version} is seed {self.registered_seed}, the best of them on the validation days; "
                "what to expect of this model is the mean",
            ]
        )


def train_seeds(
    tables: Tables, registry: Registry, model_name: str, ranks: int, settings: Settings, count: int
) -> SeedsResult:
    """Train from several seeds and register the one that is best on the validation days; the holdout is not read.

    Args:
        settings: `seed` is the first one, the others lie `SEED_STEP` apart.
        count: of seeds, two at least.

    Raises:
        SettingError: the last seed is out of range.
        As `stages.train.train`.
    """
    preparation, first = sound_run(tables, model_name, ranks, settings)
    each = [_with_seed(settings, settings.train.seed + SEED_STEP * place) for place in range(count)]
    advise_on_steps(tables.home, preparation, first)
    clear_away_killed_seeds(registry)
    name = f"{count} seeds of {model_name} on {preparation.preparation_id}"
    parent = open_run(registry, preparation, model_name, ranks, settings, name, {"seeds": str(count)})
    with _marked_as_failed(registry, parent), _told_to_begin_anew():
        figures, best, version = _train_all(tables, registry, preparation, first, each, parent)
        spread = spread_of(figures)
        registry.log_run_metrics(parent, spread)
        registry.tag_run(parent, {"registered_seed": str(best.seed), "version": version})
    registry.end_run(parent, succeeded=True)
    return SeedsResult(version, best.seed, parent, model_name, ranks, tuple(figures), **spread)


def spread_of(figures: Sequence[SeedFigures]) -> dict[str, float]:
    """Mean and standard deviation of NDCG and loss over seeds, by the names that they have in a result."""
    spread = {}
    for name in ("validation_ndcg", "validation_loss"):
        values = [getattr(one, name) for one in figures]
        spread[f"{name}_mean"], spread[f"{name}_deviation"] = statistics.fmean(values), statistics.stdev(values)
    return spread


def _with_seed(settings: Settings, seed: int) -> Settings:
    return dataclasses.replace(settings, train=dataclasses.replace(settings.train, seed=seed))


def _train_all(
    tables: Tables,
    registry: Registry,
    preparation: Preparation,
    first: StoppedRun,
    each: Sequence[Settings],
    parent: str,
) -> tuple[list[SeedFigures], SeedFigures, str]:
    """Train from each seed, and register the best: what all came to, the best of them, its version.

    Of those trained so far only the best one's weights are on the disk.
    """
    all_figures: list[SeedFigures] = []
    folder = _folder(registry.home) / parent
    folder.mkdir(parents=True, exist_ok=True)  # by its name the next command finds the runs of one that was killed
    best = None
    try:
        for place, settings in enumerate(each, start=1):
            say(f"  seed {settings.train.seed}, {place} of {len(each)}")
            trained = _train_one(tables, registry, preparation, first, settings, parent, folder)
            job, figures, _ = trained
            all_figures.append(figures)
            if figures is _best(all_figures, settings.train.best_by):
                best, trained = trained, best
            if trained is not None:
                shutil.rmtree(trained[0].folder, ignore_errors=True)
        job, figures, result = best
        return all_figures, figures, export(tables, registry, job, figures.run_id, preparation, result)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _train_one(
    tables: Tables,
    registry: Registry,
    preparation: Preparation,
    first: StoppedRun,
    settings: Settings,
    parent: str,
    folder: Path,
):
    """Train from one seed, in a run of its own: its job, its figures, and what came of it."""
    name = f"seed {settings.train.seed}"
    run_id = open_run(registry, preparation, first.config.name, first.ranks, settings, name, parent=parent)
    # A seed is not gone on with, so it leaves no checkpoints on its way.
    own = dataclasses.replace(settings.train, checkpoint_minutes=math.inf)
    run = dataclasses.replace(first, run_id=run_id, settings=own)
    job = dataclasses.replace(job_of(registry.home, preparation, run), folder=str(folder / run_id))
    with _marked_as_failed(registry, run_id):
        result = learn(tables, registry, job, preparation, run.ranks, registry.epoch_logger(run_id))
    registry.end_run(run_id, succeeded=True)
    return job, _figures(run, result), result


def _folder(home: Home) -> Path:
    """Where the seeds of a command are trained, in a folder that has the name of their parent's run."""
    return home.folder / "seeds"


def clear_away_killed_seeds(registry: Registry) -> None:
    """Remove what a killed command left: weights that nobody goes on with, and runs that look as if under way."""
    folder = _folder(registry.home)
    for left in list(folder.iterdir()) if folder.is_dir() else ():
        registry.end_forsaken_runs(left.name)
        mark_failed(registry, left.name)
        shutil.rmtree(left, ignore_errors=True)


def _figures(run: StoppedRun, result) -> SeedFigures:
    best = result.best
    return SeedFigures(
        run.settings.seed, run.run_id, result.epochs, best.epoch, best.validation_ndcg, best.validation_loss
    )


def _best(figures: Sequence[SeedFigures], best_by: str) -> SeedFigures:
    """By the figure that chose each one's epoch, of last epochs by their NDCG; the first of equal ones."""
    return max(figures, key=lambda one: -one.validation_loss if best_by == "loss" else one.validation_ndcg)


@contextlib.contextmanager
def _told_to_begin_anew() -> Iterator[None]:
    """Errors of one training say how to go on with it; several seeds are trained anew."""
    try:
        yield
    except BaseException as error:
        say("  stopped; several seeds cannot be gone on with: the same command trains all of them anew")
        if isinstance(error, TrainingError) and GO_ON in error.fix:
            raise with_advice_to_repeat(error) from error
        raise


@contextlib.contextmanager
def _marked_as_failed(registry: Registry, run_id: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        mark_failed(registry, run_id)
        raise
