"""Set-up: what the check of the machine says, what the lock holds, what make does the second time."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("sh", "sed", "head", "awk", "df", "dirname")  # what the check itself is made of


@pytest.fixture
def machine(tmp_path):
    """Runs the check with nothing on the PATH but its own tools and the given programs; returns (code, out, err)."""

    def check(programs: dict[str, str], **variables: str):
        folder = tmp_path / "bin"
        folder.mkdir()
        for tool in set(TOOLS) - set(programs):
            (folder / tool).symlink_to(shutil.which(tool))
        for name, text in programs.items():
            (folder / name).write_text(f"#!/bin/sh\n{text}\n")
            (folder / name).chmod(0o755)
        done = subprocess.run(
            [folder / "sh", ROOT / "tools/check_machine.sh", tmp_path / "venv"],
            env={"PATH": str(folder), **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout.strip(), done.stderr.strip().splitlines()

    return check


PYTHON = f'exec {sys.executable} "$@"'
JAVA_17 = "echo 'openjdk version \"17.0.9\" 2023-10-17' >&2"
JAVA_21 = "echo 'openjdk version \"21.0.1\" 2023-10-17' >&2"
WHOLE = {"python3.11": PYTHON, "java": JAVA_17, "g++": "exit 0"}


def test_check_accepts_a_whole_machine(machine):
    assert machine(WHOLE) == (0, "python3.11", [])


def test_check_takes_a_python3_that_is_3_11(machine):
    assert machine({"python3": PYTHON, "java": JAVA_17, "clang++": "exit 0"}) == (0, "python3", [])


@pytest.mark.parametrize(
    ("changed", "variables", "said"),
    [
        ({"python3.11": "exit 127"}, {}, "Python 3.11 is missing (python3 is not there)"),
        ({"python3.11": "exit 127", "python3": "echo Python 3.9.1; exit 1"}, {}, "(python3 is Python 3.9.1)"),
        ({}, {"PYTHON": "nothing"}, "Python 3.11 is missing (nothing is not there)"),
        ({"python3.11": 'case "$2" in *ensurepip*) exit 1 ;; esac'}, {}, "apt-get install python3.11-venv"),
        ({"java": "exit 127"}, {}, "Java 17 is missing (java is not there)"),
        ({"java": JAVA_21}, {}, "Java 17 is missing (java is version 21)"),
        ({}, {"JAVA_HOME": "/nowhere"}, "Java 17 is missing (/nowhere/bin/java is not there)"),
        ({"g++": None}, {}, "a C++ compiler is missing (looked for g++, clang++, c++)"),
        ({}, {"CXX": "g++-99"}, "a C++ compiler is missing (looked for g++-99)"),
        ({"df": "echo; echo disk 9 9 1000 9 /"}, {}, "1 MB free, setting up needs 5000 MB"),
    ],
)
def test_check_says_in_one_line_what_lacks(machine, changed, variables, said):
    programs = {name: text for name, text in {**WHOLE, **changed}.items() if text is not None}
    code, out, lines = machine(programs, **variables)
    assert (code, out) == (1, "")
    assert len(lines) == 1
    assert said in lines[0]


def test_check_says_everything_at_once(machine):
    code, _, lines = machine({})
    assert code == 1
    assert len(lines) == 3


LOCKS = pytest.mark.parametrize("lock", ["requirements", "requirements-runtime"])


def lock_entries(lock: str) -> dict[str, tuple[str, int]]:
    """Package -> (version, number of hashes)."""
    entries = {}
    for block in re.split(r"\n(?=[A-Za-z0-9])", (ROOT / f"{lock}.lock").read_text()):
        match = re.match(r"([A-Za-z0-9._-]+)==(\S+)", block)
        if match:
            entries[match[1].lower().replace("_", "-")] = (match[2], block.count("--hash=sha256:"))
    return entries


@LOCKS
def test_lock_pins_everything_asked_for_with_hashes(lock):
    entries = lock_entries(lock)
    assert all(hashes for _, hashes in entries.values())
    wanted = [line for line in (ROOT / f"{lock}.in").read_text().splitlines() if re.match("[a-z]", line)]
    for line in wanted:
        name, pin = re.match(r"([a-z0-9-]+)(?:==(\S+))?", line).groups()
        assert name in entries, name
        assert pin in (None, entries[name][0])


@LOCKS
def test_lock_names_no_address_and_no_path(lock):
    text = (ROOT / f"{lock}.lock").read_text() + (ROOT / "Makefile").read_text()
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links|/(tmp|home|root)/", text)


def requirements() -> dict[str, list[str]]:
    """setup.py's lists, read without running setup."""
    names = {}
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id in ("BASE", "LOCAL", "TUNE", "NOTEBOOKS"):
            names[node.targets[0].id] = ast.literal_eval(node.value)
    return names


