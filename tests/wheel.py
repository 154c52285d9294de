"""The built wheel in an environment of its own: beside it the packages of this one, without the source tree."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bundle import ROOT

_LIST = """
import importlib.metadata, json
print(json.dumps({found.metadata["Name"]: found.version for found in importlib.metadata.distributions()}))
"""


@dataclasses.dataclass(frozen=True)
class WheelEnvironment:
    """A virtual environment; `folder` holds nothing of the source tree."""

    folder: Path
    wheel: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin/python"

    def run(self, *arguments: object, **variables: str) -> subprocess.CompletedProcess:
        """Its Python with some arguments, in its folder, with further environment variables."""
        command, place = self._call(arguments, variables)
        return subprocess.run(command, **place, capture_output=True, text=True, check=False)

    def start(self, *arguments: object, **variables: str) -> subprocess.Popen:
        """The same in the background, spoken with by pipes; what it says on standard error is in `stderr.log`."""
        command, place = self._call(arguments, variables)
        with (self.folder / "stderr.log").open("w") as log:
            return subprocess.Popen(
                command, **place, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )

    def _call(self, arguments: Sequence[object], variables: Mapping[str, str]) -> tuple[list[str], dict[str, Any]]:
        environment = {**os.environ, "PYSPARK_PYTHON": str(self.python), **variables}
        environment.pop("PYTHONPATH", None)
        return [str(self.python), *map(str, arguments)], {"cwd": self.folder, "env": environment}

    def pip(self, *arguments: object) -> subprocess.CompletedProcess:
        """pip, which sees both environments and no index."""
        return self.run("-m", "pip", *arguments, PIP_NO_INDEX="1", PIP_DISABLE_PIP_VERSION_CHECK="1")

    def versions(self) -> dict[str, str]:
        """Package -> version of all that can be imported."""
        return json.loads(self.run("-c", _LIST).stdout)


def build_wheel(folder: Path) -> Path:
    """The wheel of what git would commit here, as `make wheel` builds it."""
    tree = folder / "tree"
    listed = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split("\0")[:-1]:
        if (ROOT / name).exists():  # neither deleted nor renamed since
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    (tree / ".git").symlink_to(ROOT / ".git")  # for the version; it is only read
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--wheel-dir", "dist"]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, "."], cwd=tree, check=True)
    (wheel,) = (tree / "dist").glob("*.whl")
    kept = shutil.move(wheel, folder)
    shutil.rmtree(tree)
    return Path(kept)


def make_environment(folder: Path, wheel: Path) -> WheelEnvironment:
    """The environment before the wheel is installed: it borrows all packages of the tests' one but ours."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    beside = folder / "beside"
    beside.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "pagerec_dbx" not in entry.name and not entry.name.endswith(".pth"):
            (beside / entry.name).symlink_to(entry)
    (own,) = folder.glob("lib/python*/site-packages")
    (own / "beside.pth").write_text(f"{beside}\n", encoding="utf-8")
    return WheelEnvironment(folder, wheel)
