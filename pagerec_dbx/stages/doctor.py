"""`pagerec doctor`: what this machine and this home have and lack. Starts no Spark and changes nothing."""

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from packaging.specifiers import SpecifierSet

from pagerec_dbx.errors import HomeError, KeyFileError
from pagerec_dbx.hashing import VARIABLE, HashingKey
from pagerec_dbx.home import Home, open_home
from pagerec_dbx.spark import on_databricks

# The versions that run together (docs/databricks.md says why); setup.py asks for the same.
FITTING = {
    "pyspark": ">=3.5,<3.6",
    "delta-spark": ">=3.2,<3.3",
    "tensorflow": ">=2.16,<2.17",
    "tf-keras": ">=2.16,<2.17",
    "tensorflow-recommenders": "==0.7.7",
    "horovod": "==0.28.1",
    "petastorm": ">=0.12.1",
    "pyarrow": ">=14,<15",
    "numpy": "<2",
    "pandas": "<3",
    "mlflow": ">=2.13",
}
SHIPPED_WITHOUT_METADATA = ("pyspark", "delta-spark")  # by the cluster's runtime
NEEDED_MEMORY = 6.0  # GB: Spark's driver and two ranks
NEEDED_DISK = 2.0  # GB: a demo's tables, snapshots and models
SET_UP_AGAIN = "Run `make setup`"


@dataclasses.dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    found: str
    remedy: str = ""  # empty where nothing lacks


@dataclasses.dataclass(frozen=True)
class DoctorResult:
    """Everything that was looked at; `ok` if nothing lacks."""

    home: str
    ok: bool
    checks: tuple[Check, ...]

    def to_text(self) -> str:
        """One line a check, and a last line that sums up."""
        width = max(len(check.name) for check in self.checks)
        lines = [
            f"{'ok   ' if check.ok else 'LACKS'} {check.name:<{width}}  {check.found}"
            + (f". {check.remedy}." if check.remedy else "")
            for check in self.checks
        ]
        lacking = ", ".join(check.name for check in self.checks if not check.ok)
        return "\n".join([*lines, f"Lacking: {lacking}." if lacking else "Nothing lacks."])


def doctor(home: Home) -> DoctorResult:
    """Look at the machine and at a home, which need not exist yet."""
    with _engines_importing() as engine_checks:
        checks = [_python(), _memory(), _keras(), *_packages(), *_home_checks(home)]
        if not on_databricks():  # its runtime brings its own Java and Horovod, and needs no compiler
            checks[1:1] = [_java(), _compiler()]
            checks.append(_delta_jars())
        checks += engine_checks()
    return DoctorResult(home.name, all(check.ok for check in checks), tuple(checks))


def _check(name: str, ok: bool, found: str, remedy: str) -> Check:
    return Check(name, ok, found, "" if ok else remedy)


# --- the machine ------------------------------------------------------------------------------------------------------


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return _check("Python", sys.version_info[:2] == (3, 11), version, "pagerec runs on Python 3.11")


def _java() -> Check:
    """Spark's launcher takes JAVA_HOME where it is set, else the PATH's java."""
    folder = os.environ.get("JAVA_HOME")
    program = str(Path(folder, "bin", "java")) if folder else "java"
    remedy = "Install Java 17 (apt-get install openjdk-17-jre-headless) or set JAVA_HOME to the folder of one"
    try:
        said = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=30, check=False).stderr
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("Java", False, f"{program} does not run ({type(error).__name__})", remedy)
    match = re.search(r'version "((\d+)[^"]*)"', said)
    version, major = match.groups() if match else ("of an unknown version", "")
    return _check("Java", major == "17", f"{version} ({program})", remedy)


def _compiler() -> Check:
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++", "c++"]
    found = next(filter(None, map(shutil.which, names)), None)
    return _check("C++ compiler", found is not None, found or f"none of {', '.join(names)}", "apt-get install g++")


def _memory() -> Check:
    total, free = psutil.virtual_memory().total, psutil.virtual_memory().available
    with contextlib.suppress(OSError, ValueError):  # a container's limit; "max" where there is none
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    found = f"{total / 1e9:.1f} GB, {min(total, free) / 1e9:.1f} GB of it free"
    return _check("memory", total / 1e9 >= NEEDED_MEMORY, found, f"Two ranks and Spark need {NEEDED_MEMORY:.0f} GB")


def _delta_jars() -> Check:
    try:
        version = importlib.metadata.version("delta-spark")
    except importlib.metadata.PackageNotFoundError:
        version = "?"
    jar = Path.home() / ".ivy2" / "jars" / f"io.delta_delta-spark_2.12-{version}.jar"
    absent = "not here yet: the first Spark session fetches them from Maven (7 MB)"
    return Check("Delta jars", True, f"{version} in {jar.parent}" if jar.exists() else absent)


