"""Notebooks executed cell by cell, with widgets that keep a runtime's rules."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

from tests.bundle import ROOT

CUT = "# COMMAND ----------\n"


class RuntimeStandIn:
    """`dbutils.widgets` by the rules that a runtime has where pagerec feels them.

    A widget that exists is left as it is by whoever makes it again; one that is removed and made in one cell stays too;
    what does not exist has no value and cannot be removed, but a job's parameters can be read before it is made.
    """

    def __init__(self, **parameters: str):
        self._parameters, self._values, self._choices = parameters, {}, {}
        self._removed: dict[str, tuple] = {}  # in the cell that runs

    def next_cell(self) -> None:
        self._removed = {}

    def choose(self, name: str, value: str) -> None:
        """By hand."""
        assert set(value.split(",") if self._choices[name] else [value]) <= set(self._choices[name] or [value])
        self._values[name] = value

    def choices(self, name: str) -> list[str]:
        return self._choices[name]

    def text(self, name: str, default: str = "", label: str = "") -> None:
        self._make(name, default, [])

    def dropdown(self, name: str, default: str, choices: Sequence[str], label: str = "") -> None:
        assert default in choices
        self._make(name, default, list(choices))

    multiselect = dropdown

    def get(self, name: str) -> str:
        if name not in self._values and name not in self._parameters:
            raise _not_defined(name)
        return self._values.get(name, self._parameters.get(name))

    def remove(self, name: str) -> None:
        if name not in self._values:
            raise _not_defined(name)
        self._removed[name] = self._values.pop(name), self._choices.pop(name)

    def _make(self, name: str, default: str, choices: list[str]) -> None:
        if name in self._removed:
            self._values[name], self._choices[name] = self._removed.pop(name)
        elif name not in self._values:
            self._values[name], self._choices[name] = self._parameters.get(name, default), choices


def _not_defined(name: str) -> RuntimeError:
    return RuntimeError(f"com.databricks.dbutils_v1.InputWidgetNotDefined: No input widget named {name} is defined")


class OpenNotebook:
    """A notebook attached to a runtime: its cells can be run again and its widgets changed."""

    def __init__(self, source: Path, widgets: RuntimeStandIn):
        self.widgets, self.shown = widgets, []
        dbutils = SimpleNamespace(widgets=widgets)
        self.names = {"__name__": "__main__", "dbutils": dbutils, "display": self.shown.append}
        self._cells = source.read_text(encoding="utf-8").split(CUT)

    def run(self, first: int = 0) -> list:
        """What its cells display, from one of them on."""
        self.shown.clear()
        for cell in self._cells[first:]:
            self.widgets.next_cell()
            exec(compile(cell, "notebook", "exec"), self.names)
        return list(self.shown)


def shown_by(notebook: str, **choices: str) -> list:
    """What a notebook displays with these widget values, in this process."""
    return OpenNotebook(ROOT / f"jobs/notebooks/{notebook}.py", RuntimeStandIn(**choices)).run()
