"""The baselines there are: every module of this package that has a `BASELINE`, under the module's name."""

import functools
import importlib
import pkgutil
from collections.abc import Mapping, Sequence

from pagerec_dbx import baselines
from pagerec_dbx.baselines.protocol import Baseline
from pagerec_dbx.errors import UnknownBaselineError
from pagerec_dbx.evaluation.protocols import BASELINE_PREFIX


@functools.cache
def all_baselines() -> Mapping[str, Baseline]:
    """By name, in the order of the names; engines are imported when one is fitted."""
    names = sorted(module.name for module in pkgutil.iter_modules(baselines.__path__))
    modules = {name: importlib.import_module(f"{baselines.__name__}.{name}") for name in names}
    return {name: module.BASELINE for name, module in modules.items() if hasattr(module, "BASELINE")}


def require_baselines(names: Sequence[str]) -> dict[str, Baseline]:
    """Those asked for, each once, with or without `baseline:` before the name; all where none is.

    Raises:
        UnknownBaselineError: no file makes one of them.
    """
    known = all_baselines()
    asked = list(dict.fromkeys(name.removeprefix(BASELINE_PREFIX) for name in names))
    for name in asked:
        if name not in known:
            raise UnknownBaselineError(
                f"unknown baseline `{name}`", wanted="some of " + ", ".join(known), fix="Name none for all of them"
            )
    return {name: known[name] for name in asked or known}
