"""Model and streams to trained weights: the loop that every rank runs."""

import contextlib
import functools
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from pagerec_dbx.errors import NoExamplesError
from pagerec_dbx.features.local_copies import local_copy
from pagerec_dbx.features.snapshot import Snapshot, open_snapshot, require_undamaged
from pagerec_dbx.features.stream import Shard, open_stream, steps_per_epoch
from pagerec_dbx.models.build import build, parameter_count
from pagerec_dbx.models.catalogue import load_knowledge
from pagerec_dbx.progress import Progress, say
from pagerec_dbx.training.agreement import (
    digest,
    require_own_records,
    require_same_gradients,
    require_same_start,
    require_same_weights,
)
from pagerec_dbx.training.checkpoints import Checkpoints
from pagerec_dbx.training.counting import learn_counts
from pagerec_dbx.training.heartbeats import rank_name
from pagerec_dbx.training.job import EpochReport, OnEpoch, Ranks, TrainingJob, TrainingResult
from pagerec_dbx.training.lost_losses import require_finite, require_no_loss_lost
from pagerec_dbx.training.memory import freed_between_epochs, share_heaps
from pagerec_dbx.training.optimizer import optimizer_of
from pagerec_dbx.training.profiling import Profiled
from pagerec_dbx.training.state import TrainingState, place_of, words_on_restoring
from pagerec_dbx.training.steps import WAYS, Steps
from pagerec_dbx.training.validation import Validation
from pagerec_dbx.training.weights import save_weights


def fit(job: TrainingJob, ranks: Ranks, on_epoch: OnEpoch) -> TrainingResult:
    """Train until the validation part is ranked no better; the best epoch's weights go to `job.weights_file`.

    Where the job's folder holds a checkpoint, training goes on from it.

    Args:
        on_epoch: called on the first rank after each epoch; where it returns True the training ends there, on all
            ranks, as if its patience had ended.

    Raises:
        NoExamplesError: the training snapshot holds less than one step.
        LossError: a loss is no number.
        TrainingError: the ranks' weights have drifted apart, or a checkpoint cannot be written.
        SnapshotError: a snapshot is incomplete or damaged, or has too few row groups for the ranks.
    """
    started = time.monotonic()
    share_heaps()
    with contextlib.ExitStack() as stack:
        stack.enter_context(compiled_by_xla(job.settings.xla))
        free = stack.enter_context(freed_between_epochs())
        ranks.stand(lambda: "opening the snapshots")
        training = _Training(job, ranks, stack)
        ranks.stand(training.where)
        training.restore()
        while not training.is_over:
            free()
            report, told = training.run_epoch(), False
            if ranks.rank == 0:
                say(f"  {report.to_text(job.settings.epochs)}", ranks.words)
                told = bool(on_epoch(report))
            training.end_if(told)
            training.save(at_once=training.is_over)  # after it was told: a kill in between has it told again, not never
        return training.result(time.monotonic() - started)


