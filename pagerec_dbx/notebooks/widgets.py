"""`dbutils.widgets` without Databricks: the same calls in Jupyter, and in a script that is given its values.

Both know one call more than it, which `desk` asks of a runtime's widgets, too: `before`.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pagerec_dbx.errors import UsageError

_WIDE = {"description_width": "24em"}


class Widgets:
    """`dbutils.widgets` of a script: the same calls, values given beforehand, choices checked."""

    def __init__(self, values: Mapping[str, str] | None = None):
        self._given = dict(values or {})
        self._values: dict[str, str] = {}

    def before(self, name: str, choices: Sequence[str]) -> str | None:
        """The value given for a widget; None where there is none.

        Args:
            choices: it is about to be made with these.
        """
        return self._given.get(name)

    def text(self, name: str, defaultValue: str = "", label: str = "") -> None:
        """A field for any text."""
        self._values[name] = self._given.get(name, defaultValue)

    def dropdown(self, name: str, defaultValue: str, choices: Sequence[str], label: str = "") -> None:
        """One of the choices.

        Raises:
            UsageError: the default or the given value is none of them.
        """
        require_choices(name, [defaultValue, self._given.get(name, defaultValue)], choices)
        self._values[name] = self._given.get(name, defaultValue)

    def multiselect(self, name: str, defaultValue: str, choices: Sequence[str], label: str = "") -> None:
        """Some of the choices; `get` gives them with commas between.

        Raises:
            UsageError: the default or a given value is none of them.
        """
        given = self._given.get(name, defaultValue)
        require_choices(name, [defaultValue, *given.split(",")], choices)
        self._values[name] = given

    def get(self, name: str) -> str:
        """The value of a widget.

        Raises:
            UsageError: the notebook made no such widget.
        """
        if name not in self._values:
            raise _no_widget(name, self._values)
        return self._values[name]


class JupyterWidgets:
    """One control a name; a cell that is run again keeps its value where that still is a choice.

    Args:
        values: what controls show at first, by name, in place of their defaults.
    """

    def __init__(self, values: Mapping[str, str] | None = None):
        self._given = dict(values or {})
        self._controls: dict[str, Any] = {}

    def before(self, name: str, choices: Sequence[str]) -> str | None:
        """The value of a control, or given for it before there is one; None where there is none.

        Args:
            choices: it is about to be made with these.
        """
        return self.get(name) if name in self._controls else self._given.get(name)

    def text(self, name: str, defaultValue: str = "", label: str = "") -> None:
        """A field for any text."""
        import ipywidgets

        if name not in self._controls:
            self._controls[name] = ipywidgets.Text(value=self._given.get(name, defaultValue), continuous_update=False)
        self._draw(name, label)

    def dropdown(self, name: str, defaultValue: str, choices: Sequence[str], label: str = "") -> None:
        """One of the choices.

        Raises:
            UsageError: the default or the given value is none of them.
        """
        import ipywidgets

        given = self._given.get(name, defaultValue)
        control, before = self._offer(name, ipywidgets.Dropdown, given, defaultValue, choices)
        control.value = before if before in choices else defaultValue
        self._draw(name, label)

    def multiselect(self, name: str, defaultValue: str, choices: Sequence[str], label: str = "") -> None:
        """Some of the choices; `get` gives them with commas between.

        Raises:
            UsageError: the default or a given value is none of them.
        """
        import ipywidgets

        given = self._given.get(name, defaultValue).split(",")
        control, before = self._offer(name, ipywidgets.SelectMultiple, given, defaultValue, choices)
        control.rows = min(6, max(2, len(choices)))
        control.value = tuple(value for value in before if value in choices) or (defaultValue,)
        self._draw(name, label)

    def get(self, name: str) -> str:
        """The value of a control.

        Raises:
            UsageError: the notebook made no such control.
        """
        if name not in self._controls:
            raise _no_widget(name, self._controls)
        value = self._controls[name].value
        return value if isinstance(value, str) else ",".join(value)

    def _offer(self, name: str, kind: Any, given: str | list[str], default: str, choices: Sequence[str]):
        """The control with these choices, made with what is given if it is new, and what it had until now."""
        require_choices(name, [default], choices)
        if name not in self._controls:
            require_choices(name, [given] if isinstance(given, str) else given, choices)
            self._controls[name] = kind(options=choices, value=given)
        control = self._controls[name]
        before = control.value
        control.options = tuple(choices)
        return control, before

    def _draw(self, name: str, label: str) -> None:
        from IPython.display import display

        control = self._controls[name]
        control.description, control.style, control.layout.width = label or name, _WIDE, "56em"
        display(control)


def in_jupyter() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and hasattr(shell, "kernel")


def require_choices(name: str, values: Iterable[str], choices: Sequence[str]) -> None:
    """Refuse a value that is no choice.

    Raises:
        UsageError: one of them is none.
    """
    for value in values:
        if value not in choices:
            raise UsageError(
                f"widget `{name}` has no such choice",
                wanted=f"one of {list(choices)}",
                got=repr(value),
                fix=f"Give one of them, as in {name}={choices[0]}",
            )


def _no_widget(name: str, known: Iterable[str]) -> UsageError:
    return UsageError(
        f"no widget `{name}`", wanted=f"one of {sorted(known)}", fix="Run the notebook from its first cell on"
    )
