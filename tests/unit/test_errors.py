"""Errors: one sentence of what, wanted, got, and what to do; they survive the way between processes."""

import errno
import pickle
import runpy
import sqlite3
from pathlib import Path

import pytest

from pagerec_dbx import errors
from tests.bundle import ROOT


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


def test_advice_to_go_on_becomes_advice_to_repeat():
    """Several seeds and searches are no runs that --resume takes; what else an error says stays, the log file too."""
    died = errors.DeadRankError(
        "a rank died",
        wanted="w",
        got=f"Make room, then {errors.GO_ON}; rank 1 too",
        fix=f"Read the words in /tmp/x/ranks.log, then {errors.GO_ON} 4f5e",
    )
    told = errors.with_advice_to_repeat(died)
    assert type(told) is errors.DeadRankError
    assert str(told) == (
        "a rank died: wanted w, got Make room, then run the same command again; rank 1 too. "
        "Read the words in /tmp/x/ranks.log, then run the same command again."
    )


def test_whatever_ends_a_training_says_so_in_the_words_that_can_be_exchanged():
    """Advice with --resume in other words would be told for several seeds, too."""
    package = Path(errors.__file__).parent
    texts = {file.name: file.read_text() for file in sorted((package / "training").glob("*.py"))}
    assert [name for name, text in texts.items() if "--resume" in text] == []
    assert [name for name, text in texts.items() if "GO_ON}" in text] == [
        "agreement.py", "checkpoints.py", "distributed.py",
    ]  # fmt: skip


def test_only_wrong_calls_exit_with_2():
    assert {kind.__name__ for kind in KINDS if kind.exit_code == 2} == {
        kind.__name__ for kind in KINDS if issubclass(kind, errors.UsageError)
    }


def _wrapped(cause: Exception) -> Exception:
    try:
        try:
            raise cause
        except Exception as error:
            raise RuntimeError("a job failed") from error
    except RuntimeError as wrapped:
        return wrapped


@pytest.mark.parametrize(
    "cause",
    [
        OSError(errno.ENOSPC, "No space left on device", "/home/tables"),
        OSError(errno.EDQUOT, "over"),
        ValueError("Caused by: java.io.IOException: No space left on device"),
        sqlite3.OperationalError("database or disk is full"),
    ],
)
def test_a_full_disk_is_found_behind_what_was_raised(cause):
    for error in (cause, _wrapped(cause)):
        told = errors.full_disk(error)
        assert isinstance(told, errors.DiskFullError) and "run the same command again" in str(told)
    assert ("no room for /home/tables" in str(errors.full_disk(cause))) == (
        getattr(cause, "filename", None) is not None
    )


def test_another_failure_is_no_full_disk():
    assert errors.full_disk(_wrapped(OSError(errno.EACCES, "Permission denied"))) is None


def test_an_error_in_one_line_leaves_out_tensorflow_s_headlines_and_traces():
    text = (
        "Graph execution error:\n\nDetected at node while/GatherV2 defined at (most recent call last):\n"
        '  File "somewhere.py", line 8, in <module>\n\nindices[0] = 7 is not in [0, 5)\n'
        "\t [[{{node while/GatherV2}}]] [Op:__inference_f_49]"
    )
    assert errors.in_one_line(ValueError(text)) == "ValueError: indices[0] = 7 is not in [0, 5)"
    named = "{{function_node __inference_f_3}} incompatible [Op:MatMul] name: "
    assert errors.in_one_line(ValueError(named)) == "ValueError: incompatible"
    assert errors.in_one_line(KeyError()) == "KeyError"


# --- the page that lists them ---------------------------------------------------------------------------------------

TOOL = runpy.run_path(str(ROOT / "tools/errors.py"))


def test_the_page_of_errors_is_of_this_code():
    assert (ROOT / "docs/errors.md").read_text(encoding="utf-8") == TOOL["page"](), "run `make errors`"


def test_the_page_of_errors_would_show_a_changed_message():
    """The control of the test before, and what a message is read as."""
    made = list(
        TOOL["messages"](
            "raise HomeError(f'{name} is ' + 'no home', wanted='a' if x else 'b', got=name, fix='Make one')\n"
            "raise LookupError('of somebody else')\n"
            "raise LockedHomeError(what)\n"
        )
    )
    assert [(one.kind, one.what, one.wanted, one.fix) for one in made] == [
        ("HomeError", "... is no home", "a / b", "Make one"),
        ("LockedHomeError", "...", "", ""),
    ]
    page = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    assert "| ... is no home | " in page and "Set the widget `home`" in page
