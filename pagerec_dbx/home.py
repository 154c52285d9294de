"""A home: where one product instance keeps its tables, snapshots, models and reports.

Locally a home is a folder; on Databricks it is `catalog.schema`, its files in the volume `files` of that schema.
"""

import contextlib
import dataclasses
import json
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from pagerec_dbx.errors import HomeError, KeyFileError, LockedHomeError

LAYOUT = 3  # raised whenever a home written before can no longer be read


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
        return Path(self.name).absolute()

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
        return f"{self.name}.{table}" if self.in_catalog else str(self.folder / "tables" / table)


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
    return json.loads((home.folder / "home.json").read_text(encoding="utf-8")).get("key")


def replace_fingerprint(home: Home, fingerprint: str) -> None:
    """The home's user ids are hashed by another key from now on."""
    marker = home.folder / "home.json"
    content = json.loads(marker.read_text(encoding="utf-8"))
    write_atomically(marker, json.dumps(content | {"key": fingerprint}) + "\n")


def write_atomically(path: Path, text: str) -> None:
    """Write a small file aside and rename it, so that a reader sees the old or the new one, never half."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)


@contextlib.contextmanager
def locked(home: Home, command: str) -> Iterator[None]:
    """Hold the home for one writing command.

    Raises:
        LockedHomeError: another living command holds it; it is named.
    """
    lock = home.folder / "lock.json"
    content = json.dumps({**this_process(), "command": command, "since": time.strftime("%Y-%m-%d %H:%M:%S")})
    _take(lock, content, home)
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            if lock.read_text(encoding="utf-8") == content:  # somebody deleted ours and another command took the home
                lock.unlink()


def _take(lock: Path, content: str, home: Home) -> None:
    """Make the lock file in one step that cannot succeed twice; a stale one is moved out of the way first."""
    aside = lock.with_name(f"{lock.name}.{os.getpid()}")
    try:
        aside.write_text(content, encoding="utf-8")
    except OSError as error:
        raise HomeError(
            f"home {home.name} cannot be written", got=error.strerror, fix="Check its permissions and the disk"
        ) from error
    try:
        for _ in range(3):
            try:
                _put(aside, lock)
                return
            except FileExistsError:
                _remove_stale(lock, home)
    finally:
        aside.unlink(missing_ok=True)
    raise LockedHomeError(f"home {home.name} is being taken by another command", fix="Try again")


def _put(aside: Path, lock: Path) -> None:
    """Make the lock file; FileExistsError where it stands already."""
    try:
        os.link(aside, lock)  # its content is whole from the first moment
    except FileExistsError:
        raise
    except OSError:  # a Databricks volume knows no hard links
        with open(lock, "x", encoding="utf-8") as file:
            file.write(aside.read_text(encoding="utf-8"))


def _remove_stale(lock: Path, home: Home) -> None:
    try:
        text = lock.read_text(encoding="utf-8")
        holder = json.loads(text)
        alive = is_alive(holder, elsewhere=True)
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError):
        raise LockedHomeError(f"lock file {lock} is malformed", fix=f"Delete {lock} if no command is running") from None
    if alive:
        raise LockedHomeError(
            f"home {home.name} is held by `pagerec {holder['command']}` (process {holder['pid']} on {holder['host']}, "
            f"since {holder['since']})",
            fix=f"Wait until it ends; if that machine is gone, delete {lock}",
        )
    grave = lock.with_name(f"{lock.name}.stale.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        lock.rename(grave)  # only one of several waiting commands wins
        if grave.read_text(encoding="utf-8") != text:  # a new holder came in between: give it back
            with contextlib.suppress(FileExistsError):  # unless yet another has taken the home: that one is met next
                _put(grave, lock)
        grave.unlink()


def this_process() -> dict[str, object]:
    """What names this process in a lock or a lease."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": _started(os.getpid())}


def is_alive(holder: Mapping[str, Any], elsewhere: bool) -> bool:
    """Whether the process that `this_process` named still runs; KeyError if it is no such thing.

    Args:
        elsewhere: the answer for a process of another machine, which cannot be seen from here.
    """
    host, pid, started = holder["host"], holder["pid"], holder["started"]
    return elsewhere if host != socket.gethostname() else _started(pid) == started


def _started(pid: int) -> float | None:
    """When a process began, so that a reused process id is not taken for its predecessor; None if there is none."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None
