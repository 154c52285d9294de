"""Whether all ranks hold and read the same: where they do not, training would go on and mean nothing."""

import json
import zlib
from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf

from pagerec_dbx.errors import GO_ON, TrainingError
from pagerec_dbx.features.snapshot import Snapshot
from pagerec_dbx.training.checkpoints import Checkpoint
from pagerec_dbx.training.job import Position, Ranks
from pagerec_dbx.training.steps import Taken

_REPORT = "Report this; `--ranks 1` trains meanwhile"
_TOLERANCE = 1e-3  # of a variable's or gradient's length, where sums are added in another order each time


def require_same_start(ranks: Ranks, snapshots: Iterable[Snapshot], found: Checkpoint | None) -> None:
    """All ranks read the same snapshots, of which each takes another part, and begin at the same checkpoint.

    Args:
        found: the checkpoint that this rank would go on from; None without one.

    Raises:
        TrainingError: they do not; on all ranks alike.
    """
    manifests = "".join(snapshot.manifest.to_json() for snapshot in snapshots)
    # An epoch's last step and its end are two checkpoints of one step: what they say tells them apart.
    state = json.dumps(found.state, sort_keys=True) if found else ""
    own = [zlib.crc32(manifests.encode("utf-8")), found.step if found else -1, zlib.crc32(state.encode("utf-8"))]
    of_ranks = ranks.gather(np.array(own))  # [ranks, 3]
    if np.any(of_ranks != of_ranks[0]):
        raise TrainingError(
            "the ranks read different files",
            wanted="the same manifests and the same newest checkpoint on every worker",
            got="; ".join(
                f"rank {rank}: manifests {int(one[0]):08x}, step {int(one[1])}, state {int(one[2]):08x}"
                for rank, one in enumerate(of_ranks)
            ),
            fix=f"Put the home on a path that all workers see alike, then {GO_ON}",
        )


def require_same_weights(ranks: Ranks, variables: Sequence[tf.Variable], position: Position) -> None:
    """All ranks stand at the same step and hold the same weights and optimizer's state, so they had the same gradients.

    Raises:
        TrainingError: they do not; on all ranks alike.
    """
    if ranks.size == 1:
        return
    place = np.array([position.epoch, position.step], float)
    found = ranks.gather(np.concatenate([place, digest(variables)]))  # [ranks, 2 + digest]
    exact = not tf.config.list_physical_devices("GPU")
    if np.any(found[:, :2] != found[0, :2]) or not are_alike(found[:, 2:], exact):
        raise TrainingError(
            f"the ranks hold different weights at epoch {position.epoch}, step {position.step:,}",
            wanted="equal weights and optimizer's state after equal steps",
            got="; ".join(
                f"rank {rank}: epoch {one[0]:.0f}, step {one[1]:.0f}, digest {int(one[2]):08x}"
                for rank, one in enumerate(found)
            ),
            fix=_REPORT,
        )


def require_own_records(ranks: Ranks, least: np.ndarray, position: Position) -> None:
    """No rank read a record that another one read.

    Args:
        least: of the ids that this rank read in the epoch, each mixed in some ways: the least of each way. Two ranks
            with a share J of their records in common have one of four in common with the chance 1 - (1 - J)^4 (Broder
            1997); with none in common they have none. Infinite where it read nothing, as after an epoch's last step.

    Raises:
        TrainingError: two ranks read the same; on all ranks alike.
    """
    of_ranks = ranks.gather(np.asarray(least, np.float64))  # [ranks, ways]
    read = of_ranks[np.isfinite(of_ranks).all(axis=1)]  # [ranks that read something, ways]
    if any(len(set(of_way)) < len(read) for of_way in read.T):
        raise TrainingError(
            f"two ranks read the same records in epoch {position.epoch}",
            wanted="another part of the training snapshot on each rank",
            got="; ".join(f"rank {rank}: least ids {one.astype(int).tolist()}" for rank, one in enumerate(of_ranks)),
            fix=_REPORT,
        )


def require_same_gradients(ranks: Ranks, taken: Taken, position: Position) -> None:
    """After their reduction all ranks had the same gradients in their last step.

    Raises:
        TrainingError: they were not reduced; on all ranks alike.
    """
    sums, lengths = ranks.gather(np.array(taken.gradients, np.float64)).T  # [ranks] each
    if np.any(np.abs(sums - sums[0]) > _TOLERANCE * lengths[0]) or np.ptp(lengths) > _TOLERANCE * lengths[0]:
        raise TrainingError(
            f"the ranks have different gradients at epoch {position.epoch}, step {position.step:,}",
            wanted="the mean over all ranks on each of them",
            got="; ".join(f"rank {rank}: length {one:.6g}" for rank, one in enumerate(lengths)),
            fix=_REPORT,
        )


def digest(variables: Iterable[tf.Variable]) -> np.ndarray:
    """[1 + 2 * variables] float64: the CRC-32 of all, then of each a random projection and its length.

    The projection sums all numbers with signs that are drawn once, so that what differs at random shows in it.
    """
    bits, parts = 0, []
    for number, variable in enumerate(variables):
        values = np.ascontiguousarray(variable.numpy())
        bits = zlib.crc32(values, bits)
        table = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1).astype(np.float32, copy=False)
        draw = np.random.default_rng(number)
        down, across = (draw.choice(np.array([-1, 1], np.float32), size) for size in table.shape)
        parts += [float((down @ table).astype(np.float64) @ across), float(np.sqrt(np.vdot(table, table)))]
    return np.array([float(bits), *parts])


def are_alike(digests: np.ndarray, exact: bool) -> bool:
    """Whether [ranks, digest] are of the same weights, to the bit; a GPU adds in another order each time."""
    bits, projections, lengths = digests[:, 0], digests[:, 1::2], digests[:, 2::2]
    if np.all(bits == bits[0]):
        return True
    apart = np.abs(projections - projections[0])
    return not exact and bool(np.all(apart <= _TOLERANCE * np.maximum(lengths[0], 1e-12)))
