"""`ingest` on paths that are spelt in another way than Spark spells them: every file is read once, by the stream."""

import os
from pathlib import Path

import pytest

from pagerec_dbx.config import IngestSettings
from pagerec_dbx.errors import LogsError
from pagerec_dbx.hashing import ensure_key
from pagerec_dbx.home import open_home
from pagerec_dbx.pipelines import files
from pagerec_dbx.schemas import INGESTED_FILES, PAGE_VIEWS
from pagerec_dbx.stages.ingest import IngestResult, ingest
from pagerec_dbx.tables import Tables
from tests.log_lines import NOW, service, write

ONE = IngestResult(read=1, good=1, quarantined=0, files=1)


def _ingest(spark, home, logs) -> tuple[Tables, IngestResult]:
    tables = Tables(spark, open_home(str(home)))
    key, _ = ensure_key(tables.home, derived_from_seed=1)
    return tables, ingest(tables, Path(logs), key, IngestSettings(), NOW)


@pytest.mark.slow
def test_every_spelling_of_one_folder_is_that_folder(spark, tmp_path, monkeypatch, capsys):
    """The first has `..` in both paths, and each later one finds what those before it have read."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    for number, spelt in enumerate(("a/../logs", "./logs/./")):
        write(tmp_path / "logs", "service_logs", [service(f"q{number}", seconds=60 * number)], f"{number}.jsonl")
        tables, result = _ingest(spark, "a/../home", spelt)
        assert result == ONE
    listed = {row["file"] for row in tables.read(INGESTED_FILES).collect()}
    assert listed == {str(tmp_path / "logs" / "service_logs" / f"{number}.jsonl") for number in range(2)}
    assert tables.read(PAGE_VIEWS).count() == 2
    assert "without the stream" not in capsys.readouterr().err


def test_a_folder_behind_symbolic_links_is_read_by_the_stream(spark, tmp_path, capsys):
    write(tmp_path / "real", "elsewhere", [service()])
    (tmp_path / "real" / "service_logs").symlink_to("elsewhere")
    (tmp_path / "link").symlink_to("real")
    tables, result = _ingest(spark, tmp_path / "home", tmp_path / "link")
    assert result == ONE and tables.read(PAGE_VIEWS).count() == 1
    assert "without the stream" not in capsys.readouterr().err


@pytest.mark.slow
def test_a_path_as_it_was_given_is_never_found_again(spark, tmp_path, monkeypatch):
    """The negative control: with `..` left in it no line is of a file that was listed."""
    (tmp_path / "a").mkdir()
    write(tmp_path / "logs", "service_logs", [service()])
    monkeypatch.setattr(files, "plain_path", lambda path: Path(os.fspath(path)))
    with pytest.raises(LogsError, match="lines that are in no table"):
        _ingest(spark, tmp_path / "home", tmp_path / "a" / ".." / "logs")
