"""`pagerec ingest --dry-run`: what would arrive, and nothing written."""

from pathlib import Path

import pytest

from pagerec_dbx.hashing import VARIABLE, user_hash
from pagerec_dbx.stages import dry_run
from tests import strange_company
from tests.commands import run
from tests.log_lines import click, service, write

SECRET = "7a" * 32


@pytest.fixture
def logs(tmp_path, monkeypatch) -> Path:
    monkeypatch.delenv(VARIABLE, raising=False)
    folder = tmp_path / "logs"
    pages = [service(f"q{number}", "ann-of-somewhere") for number in range(12)]
    write(
        folder, "service_logs", ["", pages[0], service("bad", "ann-of-somewhere", candidates=[]), *pages[1:]], "a.jsonl"
    )
    write(folder, "service_logs", pages, "b.jsonl")
    write(folder, "click_logs", [click(user_id="ann-of-somewhere")], "a.jsonl.gz")
    write(folder, "click_logs", [click(row="\x1b[2J", user_id="bob")], "b.jsonl")
    return folder


def _everything(folder: Path) -> set:
    return {(path.relative_to(folder), path.stat().st_mtime_ns) for path in folder.rglob("*")}


def _ingest(logs: Path, home: Path, *arguments: str):
    return run("ingest", "--home", str(home), "--logs", str(logs), "--dry-run", *arguments)


def test_dry_run_shows_the_first_ten_records_of_each_source(spark, logs, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "hash.key").write_text(SECRET)
    before = _everything(tmp_path)
    ran = _ingest(logs, home, "--json")
    assert ran.code == 0 and _everything(tmp_path) == before
    assert ran.json["throw_away_key"] is False and set(ran.json["sources"]) == {"service_logs", "click_logs"}
    service_logs = ran.json["sources"]["service_logs"]
    assert (service_logs["files"], service_logs["refused"], len(service_logs["records"])) == (2, 1, 10)
    first, bad = service_logs["records"][:2]
    ann = user_hash(SECRET.encode(), "ann-of-somewhere")
    assert (first["reason"], first["request_id"], first["user_hash"]) == (None, "q0", ann)
    assert first["served_at"] == "2024-01-01T00:00:00.000000Z" and len(first["menu"]) == 3
    assert first["file"] == str(logs / "service_logs" / "a.jsonl")
    assert bad["reason"] == "empty_menu" and ann in bad["raw"] and "menu" not in bad
    assert "somewhere" not in ran.out
    clicks = ran.json["sources"]["click_logs"]["records"]
    assert [Path(record["file"]).name for record in clicks] == ["a.jsonl.gz", "b.jsonl"]


def test_dry_run_without_a_home_makes_none_and_says_so(spark, logs, tmp_path):
    before = _everything(tmp_path)
    ran = _ingest(logs, tmp_path / "home")
    assert ran.code == 0 and _everything(tmp_path) == before
    assert "Nothing was written" in ran.out and "no hashing key yet" in ran.out
    assert "service_logs/ (2 files, default field names): 10 records, 1 refused" in ran.out
    assert "REFUSED: empty_menu" in ran.out and 'request_id: "q0"' in ran.out
    assert "\x1b" not in ran.out  # what stands in a log must not reach the terminal as it is


def test_ingest_itself_does_make_a_home(spark, tmp_path, monkeypatch):
    # the control of the tests above: they would notice what a run writes
    monkeypatch.delenv(VARIABLE, raising=False)
    write(tmp_path / "logs", "titles", [{"title_id": "t"}])
    before = _everything(tmp_path)
    assert run("ingest", "--home", str(tmp_path / "home"), "--logs", str(tmp_path / "logs")).code == 0
    assert _everything(tmp_path) != before and (tmp_path / "home" / "hash.key").exists()


def test_dry_run_shows_what_a_mapping_makes_of_the_lines(spark, logs, tmp_path):
    write(logs, "service_logs", [strange_company.strange_service(service("strange"))], "0.jsonl")
    mapping = tmp_path / "mapping.yml"
    mapping.write_text(strange_company.MAPPING_TEXT)
    ran = _ingest(logs, tmp_path / "home", "--json", "--mapping", str(mapping))
    sample = ran.json["sources"]["service_logs"]
    assert sample["mapped"] and sample["refused"] == 9  # the others have the default form
    assert sample["records"][0]["request_id"] == "strange"
    assert sample["records"][1]["reason"] == "missing_request_id"


def test_dry_run_reads_no_more_than_it_shows(spark, logs, tmp_path, monkeypatch):
    read = []
    real = dry_run._lines
    monkeypatch.setattr(dry_run, "_lines", lambda path, longest: (read.append(path.name), *real(path, longest))[1:])
    assert _ingest(logs, tmp_path / "home").code == 0
    assert read == ["a.jsonl", "a.jsonl.gz", "b.jsonl"]  # of the pages b.jsonl is not opened


@pytest.mark.parametrize(
    ("content", "name", "shown"),
    [
        (b"\xef\xbb\xbf{}\n\n \r\n{}", "a.jsonl", [b"{}", b"{}"]),
        (b"x" * 100 + b"\n{}\n", "a.jsonl", [b"x" * 12, b"{}"]),  # ten bytes may be read, and two more
        (b"", "a.jsonl", []),
        (b"no gz", "a.jsonl.gz", [None]),
    ],
)
def test_lines_are_read_as_spark_reads_them(tmp_path, content, name, shown):
    (tmp_path / name).write_bytes(content)
    assert list(dry_run._lines(tmp_path / name, longest=10)) == shown


def test_dry_run_shows_a_file_that_is_no_gz(spark, logs, tmp_path):
    (logs / "click_logs" / "a.jsonl.gz").write_bytes(b"no gz")
    records = _ingest(logs, tmp_path / "home", "--json").json["sources"]["click_logs"]["records"]
    assert sorted((Path(record["file"]).name, record["reason"]) for record in records) == [
        ("a.jsonl.gz", "unreadable_file"),
        ("b.jsonl", None),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("service_logs: {userid: a}", "`service_logs` has an unknown field `userid`: wanted `user_id`, perhaps."),
        ("service_logs: {user_id: null}", "`service_logs.user_id` is mapped to nothing"),
        (None, "mapping.yml cannot be read: wanted a YAML file"),
    ],
)
@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_a_wrong_mapping_ends_in_one_line(logs, tmp_path, text, words, dry):
    mapping = tmp_path / "mapping.yml"
    if text is not None:
        mapping.write_text(text)
    ran = run("ingest", "--home", str(tmp_path / "home"), "--logs", str(logs), "--mapping", str(mapping), *dry)
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err and len(ran.err.splitlines()) == 1


def test_help_names_the_options():
    out = run("ingest", "--help").out
    assert "--mapping" in out and "--dry-run" in out and "--mapping mapping.yml --dry-run" in out
