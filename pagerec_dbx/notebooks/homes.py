"""The home that a notebook looks at, and the versions in it."""

import os
import re

from pagerec_dbx.config import settings_from
from pagerec_dbx.errors import HomeError, UnknownVersionError, UsageError
from pagerec_dbx.home import Home
from pagerec_dbx.registry.versions import default_model
from pagerec_dbx.workbench import Workbench

HOME_LABEL = "Home: catalog.schema or a folder"
MODEL_LABEL = "Registered model, without its schema"
_WHERE = "catalog.schema or a home's folder"


def default_home() -> str:
    """What PAGEREC_HOME says, as `make notebooks` does; nothing elsewhere, for every target has a schema of its own."""
    return os.environ.get("PAGEREC_HOME", "")


def open_bench(name: str, model: str | None = None) -> Workbench:
    """What works on a home that exists; nothing is made.

    Args:
        model: registered, without its schema; `default_model` where it is not given.

    Raises:
        HomeError: there is no such home, or none was named.
        UsageError: a model is never named so.
    """
    if not name.strip():
        raise HomeError(
            "no home is chosen",
            wanted=_WHERE,
            fix="Enter it in the widget `home`; docs/databricks.md says what each target has",
        )
    if model is not None and not re.fullmatch(r"[\w-]+", model.strip()):
        raise UsageError(
            "no registered model is named so",
            wanted=f"a name without catalog and schema, as {default_model()}",
            got=repr(model),
            fix="Set the widget `model`",
        )
    home = Home(name.strip())
    if not home.in_catalog and not (home.folder / "home.json").exists():
        raise HomeError(f"{name} is no home", wanted=_WHERE, fix="Set the widget `home`")
    bench = Workbench(home, settings_from({}), model=model and model.strip())
    if home.in_catalog:
        _require_schema(bench)
    return bench


def _require_schema(bench: Workbench) -> None:
    """Raise HomeError unless there is such a schema, as far as this user may know."""
    quoted = ".".join(f"`{part}`" for part in bench.home.name.split("."))
    if not bench.tables.spark.catalog.databaseExists(quoted):
        raise HomeError(
            f"there is no schema {bench.home.name}, or you may not use it",
            wanted="a schema that a bundle has made, with USE CATALOG and USE SCHEMA on it",
            fix="Set the widget `home`; docs/databricks.md says what each target has, and who needs what",
        )


def versions(bench: Workbench) -> list[str]:
    """All registered versions, newest first.

    Raises:
        UnknownVersionError: there is none.
    """
    found = bench.registry.numbers()
    if not found:
        raise UnknownVersionError(
            f"no version of {bench.registry.model_name} is registered",
            wanted="the model of the home's target, in development mode dev_<you>_pagerec",
            fix="Set the widget `model`, or train one with `pagerec train`",
        )
    return found