# --- the packages -----------------------------------------------------------------------------------------------------


def _packages() -> Iterator[Check]:
    for name, wanted in FITTING.items():
        if on_databricks() and name in SHIPPED_WITHOUT_METADATA:
            continue
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Check(name, False, f"not installed (wanted {wanted})", SET_UP_AGAIN)
            continue
        fits = SpecifierSet(wanted).contains(version, prereleases=True)
        yield _check(name, fits, version if fits else f"{version} (wanted {wanted})", SET_UP_AGAIN)


def _keras() -> Check:
    value = os.environ.get("TF_USE_LEGACY_KERAS", "")
    remedy = "Unset TF_USE_LEGACY_KERAS or set it to 1: with Keras 3 Horovod's ranks train apart without an error"
    return _check("Keras 2 code", value == "1", f"TF_USE_LEGACY_KERAS={value or '(empty)'}", remedy)


HOROVOD_PROBE = (
    "import horovod.tensorflow as h; print('reduces by', 'Gloo' if h.gloo_built() else 'NCCL' * h.nccl_built())"
)
PETASTORM_PROBE = "import petastorm.reader; print('reads')"


@contextlib.contextmanager
def _engines_importing() -> Iterator[Callable[[], list[Check]]]:
    """Import the two engines that fail at run time in processes of their own, while the other checks run."""
    quiet = {**os.environ, "TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    probes = {"Horovod's build": HOROVOD_PROBE, "Petastorm's reader": PETASTORM_PROBE}
    running = {
        name: subprocess.Popen(
            [sys.executable, "-c", code], env=quiet, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for name, code in probes.items()
    }
    try:
        yield lambda: [_engine(name, process) for name, process in running.items()]
    finally:
        for process in running.values():
            process.kill()
            process.wait()


def _engine(name: str, process: subprocess.Popen) -> Check:
    try:
        out, err = process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        return Check(name, False, "did not import within 120 s", SET_UP_AGAIN)
    found, complaint = (text.strip().splitlines()[-1:] or [""] for text in (out, err))
    works = process.returncode == 0 and not found[0].endswith("reduces by")
    return _check(name, works, found[0] if works else (complaint[0] or found[0] or "no word"), SET_UP_AGAIN)


# --- the home ---------------------------------------------------------------------------------------------------------


def _home_checks(home: Home) -> list[Check]:
    return [_layout(home), _key(home), _lock(home), _disk(home)]


def _layout(home: Home) -> Check:
    marker = home.folder / "home.json"
    if not (marker.exists() or home.folder.is_file() or (home.folder / "tables").exists()):
        return Check("home", True, f"{home.name} is not made yet: the first command makes it")
    try:
        open_home(home.name)
    except HomeError as error:
        return Check("home", False, error.what, error.fix or "Choose another --home")
    return Check("home", True, home.name)


def _key(home: Home) -> Check:
    """Where the key would come from; never the key itself."""
    if os.environ.get(VARIABLE):
        return Check("hashing key", True, f"from the variable {VARIABLE}")
    if not home.key_file.exists():
        return Check("hashing key", True, "not made yet: the first command makes it; back it up then")
    try:
        HashingKey(str(home.key_file)).read()
    except KeyFileError as error:
        return Check("hashing key", False, error.what, error.fix)
    mode = home.key_file.stat().st_mode & 0o777
    private = home.in_catalog or mode & 0o077 == 0  # volumes have grants in place of modes
    return _check("hashing key", private, f"{home.key_file}, mode {mode:o}", f"chmod 600 {home.key_file}")


def _lock(home: Home) -> Check:
    """Who writes to the home now; the next writing command clears a lock whose holder is gone."""
    try:
        holder = json.loads((home.folder / "lock.json").read_text(encoding="utf-8"))
        return Check(
            "lock", True, f"held by `pagerec {holder['command']}`, process {holder['pid']} on {holder['host']}"
        )
    except (FileNotFoundError, NotADirectoryError):
        return Check("lock", True, "free")
    except (ValueError, KeyError, TypeError):
        return Check("lock", False, "lock.json is malformed", f"Delete {home.folder / 'lock.json'} if no command runs")


def _disk(home: Home) -> Check:
    folder = next(path for path in (home.folder, *home.folder.parents) if path.is_dir())
    free = shutil.disk_usage(folder).free / 1e9
    if not os.access(folder, os.W_OK):
        return Check("disk", False, f"{folder} cannot be written to", "Choose another --home or change its owner")
    return _check("disk", free >= NEEDED_DISK, f"{free:.1f} GB free for {home.name}", f"Free {NEEDED_DISK:.0f} GB")
