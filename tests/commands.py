"""Commands run in this process, on the shared Spark session."""

import contextlib
import dataclasses
import io
import json
from pathlib import Path

import pytest

from pagerec_dbx.cli import run_command


@dataclasses.dataclass(frozen=True)
class Ran:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        return json.loads(self.out)


def run(*arguments: str, stdin: bytes = b"") -> Ran:
    """One command in this process, on the shared Spark session."""
    out, err = io.StringIO(), io.StringIO()
    given = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", given)
        code = run_command(arguments)
    return Ran(code, out.getvalue(), err.getvalue())


@dataclasses.dataclass(frozen=True)
class Demo:
    """A finished demo."""

    home: Path
    result: Ran

    def run(self, command: str, *arguments: str, stdin: bytes = b"") -> Ran:
        return run(command, "--home", str(self.home), *arguments, stdin=stdin)