# Import name -> distribution, where they differ.
DISTRIBUTIONS = {"yaml": "pyyaml", "tf_keras": "tf-keras", "sklearn": "scikit-learn", "delta": "delta-spark"}
DISTRIBUTIONS["IPython"] = "ipython"
SHIPPED_WITH_OTHERS = {"packaging", "py4j", "markupsafe"}  # by MLflow, Spark and Jinja


def test_wheel_asks_only_for_what_the_runtime_lacks():
    assert [re.split("[=<>]", line)[0] for line in requirements()["BASE"]] == ["tensorflow-recommenders", "tf-keras"]


def test_setup_declares_every_imported_package():
    from tests.unit.test_layers import PACKAGE, imports_of

    declared = {re.split("[=<>]", line)[0] for lines in requirements().values() for line in lines}
    engines = {found.engine for found in imports_of(PACKAGE)} - set(sys.stdlib_module_names) - {"pagerec_dbx"}
    imported = {DISTRIBUTIONS.get(name, name.replace("_", "-")) for name in engines} - SHIPPED_WITH_OTHERS
    assert imported <= declared, imported - declared


def test_setup_and_doctor_ask_for_the_same_versions():
    from pagerec_dbx.stages.doctor import FITTING

    asked = {}
    for line in sum(requirements().values(), []):
        name, versions = re.match(r"([a-z0-9-]+)(.*)", line).groups()
        asked[name] = versions
    assert {name: asked[name] for name in FITTING} == FITTING


def make(*arguments: str) -> subprocess.CompletedProcess:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(["make", "-C", ROOT, *arguments], capture_output=True, text=True, check=False, env=clean)


def test_make_alone_prints_the_targets():
    out = make().stdout
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"help", "setup", "demo", "test", "test-slow", "lint", "bench-data", "wheel", "clean"} <= set(targets)
    assert all(f"make {target}" in out for target in targets)


def test_make_does_no_work_the_second_time_and_again_after_a_change(tmp_path):
    for stamp in (".locked", ".linked"):
        (tmp_path / stamp).touch()
    asked = ["--question", "setup", f"VENV={tmp_path}"]
    assert make(*asked).returncode == 0
    assert make("--what-if=requirements.lock", *asked).returncode == 1
    assert make("--what-if=setup.py", *asked).returncode == 1


def test_make_hands_the_events_to_the_demo():
    out = make("--dry-run", "demo", "EVENTS=pages.jsonl.gz").stdout
    assert 'pagerec demo --home "demo-events" --events "pages.jsonl.gz"' in out
    assert "--events" not in make("--dry-run", "demo").stdout


def test_install_overwrites_no_foreign_folder(tmp_path):
    (tmp_path / "letters.txt").write_text("dear")
    done = subprocess.run(
        ["sh", ROOT / "tools/install.sh", sys.executable, tmp_path, "requirements.lock"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 1
    assert "is no virtual environment and will not be overwritten" in done.stderr
    assert (tmp_path / "letters.txt").exists()
