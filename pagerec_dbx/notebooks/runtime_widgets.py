"""A runtime's own widgets, made so that their choices can follow another widget."""

from collections.abc import Callable, MutableMapping, Sequence
from typing import Any


class RuntimeWidgets:
    """`dbutils.widgets` with choices that change.

    Whoever makes a widget under a name that exists changes nothing, its choices neither; and one that is removed and
    made in the same cell stays as it was. So `before` removes it in one cell, and a later cell makes it.

    Args:
        widgets: dbutils.widgets.
        made: choices by widget, of those that were made; kept by the notebook while cells are run again.
    """

    def __init__(self, widgets: Any, made: MutableMapping[str, tuple[str, ...]]):
        self._widgets, self._made = widgets, made

    def before(self, name: str, choices: Sequence[str]) -> str | None:
        """The value of a widget, or of the job's parameter by that name; None where there is neither.

        A widget with other choices than these, or with unknown ones, is removed.
        """
        value = _unless_missing(self._widgets.get, name)
        if value is not None and self._made.get(name) != tuple(choices):
            _unless_missing(self._widgets.remove, name)
        return value

    def text(self, name: str, defaultValue: str = "", label: str = "") -> None:
        """A field for any text."""
        self._widgets.text(name, defaultValue, label)

    def dropdown(self, name: str, defaultValue: str, choices: Sequence[str], label: str = "") -> None:
        """One of the choices."""
        self._made[name] = tuple(choices)
        self._widgets.dropdown(name, defaultValue, list(choices), label)

    def multiselect(self, name: str, defaultValue: str, choices: Sequence[str], label: str = "") -> None:
        """Some of the choices; `get` gives them with commas between."""
        self._made[name] = tuple(choices)
        self._widgets.multiselect(name, defaultValue, list(choices), label)

    def get(self, name: str) -> str:
        """The value of a widget."""
        return self._widgets.get(name)


def _unless_missing(call: Callable[[str], Any], name: str) -> Any:
    """What is said of a widget; None where there is no such widget."""
    try:
        return call(name)
    except Exception as error:  # Java's InputWidgetNotDefined, which has no class in Python
        if "InputWidgetNotDefined" not in str(error) and "No input widget named" not in str(error):
            raise
        return None
