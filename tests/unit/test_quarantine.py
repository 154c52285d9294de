"""The text that is kept of a refused line holds no user id."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagerec_dbx.hashing import user_hash
from pagerec_dbx.pipelines.mapping import IdKeys
from pagerec_dbx.pipelines.quarantine import mask_line

SECRET = b"a key for tests"


def _hash(text: str) -> str:
    return user_hash(SECRET, text)


ANN = _hash("ann@tv")


@pytest.mark.parametrize(
    "line, kept",
    [
        ('{"user_id": "ann@tv", "x": 1}', f'{{"user_id": "{ANN}", "x": 1}}'),
        ('{"user_id": 12, "x"', f'{{"user_id": "{_hash("12")}", "x"'),
        ('{"x": 1, "user_id":"ann@tv', f'{{"x": 1, "user_id":"{ANN}"'),  # cut off inside the id
        ('{"user\\u005fid": "ann@tv"}', f'{{"user\\u005fid": "{ANN}"}}'),  # the key written in escapes
        ('{"user_id": "ann\\u0040tv"}', f'{{"user_id": "{ANN}"}}'),  # the id written in escapes
        ('{"user_id": "ann@tv"}{"user_id": "bob"}', f'{{"user_id": "{ANN}"}}{{"user_id": "{_hash("bob")}"}}'),
        ("{'user_id': 'ann@tv'}", f"{{'user_id': '{ANN}'}}"),
        ('{"text": "{\\"user_id\\": \\"ann@tv\\"}"}', f'{{"text": "{{\\"user_id\\": \\"{ANN}\\"}}"}}'),
        ("user_id=ann@tv;", f"user_id={_hash('ann@tv;')}"),
        ('{"user_id": null, "candidates": [1]}', '{"user_id": null, "candidates": [1]}'),
        ('{"candidates": [1], "user_id":null}', '{"candidates": [1], "user_id":null}'),
        ('{"user_id": null', '{"user_id": null'),
        ('{"user_id": nullable, "a": 1}', f'{{"user_id": {_hash("nullable,")} "a": 1}}'),
        ('{"user_id": "null", "a": 1}', f'{{"user_id": "{_hash("null")}", "a": 1}}'),
    ],
)
def test_mask_line_puts_hashes_in_place_of_ids(line, kept):
    assert mask_line(line.encode(), SECRET)[0] == kept


@pytest.mark.parametrize(
    "line, about",
    [
        ('{"user_hash": "abc", "user_id": "ann@tv"}', ANN),  # user_id counts where both are given
        ('{"user_hash": "abc", "x', "abc"),
        ('{"user_id": null, "x', None),
        ('{"x": 1}', None),
    ],
)
def test_mask_line_says_whom_the_line_is_about(line, about):
    assert mask_line(line.encode(), SECRET)[1] == about


def test_mask_line_leaves_a_user_hash_as_it_is():
    line = '{"user_hash": "0123456789abcdef", "event": "x"}'
    assert mask_line(line.encode(), SECRET) == (line, "0123456789abcdef")


def test_mask_line_blurs_the_start_of_a_line_without_a_key():
    kept, about = mask_line(b'{"uid": "ann-of-green-gables", "n": 12345}' + b"x y " * 100, SECRET)
    assert about is None
    assert kept.startswith('{"uid": "*", "n": #####}')
    assert len(kept) <= 200


def test_mask_line_takes_bytes_that_are_no_text():
    kept, about = mask_line(b'\xff\xfe{"user_id": "ann@tv", "x": "\x00\xc3"}', SECRET)
    assert "ann@tv" not in kept and about == ANN


LETTERS = st.characters(categories=["L", "Nd"])


@given(st.text(LETTERS, min_size=4), st.integers(0, 60), st.integers(0, 40), st.booleans())
def test_mask_line_never_keeps_the_id_of_a_broken_line(user, cut, at, ascii_only):
    # A line with a byte knocked out somewhere before its id, and cut off somewhere after it.
    line = json.dumps({"request_id": "r", "user_id": f"u-{user}-u", "rest": "z" * 40}, ensure_ascii=ascii_only)
    octets = line.encode("utf-8", errors="replace")
    broken = octets[: len(octets) - cut]
    kept, _ = mask_line(broken[:at] + broken[at + 1 :] if at < 18 else broken, SECRET)
    assert f"u-{user}-u" not in kept


@pytest.mark.parametrize(
    "line",
    [
        b"{'user_id': 'anna smith'}",
        b'{"text": "{\\"user_id\\":\\"anna smith\\",1}"}',
        b'{"user_id":["anna","smith"',
        b'{"user_id":{"first":"anna","last":"smith"',
        '{"user_id": "anna smith"}'.encode("utf-16"),
        b"user_id: anna smith, device: tv",
    ],
)
def test_no_part_of_an_id_is_kept_in_what_is_no_json(line):
    kept, _ = mask_line(line, b"key")
    assert "anna" not in kept.lower() and "smith" not in kept.lower()


# --- mapped ids -------------------------------------------------------------------------------------------------------

NESTED = IdKeys(ids=("user_id", "id"), id_path=("ctx", "user", "id"))
BOB = _hash("bob")


@pytest.mark.parametrize(
    "line, about",
    [
        ('{"id": "bob", "ctx": {"user": {"id": "ann@tv"}}', None),  # broken, and two ids: either may be the user's
        ('{"id": "bob", "ctx": {"user": {"id": "ann@tv"}}}', ANN),
        ('{"ctx": {"user": {"id": "ann@tv"', ANN),
        ('{"ctx": {"user": {"id": "ann@tv"}, "id": "ann@tv"', ANN),
        ('{"ctx": {"user": {"\\u0069d": "ann@tv"}}}', ANN),
        ('{"ctx": {"user": {"id": "ann\\u0040tv"}}}', ANN),
        ('{"ctx": {"user": {"id": 1.10}}}', _hash("1.10")),
        ('{"ctx": {"user": {"id": null}}, "id": "ann@tv"}', None),
        ('{"ctx": "ann", "id": "ann@tv"}', None),
        ('{"text": "{\\"id\\": \\"ann@tv\\"}"}', None),
        ('{"text": "\\nid=ann@tv"}', None),
        ('{"text": "\\u0022id: ann@tv"}', None),
        ("id=ann@tv;", None),
        ("{'id': 'ann@tv'}", None),
        ('{"user_id": "ann@tv", "ctx": {"user": {"id": "bob"}}}', BOB),
        ('{"id": ["ann@tv"], "ctx": {"user": {"id": {"name": "ann@tv"}}}}', None),
    ],
)
def test_mask_line_hashes_what_stands_behind_a_mapped_key(line, about):
    kept, user = mask_line(line.encode(), SECRET, NESTED)
    assert "ann@tv" not in kept and "bob" not in kept
    assert user == about


def test_mask_line_would_keep_a_mapped_id_without_the_mapping():
    kept, _ = mask_line(b'{"user_id": "x", "ctx": {"user": {"id": "ann@tv"}}}', SECRET)
    assert "ann@tv" in kept


def test_mask_line_leaves_keys_that_end_like_a_mapped_one():
    line = '{"row_id": "r1", "grid": "g", "id": "ann@tv"}'
    assert mask_line(line.encode(), SECRET, NESTED)[0] == f'{{"row_id": "r1", "grid": "g", "id": "{ANN}"}}'


@pytest.mark.parametrize("name", ["user-id", "$id", "id of user", "größe", "user.id"])
def test_mask_line_knows_keys_of_other_letters(name):
    keys = IdKeys(ids=("user_id", name), id_path=(name,))
    for key in (json.dumps(name), json.dumps(name, ensure_ascii=False)):
        for line in (f'{{{key}: "ann@tv"}}', f'{{{key}: "ann@tv"', f'{{"x": 1, {key}:"ann@tv'):
            kept, about = mask_line(line.encode(), SECRET, keys)
            assert "ann@tv" not in kept and about == ANN


def test_mask_line_takes_a_hash_at_its_mapped_path():
    keys = IdKeys(ids=("user_id",), hashes=("user_hash", "h"), hash_path=("who", "h"))
    line = '{"h": "other", "who": {"h": "0123456789abcdef"}}'
    assert mask_line(line.encode(), SECRET, keys) == (line, "0123456789abcdef")


def test_mask_line_takes_half_a_surrogate_pair_as_java_does():
    assert mask_line(b'{"user_id": "\\ud800"}', SECRET)[1] == _hash("?")
    assert mask_line(b'{"ctx": {"user": {"id": "\\ud800"}}}', SECRET, NESTED)[1] == _hash("?")


@given(st.text(LETTERS, min_size=4), st.integers(0, 60), st.integers(0, 26), st.booleans())
def test_mask_line_never_keeps_the_mapped_id_of_a_broken_line(user, cut, at, ascii_only):
    page = {"request": {"id": "r"}, "ctx": {"user": {"id": f"u-{user}-u"}}, "rest": "z" * 40}
    octets = json.dumps(page, ensure_ascii=ascii_only).encode("utf-8", errors="replace")
    broken = octets[: len(octets) - cut]
    kept, _ = mask_line(broken[:at] + broken[at + 1 :], SECRET, NESTED)
    assert f"u-{user}-u" not in kept
