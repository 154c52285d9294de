"""Files of user ids: what is read, what is refused, and that no message repeats an id."""

import pytest

from pagerec_dbx.errors import IdsFileError, RekeyError
from pagerec_dbx.hashing import user_hash
from pagerec_dbx.stages.ids_file import read_new_hashes, read_user_ids

OLD, NEW = b"old key", b"new key"
H, N, M = "0a" * 32, "1b" * 32, "2c" * 32


@pytest.fixture
def file(tmp_path):
    return tmp_path / "ids.txt"


def test_user_ids_are_read_one_a_line_each_once_and_to_the_letter(file):
    # Spaces belong to an id, as they do in a log; so do U+2028 and form feeds, at which Python's splitlines() cuts.
    file.write_bytes("﻿ann\r\n\n  bob \nann\nzoë,\u2028the\f2nd\n".encode())
    assert read_user_ids(file) == ["ann", "  bob ", "zoë,\u2028the\f2nd"]


def test_an_id_of_spaces_is_one(file):
    file.write_text("ann\n \n\n")
    assert read_user_ids(file) == ["ann", " "]


@pytest.mark.parametrize(
    ("octets", "said"),
    [(b"", "names no viewer"), (b" \n\r\n", "names no viewer"), (b"\xff\xfe", "cannot be read: wanted a UTF-8")],
)
def test_user_ids_file_that_says_nothing_is_refused(file, octets, said):
    file.write_bytes(octets)
    with pytest.raises(IdsFileError, match=said):
        read_user_ids(file)


def test_user_ids_file_that_is_missing_is_refused(file):
    with pytest.raises(IdsFileError, match="ids.txt cannot be read: .* got No such file"):
        read_user_ids(file)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("user_id\nann\n", {user_hash(OLD, "ann"): user_hash(NEW, "ann")}),
        ("old_id,new_id\nann,a1\n\n", {user_hash(OLD, "ann"): user_hash(NEW, "a1")}),
        (f"new_id,old_hash\na1,{H}\n", {H: user_hash(NEW, "a1")}),
        (f"old_hash,new_hash\n{H},{N}\n{H},{N}\n", {H: N}),
        ('old_id,new_id\n"ann, the 1st",a1\n', {user_hash(OLD, "ann, the 1st"): user_hash(NEW, "a1")}),
        # To the letter, as `ingest` takes an id: spaces, what else ends a line for Python, any length.
        ("old_id,new_id\n ann,a1 \n", {user_hash(OLD, " ann"): user_hash(NEW, "a1 ")}),
        ("user_id\n \n", {user_hash(OLD, " "): user_hash(NEW, " ")}),
        ("user_id\nu\u2028x\nu\x85y\n", {user_hash(OLD, one): user_hash(NEW, one) for one in ("u\u2028x", "u\x85y")}),
        (f"user_id\n{'u' * 200_000}\n", {user_hash(OLD, "u" * 200_000): user_hash(NEW, "u" * 200_000)}),
        (f"old_hash,new_id\r\n {H} ,a1\r\n", {H: user_hash(NEW, "a1")}),
    ],
)  # fmt: skip
def test_new_hashes_come_from_ids_or_hashes(file, text, wanted):
    file.write_text(text)
    assert read_new_hashes(file, OLD, NEW) == wanted


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("", IdsFileError, "has another header"),
        ("secret-id,other\n", IdsFileError, "has another header"),
        ("old_id,new_id\n", IdsFileError, "names no viewer"),
        ("old_id,new_id\nsecret-id\n", IdsFileError, "line 2 of .* is malformed: wanted 2 values, got 1 values"),
        ("old_id,new_id\nsecret-id,\n", IdsFileError, "line 2 .* 1 of them empty"),
        ('user_id\n"secret-id\n', IdsFileError, "line 2 .* is malformed: got unexpected end of data"),
        (f"old_hash,new_hash\n{H},secret-id\n", IdsFileError, "line 2 of .* has no hash under `new_hash`"),
        (f"old_hash,new_id\n{H.upper()},secret-id\n", IdsFileError, "no hash under `old_hash`: .* got 64 other"),
        ("old_id,new_id\nsecret-id,a\nsecret-id,b\n", RekeyError, "line 3 .* earlier line with another new id"),
        ("old_id,new_id\nsecret-id,a\nbob,a\n", RekeyError, "line 3 .* the new id of line 2"),
        (f"old_hash,new_hash\n{H},{N}\n{N},{M}\n", RekeyError, "old ones and new ones: .* got 1 on both sides"),
    ],
)
def test_new_hashes_are_refused_where_they_contradict_each_other(file, text, error, said):
    file.write_text(text)
    with pytest.raises(error, match=said) as raised:
        read_new_hashes(file, OLD, NEW)
    assert "secret-id" not in str(raised.value)
