"""What `train` does before and after its ranks, without any."""

import pytest

from pagerec_dbx.home import Home
from pagerec_dbx.stages import train


@pytest.fixture
def in_catalog(monkeypatch) -> Home:
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "15.4")
    return Home("main.pagerec")


def test_a_process_has_one_folder_for_its_ranks_words_and_none_for_one_rank(in_catalog, tmp_path, monkeypatch):
    made = []

    def mkdtemp(prefix):
        made.append(tmp_path / prefix)
        return str(made[-1])

    monkeypatch.setattr(train.tempfile, "mkdtemp", mkdtemp)
    train._local_folder.cache_clear()
    train._log_folder(in_catalog, 1)
    assert made == []
    assert [train._log_folder(in_catalog, 2) for _ in range(2)] == made * 2 and len(made) == 1
    train._local_folder.cache_clear()  # what this test made is gone for the next one


def test_on_a_disk_of_one_s_own_the_ranks_words_are_in_the_home(tmp_path):
    assert train._log_folder(Home(str(tmp_path)), 2) == tmp_path / "logs"
