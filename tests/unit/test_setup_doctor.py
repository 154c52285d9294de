"""`pagerec doctor`: each lack is named with its remedy."""

import os
import subprocess
import sys

import pytest

from pagerec_dbx.hashing import ensure_key
from pagerec_dbx.home import Home
from pagerec_dbx.lock import locked
from pagerec_dbx.stages import doctor as doctor_module
from pagerec_dbx.stages.doctor import FITTING, Check, DoctorResult, doctor


@pytest.fixture(autouse=True)
def no_engines(monkeypatch):
    """The two slow probes print at once what they would."""
    monkeypatch.setattr(doctor_module, "HOROVOD_PROBE", "print('reduces by Gloo')")
    monkeypatch.setattr(doctor_module, "PETASTORM_PROBE", "print('reads')")
    monkeypatch.delenv("PAGEREC_KEY", raising=False)


def found(home: Home, name: str) -> Check:
    (check,) = [check for check in doctor(home).checks if check.name == name]
    return check


def test_doctor_finds_nothing_lacking_here(home):
    result = doctor(home)
    assert [check for check in result.checks if not check.ok] == []
    assert result.ok
    assert {"Python", "Java", "C++ compiler", "memory", "disk", "hashing key", "home", *FITTING} <= {
        check.name for check in result.checks
    }


def test_doctor_makes_no_home(tmp_path):
    assert doctor(Home(str(tmp_path / "new"))).ok
    assert not (tmp_path / "new").exists()


def test_doctor_names_what_lacks_in_its_text():
    result = DoctorResult("h", False, (Check("Python", True, "3.11"), Check("Java", False, "none", "Install Java 17")))
    assert result.to_text().splitlines() == [
        "ok    Python  3.11",
        "LACKS Java    none. Install Java 17.",
        "Lacking: Java.",
    ]


@pytest.mark.parametrize(
    ("variable", "value", "name", "remedy"),
    [
        ("JAVA_HOME", "/nowhere", "Java", "Install Java 17"),
        ("CXX", "g++-99", "C++ compiler", "apt-get install g++"),
        ("TF_USE_LEGACY_KERAS", "0", "Keras 2 code", "set it to 1"),
    ],
)
def test_doctor_names_a_lack_of_the_machine(home, monkeypatch, variable, value, name, remedy):
    monkeypatch.setenv(variable, value)
    result = doctor(home)
    assert not result.ok
    assert [check.name for check in result.checks if not check.ok] == [name]
    assert remedy in result.to_text()


def test_doctor_refuses_another_java(home, monkeypatch, tmp_path):
    java = tmp_path / "java21" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text("#!/bin/sh\necho 'openjdk version \"21.0.1\" 2023-10-17' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(java.parents[1]))
    assert found(home, "Java").found.startswith("21.0.1 ")
    assert not found(home, "Java").ok


@pytest.mark.parametrize(("wanted", "said"), [("<14", "14.0.2 (wanted <14)"), ("<15", "14.0.2")])
def test_doctor_compares_versions(home, monkeypatch, wanted, said):
    monkeypatch.setitem(FITTING, "pyarrow", wanted)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "14.0.2" if name == "pyarrow" else "0")
    assert found(home, "pyarrow").found == said
    assert found(home, "pyarrow").ok == (said == "14.0.2")


def test_doctor_names_a_package_that_is_not_there(home, monkeypatch):
    monkeypatch.setitem(FITTING, "no-such-package", ">=1")
    assert found(home, "no-such-package").found == "not installed (wanted >=1)"


@pytest.mark.parametrize(
    ("probe", "said"),
    [
        ("print('reduces by ')", "reduces by"),
        ("import sys; sys.exit('libtensorflow is gone')", "libtensorflow is gone"),
        ("raise SystemExit(3)", "no word"),
    ],
)
def test_doctor_names_a_horovod_that_does_not_work(home, monkeypatch, probe, said):
    monkeypatch.setattr(doctor_module, "HOROVOD_PROBE", probe)
    assert found(home, "Horovod's build") == Check("Horovod's build", False, said, "Run `make setup`")


def test_doctor_names_too_little_memory_and_disk(home, monkeypatch):
    monkeypatch.setattr(doctor_module, "NEEDED_MEMORY", 1e6)
    monkeypatch.setattr(doctor_module, "NEEDED_DISK", 1e9)
    assert [check.name for check in doctor(home).checks if not check.ok] == ["memory", "disk"]


def test_doctor_looks_at_the_key(home, monkeypatch):
    assert "not made yet" in found(home, "hashing key").found
    ensure_key(home)
    assert found(home, "hashing key").ok
    home.key_file.chmod(0o644)
    assert found(home, "hashing key").remedy == f"chmod 600 {home.key_file}"
    home.key_file.write_text("short")
    assert not found(home, "hashing key").ok
    monkeypatch.setenv("PAGEREC_KEY", "secret words")
    assert found(home, "hashing key") == Check("hashing key", True, "from the variable PAGEREC_KEY")


def test_doctor_never_tells_the_key(home, monkeypatch):
    key, _ = ensure_key(home)
    monkeypatch.setenv("PAGEREC_KEY", "secret words")
    text = doctor(home).to_text()
    assert key.read().decode() not in text
    assert home.key_file.read_text().strip() not in text


def test_doctor_looks_at_the_home(home, tmp_path):
    assert found(home, "home").ok
    (home.folder / "home.json").write_text('{"layout": 99}')
    assert "another version" in found(home, "home").found
    (tmp_path / "file").write_text("")
    assert not found(Home(str(tmp_path / "file")), "home").ok


def test_doctor_says_who_holds_the_home(home):
    assert found(home, "lock").found == "free"
    with locked(home, "train"):
        assert found(home, "lock").found.startswith(f"held by `pagerec train`, process {os.getpid()} on ")
    (home.folder / "lock.json").write_text("{")
    assert not found(home, "lock").ok


def test_doctor_asks_a_cluster_for_no_java_and_no_compiler(home, monkeypatch):
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "15.4")
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    names = {check.name for check in doctor(home).checks}
    assert not names & {"Java", "C++ compiler", "Delta jars", "pyspark"}


def test_doctor_probes_import_the_real_engines():
    """The probes themselves, which the other tests replace."""
    probes = subprocess.run(
        [sys.executable, "-c", "from pagerec_dbx.stages.doctor import *; print(HOROVOD_PROBE); print(PETASTORM_PROBE)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for probe, said in zip(probes, ("reduces by Gloo", "reads"), strict=True):
        done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
        assert done.stdout.strip().splitlines()[-1] == said
