"""What `pagerec monitor` answers, as an object and as a table for the terminal."""

import dataclasses
import datetime as dt

from pagerec_dbx.monitoring.limits import Measure
from pagerec_dbx.monitoring.scored import GAIN


@dataclasses.dataclass(frozen=True)
class MonitorResult:
    """What `pagerec monitor` answers."""

    day: dt.date
    version: str
    simulated: bool  # the home holds logs of a simulated world
    page_views: int  # of the day, compared
    viewers: int
    left_out: int  # page views of the day that the version was trained or validated on
    training_page_views: int
    measures: tuple[Measure, ...]

    @property
    def passed(self) -> bool:
        return all(measure.passed for measure in self.measures)

    @property
    def reasons(self) -> list[str]:
        """One sentence per limit, those that were passed first."""
        judged = sorted((measure for measure in self.measures if measure.reason), key=lambda one: not one.passed)
        return [measure.reason for measure in judged]

    def to_json(self) -> dict:
        values = dataclasses.asdict(self) | {"day": self.day.isoformat(), "measures": None}
        measures = [dataclasses.asdict(measure) for measure in self.measures]
        return values | {"passed": self.passed, "reasons": self.reasons, "measures": measures}

    def to_text(self) -> str:
        """A table for the terminal, and the sentence of each limit."""
        left_out = f" ({self.left_out:,} earlier ones that it has seen left out)" if self.left_out else ""
        finding = "within every limit" if self.passed else "past a limit"
        head = (
            f"{self.day}, version {self.version}{', SIMULATED' if self.simulated else ''}: {finding}. "
            f"{self.page_views:,} page views of {self.viewers:,} viewers{left_out} against "
            f"{self.training_page_views:,} of its training days"
        )
        names = ("value", "95 % interval", "by chance", "limit", "training", "day", "page views", "viewers")
        lines = [head, f"  {'':<29}" + "".join(f"{name:>{_WIDTHS[name]}}" for name in names)]
        return "\n".join(lines + [_line(measure) for measure in self.measures] + [f"  {one}" for one in self.reasons])


_WIDTHS = {
    "value": 9, "95 % interval": 19, "by chance": 11, "limit": 7, "training": 10, "day": 9,
    "page views": 12, "viewers": 10,
}  # fmt: skip


def _line(measure: Measure) -> str:
    form = "+.4f" if measure.measure.startswith(GAIN) else ".4f"
    interval = "-" if measure.lower is None else f"{measure.lower:{form}} {measure.upper:{form}}"
    texts = {
        "value": f"{measure.value:{form}}",
        "95 % interval": interval,
        "by chance": _shown(measure.expected_by_chance, ".4f"),
        "limit": _shown(measure.limit, "g"),
        "training": _shown(measure.training_share, ".2%"),
        "day": _shown(measure.day_share, ".2%"),
        "page views": f"{measure.page_views:,}",
        "viewers": f"{measure.viewers:,}",
    }
    cells = "".join(f"{text:>{_WIDTHS[name]}}" for name, text in texts.items())
    return f"  {measure.measure:<29}{cells}{'' if measure.passed else '  FAILED'}"


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
