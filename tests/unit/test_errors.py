"""Errors: one sentence of what, wanted, got, and what to do; they survive the way between processes."""

import pickle

import pytest

from pagerec_dbx import errors


def test_an_error_says_what_wanted_got_and_what_to_do():
    error = errors.SnapshotError("too few", wanted="2", got="1", fix="Do it")
    assert str(error) == "too few: wanted 2, got 1. Do it."
    assert str(errors.SnapshotError("gone", fix="Make it.")) == "gone. Make it."


KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.PagerecError)]


@pytest.mark.parametrize("kind", KINDS)
def test_errors_survive_pickling(kind):
    error = kind("a", wanted="b", got="c", fix="d")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (kind, str(error))


def test_only_wrong_calls_exit_with_2():
    assert {kind.__name__ for kind in KINDS if kind.exit_code == 2} == {
        kind.__name__ for kind in KINDS if issubclass(kind, errors.UsageError)
    }
