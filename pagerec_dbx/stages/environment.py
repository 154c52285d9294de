"""Where and with what a run is made, as tags that stand with it."""

import platform
import subprocess
from importlib import metadata
from pathlib import Path

from pagerec_dbx import __version__

_PACKAGES = (
    "tensorflow", "tf-keras", "tensorflow-recommenders", "horovod", "petastorm", "pyarrow", "pyspark", "mlflow"
)  # fmt: skip


def environment() -> dict[str, str]:
    """Where and with what a run was made."""
    versions = {f"version.{name}": _installed(name) for name in _PACKAGES}
    return {"git_commit": _commit(), "python": platform.python_version(), "pagerec_dbx": __version__, **versions}


def _installed(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    """The commit of the package's own checkout; a wheel has none."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return f"wheel {__version__}"
    asked = subprocess.run(
        ["git", "-C", str(folder), "describe", "--always", "--exclude=*", "--abbrev=40", "--dirty"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return asked.stdout.strip() or "unknown"
