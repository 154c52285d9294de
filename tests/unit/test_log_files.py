"""What is found in a logs folder, and how its bytes are counted."""

import gzip
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagerec_dbx.errors import LogsError
from pagerec_dbx.pipelines.files import count_lines, inspect, list_log_files, require_unchanged
from tests.log_lines import write


def test_list_log_files_takes_the_known_folders_and_endings_in_order(tmp_path):
    write(tmp_path, "click_logs", ["{}"], "b.jsonl")
    write(tmp_path, "click_logs", ["{}"], "a.jsonl.gz")
    write(tmp_path, "click_logs", ["{}"], ".half-written.jsonl")
    write(tmp_path, "click_logs", ["{}"], "notes.txt")
    write(tmp_path, "truth", ["{}"])
    write(tmp_path, "service_logs", ["{}"])
    found = [(file.source, os.path.basename(file.path)) for file in list_log_files(tmp_path)]
    assert found == [("service_logs", "part-0.jsonl"), ("click_logs", "a.jsonl.gz"), ("click_logs", "b.jsonl")]


@pytest.mark.parametrize("make", [lambda folder: None, lambda folder: (folder / "truth").mkdir(parents=True)])
def test_list_log_files_refuses_a_folder_without_logs(tmp_path, make):
    make(tmp_path / "logs")
    with pytest.raises(LogsError, match="service_logs/.*Check --logs"):
        list_log_files(tmp_path / "logs")


def test_list_log_files_refuses_a_name_that_spark_would_pass_over(tmp_path):
    write(tmp_path, "rows", ["{}"], "_rows.jsonl")
    with pytest.raises(LogsError, match="_rows.jsonl begins with an underscore.*Rename it"):
        list_log_files(tmp_path)


def test_list_log_files_refuses_a_name_that_spark_cannot_read(tmp_path):
    write(tmp_path, "rows", ["{}"], "2024-01-01T10:00:00.jsonl")
    with pytest.raises(LogsError, match="2024-01-01T10:00:00.jsonl has a colon in its name.*Rename it"):
        list_log_files(tmp_path)


def test_list_log_files_refuses_a_folder_in_place_of_a_file(tmp_path):
    (tmp_path / "rows" / "folder.jsonl").mkdir(parents=True)
    with pytest.raises(LogsError, match="folder.jsonl cannot be read: wanted a file"):
        list_log_files(tmp_path)


def test_list_log_files_refuses_a_link_to_nothing(tmp_path):
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "gone.jsonl").symlink_to(tmp_path / "nothing")
    with pytest.raises(LogsError, match="gone.jsonl cannot be read: got No such file"):
        list_log_files(tmp_path)


@pytest.mark.parametrize(
    "change, names",
    [(lambda path: path.write_text("{}{}"), "size"), (lambda path: os.utime(path, (1, 1)), "modification time")],
)
def test_require_unchanged_names_a_file_that_changed(tmp_path, change, names):
    path = write(tmp_path, "rows", ["{}"])
    (file,) = list_log_files(tmp_path)
    require_unchanged(file)
    change(path)
    with pytest.raises(LogsError, match=f"changed its {names} after it was read"):
        require_unchanged(file)


@given(st.lists(st.text(alphabet="ab \t\r\n\x0b\x0c", max_size=12).map(str.encode), max_size=6))
def test_count_lines_is_the_same_however_the_bytes_are_cut(chunks):
    whole = b"".join(chunks)
    blank = b" \t\r\x0b\x0c"
    wanted = sum(bool(line.strip(blank)) for line in whole.split(b"\n"))
    assert count_lines(chunks) == count_lines([whole]) == wanted


def test_count_lines_passes_over_a_byte_order_mark():
    assert count_lines([b"\xef\xbb\xbf\n{}\n"]) == 1


def _cut(packed: bytes) -> bytes:
    return packed[:-3]


PACKED = gzip.compress(b"1\n2\n" * 1000, mtime=0)


@pytest.mark.parametrize(
    "content, lines",
    [
        (PACKED, 2000),
        (PACKED + PACKED, 4000),  # several members in one file are allowed
        (gzip.compress(b"", mtime=0), 0),
        (b"", 0),
        (_cut(PACKED), None),
        (PACKED + b"rest", None),
        (PACKED + b"\0\0", None),  # Python's gzip allows this padding, Spark's reader does not
        (b'{"not": "gzip"}\n', None),
        (PACKED[:40] + b"\xff" + PACKED[41:], None),
    ],
    ids=[
        "one",
        "two members",
        "empty member",
        "no bytes",
        "cut short",
        "text after",
        "zeros after",
        "plain",
        "damaged",
    ],
)
def test_inspect_counts_the_lines_of_a_gz_file_or_says_it_is_unreadable(tmp_path, content, lines):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(content)
    assert inspect(path) == lines


def test_inspect_unpacks_in_pieces_what_is_far_larger_than_its_file(tmp_path):
    path = tmp_path / "zeros.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n" * 30_000_000 + b"{}", mtime=0))
    assert inspect(path) == 1
