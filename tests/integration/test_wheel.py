"""What the wheel holds, and what installing it does to the environment it comes into."""

import re
import subprocess
import zipfile

import pytest

from tests.bundle import ROOT
from tests.wheel import WheelEnvironment, build_wheel, make_environment


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def environment(built, tmp_path) -> WheelEnvironment:
    return make_environment(tmp_path / "environment", built)


def test_the_wheel_holds_the_package_and_nothing_else(built):
    """Every file that git would commit below pagerec_dbx/ is there, and beside them the wheel's own description."""
    listed = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "pagerec_dbx"]
    expected = {name for name in subprocess.run(listed, capture_output=True, text=True).stdout.splitlines()
                if (ROOT / name).exists()}  # fmt: skip
    with zipfile.ZipFile(built) as archive:
        names = set(archive.namelist())
        (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
        assert "pagerec = pagerec_dbx.cli:main" in archive.read(entry_points).decode()
    described = {name for name in names if re.match(r"pagerec_dbx-[^/]*\.dist-info/", name)}
    assert names - described == expected
    assert len(expected) > 200


def test_the_wheel_has_its_version_from_git(built):
    commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True).stdout
    version = built.name.split("-")[1]
    tagged = subprocess.run(["git", "-C", str(ROOT), "describe", "--tags", "--exact-match"], capture_output=True)
    if tagged.returncode:  # between two tags the version names the commit
        short = re.search(r"\+g([0-9a-f]+)", version)
        assert short and commit.startswith(short[1])
    assert version != "0.1.0" or not tagged.returncode


def test_installing_the_wheel_changes_no_version_and_leaves_no_conflict(environment):
    """As a cluster installs it, with what it requires: pip would change what does not meet that, or refuse."""
    before = environment.versions()
    assert "pagerec_dbx" not in before  # the source tree is not there
    installed = environment.pip("install", environment.wheel)
    assert installed.returncode == 0, installed.stderr
    after = environment.versions()
    assert after.pop("pagerec_dbx") == environment.wheel.name.split("-")[1]
    assert after == before
    checked = environment.pip("check")
    assert checked.returncode == 0, checked.stdout
    shown = environment.run("-c", "import pagerec_dbx; print(pagerec_dbx.__file__)")
    assert shown.stdout.startswith(str(environment.folder))
    assert environment.run(environment.folder / "bin/pagerec", "--version").stdout.startswith("pagerec")


def test_pip_would_install_the_wheel_and_nothing_beside_it(environment):
    """With its requirements looked at: what is missing or of a wrong version could not be had without an index."""
    planned = environment.pip("install", "--dry-run", environment.wheel)
    assert planned.returncode == 0, planned.stderr
    (last,) = (line for line in planned.stdout.splitlines() if line.startswith("Would install"))
    (only,) = last.removeprefix("Would install ").split()
    assert re.match("pagerec[-_]dbx-", only)


def test_pip_refuses_a_wheel_that_wants_another_version(environment, tmp_path):
    """The control of the test before: one requirement that this environment does not meet."""
    other = tmp_path / environment.wheel.name
    with zipfile.ZipFile(environment.wheel) as good, zipfile.ZipFile(other, "w") as bad:
        for entry in good.infolist():
            data = good.read(entry)
            if entry.filename.endswith(".dist-info/METADATA"):
                data = data.replace(
                    b"Requires-Dist: tf-keras", b"Requires-Dist: numpy >=99\nRequires-Dist: tf-keras", 1
                )
                assert b"numpy >=99" in data
            bad.writestr(entry, data)
    planned = environment.pip("install", "--dry-run", other)
    assert planned.returncode != 0 and "numpy" in planned.stderr