class _Training:
    """One rank's part of a training, from wherever it stands to the end of each epoch."""

    def __init__(self, job: TrainingJob, ranks: Ranks, stack: contextlib.ExitStack):
        """Copies of snapshots are removed when `stack` is closed."""
        self._job, self._ranks, self._settings = job, ranks, job.settings
        self._shard = Shard(ranks.rank, ranks.size)
        # A new name each time: another rank may be clearing away what the dead one of this rank's number left.
        self._copies = f"{Path(job.folder).name} {rank_name(ranks.rank)} {secrets.token_hex(4)}"
        self._train, self._validation = (
            stack.enter_context(self._opened(Path(folder))) for folder in (job.train_snapshot, job.validation_snapshot)
        )
        self._steps = require_steps(self._train, ranks.size, self._settings.batch_size)
        self._model = build(job.config, self._settings.seed, self._settings.precision)
        self._model.randomness.seed = self._settings.seed + ranks.rank  # each rank draws its own dropout and negatives
        if job.config.needs_knowledge:
            self._model.learn_knowledge(load_knowledge(job.knowledge_file))
        learn_counts(self._model, self._train, self._shard.part_of(range(len(self._train.paths))), self._total)
        self._optimizer = optimizer_of(self._settings, ranks.size, self._steps)
        traces = Path(job.profile) if job.profile and ranks.rank == 0 else None
        mean = functools.partial(ranks.mean, whole_table_rows=self._settings.whole_table_rows)
        self._run = Profiled(Steps(self._model, self._optimizer, mean).run, traces)
        self._measure = Validation(self._model)
        self._checkpoints = Checkpoints(
            Path(job.folder), self._settings.checkpoints_kept, self._settings.checkpoint_minutes
        )
        self._state = TrainingState(self._model, self._optimizer, self._settings.patience)

    @property
    def is_over(self) -> bool:
        """Whether the last epoch has ended."""
        return self._state.is_over

    def _total(self, counts: np.ndarray) -> np.ndarray:
        return self._ranks.gather(counts.ravel()).sum(axis=0).reshape(counts.shape)

    def where(self) -> str:
        """The place of the last step taken, for people."""
        return place_of(self._state.position, self._steps)

    def restore(self) -> None:
        """Stand where the last checkpoint was written, or at the beginning, with equal weights on every rank."""
        found = self._checkpoints.newest()
        require_same_start(self._ranks, (self._train, self._validation), found)
        self._ranks.broadcast(self._model.variables)
        if self._ranks.rank == 0:  # all have read by now
            damaged = self._checkpoints.go_on_from(found.step if found else -1)
            words = words_on_restoring(found, damaged, self._steps)
            if words is not None:
                say(f"  {words}", self._ranks.words)
        if found is not None:
            self._state.restore(found)

    def run_epoch(self) -> EpochReport:
        """The rest of the epoch that the training stands in, its validation, and what follows from it."""
        started, position = time.monotonic(), self._state.position
        taken = self._steps - position.step
        waited = self._run_steps()
        seconds = time.monotonic() - started
        sums = self._measure.sums(self._validation, self._shard, self._settings)
        of_ranks = self._ranks.gather(np.array([position.loss / self._steps, *sums, waited / seconds]))  # [ranks, 5]
        validation_loss, ndcg = of_ranks[:, 1:3].sum(axis=0) / max(of_ranks[:, 3].sum(), 1.0)
        report = EpochReport(
            epoch=position.epoch,
            loss=float(of_ranks[:, 0].mean()),
            validation_loss=float(validation_loss),
            validation_ndcg=float(ndcg),
            examples_per_second=taken * self._settings.batch_size * self._ranks.size / seconds if taken else None,
            waited_for_data=float(of_ranks[:, 4].max()) if taken else None,
        )
        require_finite(report, self._checkpoints)
        self._require_same_weights()
        standing = self._settings.standing(report.epoch, report.validation_ndcg, report.validation_loss)
        self._state.end_epoch(report, standing, self._settings.epochs)
        return report

    def end_if(self, told: bool) -> None:
        """End here where the first rank was told so; the others hear it from that one, lest they wait for it."""
        if self._ranks.gather(np.array([float(told)]))[0, 0]:
            self._state.is_over = True

    def result(self, seconds: float) -> TrainingResult:
        """Leave the best weights, and say what came of it."""
        self._state.best.restore(self._model)
        if self._ranks.rank == 0:
            save_weights(self._model, Path(self._job.weights_file))
        per_epoch = self._steps * self._settings.batch_size * self._ranks.size
        reports, best = self._state.reports, self._state.best
        return TrainingResult(
            ranks=self._ranks.size,
            epochs=len(reports),
            best_epoch=best.epoch,
            reports=tuple(reports),
            parameters=parameter_count(self._model),
            steps_per_epoch=self._steps,
            left_out_per_epoch=self._train.manifest.records - per_epoch,
            seconds=seconds,
            digests=tuple(int(bits) for bits in self._ranks.gather(digest(self._model.variables))[:, 0]),
            was_stopped=len(reports) < self._settings.epochs and not best.patience_ended,
        )

    @contextlib.contextmanager
    def _opened(self, folder: Path) -> Iterator[Snapshot]:
        """A snapshot whose files that this rank reads are what was written; on this machine's own disk, if wished."""
        snapshot = read = open_snapshot(folder)
        numbers = self._shard.part_of(range(len(snapshot.paths)))
        with contextlib.ExitStack() as stack:
            if self._settings.cache is not None:
                own = Path(self._settings.cache).expanduser() / self._copies
                read = stack.enter_context(local_copy(snapshot, numbers, own))
            require_undamaged(read, numbers, named_as=snapshot)
            yield read

    def _require_same_weights(self) -> None:
        require_same_weights(self._ranks, [*self._model.variables, *self._optimizer.variables()], self._state.position)

    def _run_steps(self) -> float:
        """Take the steps that are left of the epoch; the seconds that they waited for data."""
        settings, position, all_waited = self._settings, self._state.position, 0.0
        label = f"epoch {position.epoch} of {settings.epochs}"
        is_heard, words = self._ranks.rank == 0, self._ranks.words
        progress = Progress(label, self._steps, "steps", words, already=position.step) if is_heard else None
        seed = settings.seed + 1_000_003 * position.epoch
        skip = position.step * settings.batch_size
        stream = open_stream(
            self._train, self._shard, settings.batch_size, seed, drop_remainder=True, skip=skip, reader=settings.reader
        )
        with stream as batches:
            iterator, least = iter(batches), np.full(WAYS, np.inf)
            while position.step < self._steps:
                number = min(settings.steps_at_once, self._steps - position.step)
                taken = self._run(iterator, number)
                all_waited += taken.waited
                least = np.minimum(least, taken.least)
                of_ranks = self._ranks.gather(np.array([taken.loss, taken.lost, *taken.days], np.float64))  # [ranks, 4]
                # Before a checkpoint, so that the last one is a good one.
                require_no_loss_lost(of_ranks[:, 1:], position, self._steps, self._checkpoints)
                position.loss += float(of_ranks[:, 0].mean())  # what stands in a checkpoint is every rank's
                position.step += number
                if position.step // settings.check_steps > (position.step - number) // settings.check_steps:
                    require_own_records(self._ranks, least, position)
                    require_same_gradients(self._ranks, taken, position)
                    self._require_same_weights()
                self.save()
                if progress:
                    progress.update(position.step)
            require_own_records(self._ranks, least, position)
        if progress:
            progress.close()
        return all_waited

    def save(self, at_once: bool = False) -> None:
        """Leave a checkpoint if it is time for one; all ranks stand alike, so the first one's word is enough."""
        if self._ranks.rank or not (at_once or self._checkpoints.is_due):
            return
        self._checkpoints.save(self._state.as_checkpoint(self._steps))


@contextlib.contextmanager
def compiled_by_xla(wanted: bool) -> Iterator[None]:
    """TensorFlow gathers operations that XLA can compile; on a processor it leaves them alone."""
    before = tf.config.optimizer.get_jit()
    tf.config.optimizer.set_jit("autoclustering" if wanted else False)
    try:
        yield
    finally:
        tf.config.optimizer.set_jit(before or False)


def require_steps(train: Snapshot, size: int, batch_size: int) -> int:
    """Steps of an epoch on that many ranks.

    Raises:
        NoExamplesError: none.
        SnapshotError: too few row groups for the ranks, or ranks that do not divide them.
    """
    steps = steps_per_epoch(train, size, batch_size)
    if steps < 1:
        raise NoExamplesError(
            "the training snapshot holds less than one step",
            wanted=f"at least {size} x {batch_size} examples",
            got=f"{train.manifest.records:,}",
            fix=f"Set batch_size={max(1, train.manifest.records // size // 10)} or prepare more page views",
        )
    return steps
