"""The home that a notebook looks at, and the versions in it."""

from pagerec_dbx.config import settings_from
from pagerec_dbx.errors import HomeError
from pagerec_dbx.home import Home
from pagerec_dbx.workbench import Workbench


def open_bench(name: str) -> Workbench:
    """What works on a home that exists; nothing is made.

    Raises:
        HomeError: there is no such home.
    """
    home = Home(name)
    if not home.in_catalog and not (home.folder / "home.json").exists():
        raise HomeError(f"{name} is no home", wanted="catalog.schema or a home's folder", fix="Set the widget `home`")
    return Workbench(home, settings_from({}))


def versions(bench: Workbench) -> list[str]:
    """All registered versions, newest first."""
    return bench.registry.numbers()
