"""A home: where one product instance keeps its tables, snapshots, models and reports.

Locally a home is a folder; on Databricks it is `catalog.schema`, its files in the volume `files` of that schema.
"""

import dataclasses
import json
import os
import re
from pathlib import Path

from pagerec_dbx.errors import HomeError, KeyFileError

LAYOUT = 8  # raised whenever a home written before can no longer be read


@dataclasses.dataclass(frozen=True)
class Home:
    """The addresses of one home; nothing is touched until it is opened."""

    name: str

    @property
    def in_catalog(self) -> bool:
        """True for `catalog.schema` on Databricks, False for a local folder."""
        shaped = re.fullmatch(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", self.name) is not None
        return shaped and "DATABRICKS_RUNTIME_VERSION" in os.environ and not Path(self.name).is_dir()

    @property
    def folder(self) -> Path:
        """The folder of everything that is no table."""
        if self.in_catalog:
            return Path("/Volumes", *self.name.split("."), "files")
        return plain_path(self.name)

    @property
    def snapshots(self) -> Path:
        return self.folder / "snapshots"

    @property
    def reports(self) -> Path:
        return self.folder / "reports"

    @property
    def logs(self) -> Path:
        """What the engines print."""
        return self.folder / "logs"

    @property
    def key_file(self) -> Path:
        return self.folder / "hash.key"

    def table_address(self, table: str) -> str:
        """`catalog.schema.table`, or the folder of a local Delta table."""
        if not self.in_catalog:
            return str(self.folder / "tables" / table)
        # SQL wants a name with a hyphen in backquotes.
        return ".".join(f"`{part}`" if "-" in part else part for part in (*self.name.split("."), table))


def plain_path(path: str | Path) -> Path:
    """The absolute path as Hadoop writes it: without `.`, `..` and doubled slashes; symbolic links stay as they are.

    Spark names a line's file so, and a file that was listed under another spelling would never be found again.
    """
    return Path("/" + os.path.abspath(path).lstrip("/"))


def open_home(name: str, new: bool = True) -> Home:
    """A home that exists and was written by this layout.

    Args:
        new: make one where there is none.

    Raises:
        HomeError: there is none, a file stands in its place, or another version of the package wrote it.
    """
    home = Home(name)
    marker = home.folder / "home.json"
    if home.folder.exists() and not home.folder.is_dir():
        raise HomeError(f"home {name} is no folder", wanted="a folder or a new path", fix="Choose another --home")
    if marker.exists():
        require_layout(home)
        return home
    if home.folder.exists() and (home.folder / "tables").exists():
        raise HomeError(f"home {name} has tables but no home.json", fix="Restore home.json or choose another --home")
    if not new:
        raise HomeError(
            f"there is no home {name}",
            wanted="one that `pagerec ingest` or `pagerec demo` has begun",
            fix="Check --home, or ingest logs first",
        )
    try:
        home.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(marker, json.dumps({"layout": LAYOUT}) + "\n")
    except OSError as error:
        raise HomeError(
            f"home {name} cannot be written",
            wanted="a folder that you may write to",
            got=error.strerror or type(error).__name__,
            fix="Check its permissions or choose another --home",
        ) from error
    return home


def require_layout(home: Home) -> None:
    """Refuse a home that another version of the package wrote; one that does not exist yet is fine.

    Raises:
        HomeError: another layout, or a marker that is none.
    """
    marker = home.folder / "home.json"
    if not marker.exists():
        return
    try:
        layout = json.loads(marker.read_text(encoding="utf-8"))["layout"]
    except (ValueError, KeyError, TypeError) as error:
        raise HomeError(
            f"{marker} is malformed",
            wanted=f'{{"layout": {LAYOUT}}}',
            got=str(error),
            fix="Write that line into it if this version made the home, or choose another --home",
        ) from error
    if layout != LAYOUT:
        raise HomeError(
            f"home {home.name} was written by another version of pagerec",
            wanted=f"layout {LAYOUT}",
            got=f"layout {layout}",
            fix="Use the version that wrote it, or start a new home with --home",
        )


def require_same_key(home: Home, fingerprint: str) -> None:
    """Keep by which key the home's user ids are hashed, and refuse another one.

    Raises:
        KeyFileError: the home's ids were hashed by another key, so that a viewer would become two.
    """
    kept = key_fingerprint(home)
    if kept is None:
        replace_fingerprint(home, fingerprint)
    elif kept != fingerprint:
        raise KeyFileError(
            f"the hashing key is not the one that home {home.name} was made with",
            wanted=f"the key with the fingerprint {kept}",
            got=fingerprint,
            fix="Restore hash.key or PAGEREC_KEY from its backup",
        )


def key_fingerprint(home: Home) -> str | None:
    """By which key the home's user ids are hashed; None before any was."""
    return _facts(home).get("key")


def replace_fingerprint(home: Home, fingerprint: str) -> None:
    """The home's user ids are hashed by another key from now on."""
    _keep_fact(home, "key", fingerprint)


def is_simulated(home: Home) -> bool:
    """Whether any logs of the home came from a simulated world: its figures are called simulated then."""
    return _facts(home).get("simulated", False)


def mark_simulated(home: Home) -> None:
    """Keep that the home holds logs of a simulated world; this is never taken back."""
    if not is_simulated(home):
        _keep_fact(home, "simulated", True)


def _facts(home: Home) -> dict:
    """What home.json says; nothing where there is none."""
    marker = home.folder / "home.json"
    return json.loads(marker.read_text(encoding="utf-8")) if marker.exists() else {}


def _keep_fact(home: Home, name: str, value: object) -> None:
    write_atomically(home.folder / "home.json", json.dumps(_facts(home) | {name: value}) + "\n")


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file aside and rename it, so that a reader sees the old or the new one, never half."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    aside.replace(path)
