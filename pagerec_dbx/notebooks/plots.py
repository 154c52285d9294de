"""How the notebooks' figures look."""

from matplotlib.figure import Figure

GOOD, BAD, OPEN, MARK = "#1a7f37", "#c93c37", "#6e7781", "#0969da"
COLOURS = (MARK, "#bf8700", "#8250df", "#1b7c83", "#bc4c00", "#57606a", "#1a7f37", "#c93c37")


def figure(name: str, width: float, height: float) -> Figure:
    """An empty figure, in inches; it is saved under its name where nothing can draw it."""
    return Figure(figsize=(width, height), layout="constrained", label=name)


def side_colours(lower, upper) -> list[str]:
    """By where each interval lies: above 0, below it, or across."""
    return [GOOD if low > 0 else BAD if high < 0 else OPEN for low, high in zip(lower, upper, strict=True)]
