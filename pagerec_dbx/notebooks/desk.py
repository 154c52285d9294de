"""Where a notebook reads its choices and shows its results, on Databricks, in JupyterLab and as a plain script.

A notebook's first cell, `desk = open_desk(globals())`, offers choices, its second one makes widgets of them; the others
ask `desk.chosen`, `desk.selected`, `desk.attempt` and `desk.show`.
"""

import dataclasses
import io
import sys
from collections.abc import Callable, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pagerec_dbx.errors import PagerecError
from pagerec_dbx.notebooks.engines import told_by_engine
from pagerec_dbx.notebooks.runtime_widgets import RuntimeWidgets
from pagerec_dbx.notebooks.widgets import JupyterWidgets, Widgets, in_jupyter

NONE = "(none)"  # the only choice where there is nothing to choose, and a multiselect's where nothing is chosen
MOST_CHOICES = 1_000  # a runtime's dropdown takes 1,024
_KEPT = "_pagerec_widgets"  # what of them is kept in a notebook whose first cell is run again


@dataclasses.dataclass(frozen=True)
class Offer:
    """A widget that is about to be made."""

    choices: list[str]
    value: str  # shown first
    label: str
    several: bool  # may be chosen


@dataclasses.dataclass(frozen=True)
class Desk:
    """Choices in, results out."""

    widgets: Any  # RuntimeWidgets, JupyterWidgets or Widgets
    draw: Callable[[object], Any]
    offers: dict[str, Offer] = dataclasses.field(default_factory=dict)  # by widget

    def display(self, result: object) -> None:
        """Draw a sentence, a frame or a figure; nothing where there is none, as its reason stands above."""
        if result is not None:
            self.draw(result)

    def attempt(self, make: Callable, *inputs: Any, **named: Any) -> Any:
        """What a function makes; None where that cannot be, after its reason was shown as a sentence.

        With an input that is None nothing is tried: the reason stands above already. Faults of ours are raised.
        """
        if any(one is None for one in inputs):
            return None
        try:
            return make(*inputs, **named)
        except PagerecError as error:
            self.display(str(error))
        except Exception as error:  # engines' errors, with no common base; what they do not tell is raised
            told = told_by_engine(error)
            if told is None:
                raise
            self.display(str(told))
        return None

    def show(self, make: Callable, *inputs: Any, **named: Any) -> None:
        """Display what a function makes, or the reason why there is nothing to display."""
        self.display(self.attempt(make, *inputs, **named))

    def choices(self, make: Callable, *inputs: Any, **named: Any) -> list[str]:
        """What a function finds to choose from, at most MOST_CHOICES; NONE alone where there is nothing."""
        return (self.attempt(make, *inputs, **named) or [NONE])[:MOST_CHOICES]

    def offer(self, name: str, choices: Sequence[str], label: str, default: str | None = None) -> str | None:
        """A dropdown to be made by `make_widgets`; the value that it will have, None where there is nothing to choose.

        What was chosen stays while it is a choice.

        Args:
            default: the first choice where it is not given.
        """
        before = self.widgets.before(name, choices)
        value = before if before in choices else default or choices[0]
        self.offers[name] = Offer(list(choices), value, label, several=False)
        return None if value == NONE else value

    def offer_several(self, name: str, choices: Sequence[str], label: str) -> None:
        """A multiselect to be made by `make_widgets`; the first choice by default."""
        quoted = [quote(choice) for choice in choices]
        before = (self.widgets.before(name, quoted) or "").split(",")
        kept = [value for value in before if value in quoted]
        self.offers[name] = Offer(quoted, (kept or quoted)[0], label, several=True)

    def make_widgets(self) -> None:
        """Make what was offered; in a later cell than the offers, see `RuntimeWidgets`.

        Raises:
            UsageError: a value that the script was given is no choice.
        """
        for name, offer in self.offers.items():
            make = self.widgets.multiselect if offer.several else self.widgets.dropdown
            make(name, offer.value, offer.choices, offer.label)

    def chosen(self, name: str) -> str | None:
        """A widget's value; None where there was nothing to choose."""
        value = self.widgets.get(name)
        return None if value in ("", NONE) else value

    def selected(self, name: str) -> list[str]:
        """A multiselect's values."""
        return [unquote(value) for value in self.widgets.get(name).split(",") if value not in ("", NONE)]


def quote(text: str) -> str:
    """A choice of several, which a runtime gives with commas between: those of its own are written `%2C`."""
    return text.replace("%", "%25").replace(",", "%2C")


def unquote(text: str) -> str:
    """What `quote` was given."""
    return text.replace("%2C", ",").replace("%25", "%")


def open_desk(surroundings: MutableMapping[str, Any]) -> Desk:
    """The runtime's widgets and display where the notebook's globals hold them, else Jupyter's, else plain ones."""
    dbutils: Any = surroundings.get("dbutils")
    given = _choices_of_command_line()
    if dbutils is not None:
        kept = RuntimeWidgets(dbutils.widgets, surroundings.setdefault(_KEPT, {}))
        return Desk(kept, surroundings.get("display", show_plainly))
    if in_jupyter():
        return Desk(surroundings.setdefault(_KEPT, JupyterWidgets(given)), show_in_jupyter)
    sys.excepthook = _one_sentence
    return Desk(Widgets(given), surroundings.get("display", show_plainly))


def _choices_of_command_line() -> dict[str, str]:
    pairs = (argument.partition("=") for argument in sys.argv[1:])
    return {name: value for name, equals, value in pairs if equals}


def _one_sentence(kind, error, trace) -> None:
    """A script's last word: of an error that a user can act on the sentence, of any other the trace."""
    if isinstance(error, PagerecError):
        print(error, file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def show_in_jupyter(result: Any) -> None:
    """A sentence as text, a figure as its picture, a frame as Jupyter shows it."""
    from IPython.display import Image, Markdown, display

    if hasattr(result, "savefig"):
        picture = io.BytesIO()
        result.savefig(picture, format="png", dpi=100)
        display(Image(picture.getvalue()))
    else:
        display(Markdown(result) if isinstance(result, str) else result)


def show_plainly(result: Any) -> None:
    """Print a frame or a sentence; save a figure in the current folder, by its name, and print where."""
    if hasattr(result, "savefig"):
        file = Path(f"{result.get_label() or 'notebook'}.png")
        result.savefig(file, dpi=120)
        print(f"figure saved as {file}")
    else:
        print(result.to_string(index=False) if isinstance(result, pd.DataFrame) else result)
