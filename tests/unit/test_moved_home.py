"""A home with its registry in another place: what was registered is found there, and what comes is kept there."""

import shutil
from pathlib import Path

import mlflow
import pytest

from pagerec_dbx.errors import RegistryError
from pagerec_dbx.home import Home
from pagerec_dbx.registry import moved, runs
from pagerec_dbx.registry.store import Registry

# MLflow 2 does not decode its database's address; on a cluster, where that is in use, the catalog is the registry.
AWKWARD = "100%41 a longer? name" if int(mlflow.__version__.partition(".")[0]) > 2 else "a longer name"


def a_run_with_a_file(home: Home, file: Path) -> str:
    registry = Registry(home)
    run_id = registry.start_run("a run", {}, {}, {})
    registry.log_run_file(run_id, file, "files")
    return run_id


def files_of(home: Home) -> set[str]:
    root = home.folder / "mlartifacts"
    return {str(path.relative_to(root).parent.name) + "/" + path.name for path in root.rglob("*.txt")}


@pytest.fixture
def file(tmp_path):
    (tmp_path / "words.txt").write_text("words")
    return tmp_path / "words.txt"


@pytest.fixture
def copied(tmp_path, file) -> tuple[Home, Home, str]:
    """A home, its copy in a folder whose name is longer, and a run that both know."""
    (tmp_path / "home").mkdir()
    home, copy = Home(str(tmp_path / "home")), Home(str(tmp_path / AWKWARD))
    a_run_with_a_file(home, file)
    run_id = Registry(home).start_run("another run", {}, {}, {})  # MLflow remembers where those lie that it wrote into
    shutil.copytree(home.folder, copy.folder)
    return home, copy, run_id


def test_a_copy_finds_its_own_files_and_keeps_new_ones_to_itself(copied, tmp_path):
    home, copy, run_id = copied
    (tmp_path / "more.txt").write_text("more")
    Registry(copy).log_run_file(run_id, tmp_path / "more.txt", "files")  # into a run that both have
    a_run_with_a_file(copy, tmp_path / "more.txt")
    assert files_of(home) == {"files/words.txt"}
    assert files_of(copy) == {"files/words.txt", "files/more.txt"}
    info = Registry(copy)._client().get_run(run_id).info
    assert info.artifact_uri == f"{(copy.folder / 'mlartifacts').as_uri()}/{run_id}/artifacts"


def test_a_home_of_any_name_leaves_no_folder_beside_it(tmp_path, file):
    """MLflow makes the folder that the database's URL names, as it stands there."""
    names = {"ä b+c", "plain"}
    for name in sorted(names):
        (tmp_path / "homes" / name).mkdir(parents=True)
        a_run_with_a_file(Home(str(tmp_path / "homes" / name)), file)
    assert {folder.name for folder in (tmp_path / "homes").iterdir()} == names


def test_without_it_a_copy_writes_into_the_home_that_it_came_from(copied, tmp_path, monkeypatch):
    home, copy, run_id = copied
    monkeypatch.setattr(runs, "follow_home", lambda *_: None)
    (tmp_path / "more.txt").write_text("more")
    Registry(copy).log_run_file(run_id, tmp_path / "more.txt", "files")
    assert files_of(home) == {"files/words.txt", "files/more.txt"}


def test_a_database_that_is_none_is_refused(tmp_path):
    (tmp_path / "mlflow.db").write_text("no database " * 100)
    with pytest.raises(RegistryError, match="registry .*mlflow.db cannot be opened.*not a database"):
        moved.follow_home(tmp_path / "mlflow.db", "file:///elsewhere/mlartifacts")
