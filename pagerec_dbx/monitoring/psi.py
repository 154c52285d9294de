"""Population stability index: how far a day's shares of some cells lie from those of the training days.

PSI = sum over cells of (p - q) ln(p / q), p the shares of the day, q those of the training days. It is above 0 by
chance alone, the more so the fewer viewers there are; how far is told beside it.
"""

import dataclasses

import numpy as np

EMPTY = 0.5  # observations that a cell without any counts as, where the other side has some

_NORMAL_99 = 2.3263478740408408  # the normal distribution's 99 % point


@dataclasses.dataclass(frozen=True)
class Side:
    """What was counted in each cell on the page views of one side, by viewer; arrays are [cells].

    A viewer's things resemble each other (the same titles on page view after page view), so that they say less than as
    many things of different viewers: `squares` and `products` tell how much less.
    """

    counts: np.ndarray
    squares: np.ndarray  # sum over viewers of (the viewer's things in the cell)^2
    products: np.ndarray  # sum over viewers of (the viewer's things in the cell) x (all things of the viewer)

    @property
    def total(self) -> float:
        return float(self.counts.sum())

    @property
    def shares(self) -> np.ndarray:
        return self.counts / self.total

    def design_effects(self) -> np.ndarray:
        """[cells] by what factor the variance of a share is that of as many things of different viewers.

        The sum over viewers of (own things in the cell - share x own things)^2, by n p (1 - p): 1 where every viewer
        has one thing. NaN where the cell has none or all (Kish, Survey Sampling, 1965; Rao and Scott, 1981).
        """
        shares = self.shares
        around = self.squares - 2 * shares * self.products + shares**2 * self.products.sum()
        independent = self.total * shares * (1 - shares)
        return np.divide(around, independent, out=np.full(len(shares), np.nan), where=independent > 0)


@dataclasses.dataclass(frozen=True)
class Shift:
    """How far a day lies from the training days in one distribution."""

    value: float  # the PSI
    expected_by_chance: float  # its mean if nothing changed
    chance_99: float  # what it exceeds once in a hundred days if nothing changed
    cells: int  # that either side has something in
    moved: int  # the cell that adds most to the value; -1 where there is none


NOTHING = Shift(0.0, 0.0, 0.0, 0, -1)


def shift(training: Side, day: Side) -> Shift:
    """The PSI of a day against the training days; 0 where one of the two has nothing to count.

    Args:
        training, day: over the same cells. Cells that neither has anything in are left out; one that only one side
            has counts as EMPTY observations on the other.
    """
    if min(training.total, day.total) == 0:
        return NOTHING
    used = (training.counts + day.counts) > 0
    cells = int(used.sum())
    p, q = _smoothed(day.counts[used]), _smoothed(training.counts[used])
    parts = (p - q) * np.log(p / q)
    chance = _variances(training, day)[used]
    expected = float(chance.sum())
    return Shift(
        value=float(parts.sum()),
        expected_by_chance=expected,
        chance_99=chance_limit(expected, _freedom(chance, cells)),
        cells=cells,
        moved=int(np.flatnonzero(used)[np.argmax(parts)]),
    )


def _smoothed(counts: np.ndarray) -> np.ndarray:
    filled = np.where(counts > 0, counts, EMPTY)
    return filled / filled.sum()


def _variances(training: Side, day: Side) -> np.ndarray:
    """[cells] what each adds to the PSI by chance: to second order the PSI is the sum of (p - q)^2 / q.

    With the share s of both sides together and design effects d it is (1 - s) (d_day / n + d_training / m): over all
    cells (cells - 1) (1/n + 1/m) where every viewer has one thing.
    """
    shares = (training.counts + day.counts) / (training.total + day.total)
    own, others = day.design_effects(), training.design_effects()
    # A cell that one side has nothing in, or all: its things would come as bunched as the other side's.
    own, others = np.where(np.isnan(own), others, own), np.where(np.isnan(others), own, others)
    own, others = np.nan_to_num(own, nan=1.0), np.nan_to_num(others, nan=1.0)
    return (1 - shares) * (own / day.total + others / training.total)


def _freedom(chance: np.ndarray, cells: int) -> float:
    """Of the chi-squared distribution that the PSI follows by chance (Satterthwaite), at most cells - 1."""
    squares = float((chance**2).sum())
    return max(1.0, min(cells - 1.0, float(chance.sum()) ** 2 / squares)) if squares > 0 else 1.0


def chance_limit(expected: float, freedom: float) -> float:
    """The 99 % point of a chi-squared variable scaled to this mean (Wilson and Hilferty, 1931)."""
    spread = 2 / (9 * freedom)
    return expected * (1 - spread + _NORMAL_99 * spread**0.5) ** 3


def decile_edges(values: np.ndarray, counts: np.ndarray, cells: int = 10) -> np.ndarray:
    """Where the cells of a distribution of whole numbers begin, so that each holds about as much of it.

    What lies outside all that occurs has a cell of its own at either end: after pages of 40 rows alone one of 50 shows.

    Args:
        values: [distinct] rising.
        counts: [distinct] how often each occurs.

    Returns:
        [at most cells + 1] rising: a number lies in the cell whose index is how many of these it reaches.
    """
    below = np.cumsum(counts) - counts
    cell = np.floor(cells * below / counts.sum()).astype(int)
    begins = np.flatnonzero(np.diff(cell) > 0) + 1
    return np.concatenate([values[:1], values[begins], values[-1:] + 1])
