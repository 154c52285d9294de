"""Where the marks of a plot stand, in per cent of its area; the template draws them. Values in, numbers out."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from pagerec_dbx.figures import number
from pagerec_dbx.report.content import Difference, spoken

Points = Sequence[tuple[float, float]]


@dataclasses.dataclass(frozen=True)
class Tick:
    """A labelled place on an axis."""

    at: float  # per cent of the axis, from its start
    label: str


@dataclasses.dataclass(frozen=True)
class Line:
    """One series of a line chart."""

    name: str
    path: str  # SVG path data, 100 x 100 with y downward
    dots: tuple[tuple[float, float], ...]


@dataclasses.dataclass(frozen=True)
class LineChart:
    """Lines over two axes."""

    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


@dataclasses.dataclass(frozen=True)
class Interval:
    """One difference of a forest plot, in per cent of its width."""

    label: str
    difference: Difference
    at: float
    lower: float
    upper: float

    @property
    def side(self) -> str:
        """Where the interval lies: above 0, below it, or across."""
        if self.difference.lower > 0:
            return "better"
        return "worse" if self.difference.upper < 0 else "open"


@dataclasses.dataclass(frozen=True)
class Forest:
    """Differences with their intervals on one scale."""

    intervals: tuple[Interval, ...]
    zero: float
    ticks: tuple[Tick, ...]


@dataclasses.dataclass(frozen=True)
class Bar:
    """One labelled amount, its length in per cent of the longest."""

    label: str
    value: float
    length: float


def line_chart(series: Mapping[str, Points], unit: float = 1.0, sign: str = "") -> LineChart | None:
    """Series of (x, y) by name on common axes; None where there is no point at all.

    Args:
        unit: what y counts as one on its axis; .01 for per cent.
        sign: of that unit, written after each figure of the axis.
    """
    points = [point for line in series.values() for point in _finite(line)]
    if not points:
        return None
    x_ticks = _ticks(*_range(x for x, _ in points), whole=True)
    y_ticks = _ticks(*_range(y for _, y in points))
    digits = _digits([value / unit for value in y_ticks])
    x_axis, y_axis = _axis(min(x for x, _ in points), max(x for x, _ in points)), _axis(y_ticks[0], y_ticks[-1])
    return LineChart(
        tuple(_line(name, _finite(line), x_axis, y_axis) for name, line in series.items() if _finite(line)),
        tuple(Tick(x_axis(value), str(value)) for value in x_ticks if 0 <= x_axis(value) <= 100),
        tuple(Tick(y_axis(value), number(value / unit, digits) + sign) for value in y_ticks),
    )


def forest(differences: Iterable[Difference]) -> Forest | None:
    """Differences that have an interval, by their baselines, in the given order; None where none has."""
    return forest_of((spoken(difference.baseline), difference) for difference in differences)


def forest_of(named: Iterable[tuple[str, Difference]]) -> Forest | None:
    """As `forest`, by any names."""
    shown = [(name, d) for name, d in named if d.lower is not None and d.upper is not None]
    if not shown:
        return None
    ticks = _ticks(*_range([0.0, *(d.lower for _, d in shown), *(d.upper for _, d in shown)]))
    axis = _axis(ticks[0], ticks[-1])
    intervals = [Interval(name, d, axis(d.difference), axis(d.lower), axis(d.upper)) for name, d in shown]
    digits = _digits(ticks)
    return Forest(tuple(intervals), axis(0.0), tuple(Tick(axis(tick), number(tick, digits)) for tick in ticks))


def bars(amounts: dict[str, float]) -> list[Bar]:
    """The amounts, largest first."""
    longest = max(amounts.values(), default=0) or 1
    ordered = sorted(amounts.items(), key=lambda item: (-item[1], item[0]))
    return [Bar(label, value, 100 * value / longest) for label, value in ordered]


def _line(name: str, points: Points, x_axis: Callable, y_axis: Callable) -> Line:
    places = [(round(x_axis(x), 2), round(100 - y_axis(y), 2)) for x, y in points]
    path = "M" + "L".join(f"{x} {y}" for x, y in places)
    return Line(name, path, tuple(places) if len(places) <= 60 else ())


def _finite(points: Points) -> list[tuple[float, float]]:
    return [(x, y) for x, y in points if y is not None and math.isfinite(y)]


def _range(values: Iterable[float]) -> tuple[float, float]:
    values = list(values)
    return min(values), max(values)


def _axis(low: float, high: float) -> Callable[[float], float]:
    """From a value to its place in per cent; a single value stands in the middle."""
    return lambda value: 50.0 if high == low else 100 * (value - low) / (high - low)


def _ticks(low: float, high: float, whole: bool = False, about: int = 5) -> list[float]:
    """Round values that enclose a range, 1, 2 or 5 times a power of ten apart."""
    if high == low:
        return [low] if whole else _ticks(low - abs(low or 1) / 10, high + abs(high or 1) / 10)
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    step = max(1.0, step) if whole else step
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    places = [round(index * step, 12) for index in range(first, last + 1)]
    return [int(place) for place in places] if whole else places


def _digits(ticks: Sequence[float]) -> int:
    """How many digits tell neighbouring ticks apart."""
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    return max(0, -math.floor(math.log10(step) + 1e-9))
