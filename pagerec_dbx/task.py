"""What a task of a Databricks job does: one command, with the parameters that the job hands to its script."""

import contextlib
import io
import json
import sys
from collections.abc import Sequence

from pagerec_dbx.cli import run_command


def run_task(command: str, arguments: Sequence[str] | None = None) -> None:
    """Run a command and return when it succeeded: a runtime may take even `sys.exit(0)` for a failure.

    Args:
        arguments: of the command; the script's own by default.

    Raises:
        SystemExit: it failed; the line before says why.
    """
    code = run_command([command, *_given(arguments)], trace_unexpected=True)
    if code:
        raise SystemExit(f"task `{command}` failed with exit code {code}; the lines above say why")


def run_task_that_may_refuse(command: str, arguments: Sequence[str] | None = None) -> None:
    """Run a command whose refusal, with its reasons, is a result: it is printed and the task ends well.

    Raises:
        SystemExit: it failed otherwise.
    """
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = run_command([command, *_given(arguments), "--json"], trace_unexpected=True)
    print(printed.getvalue(), end="")
    refused = _reasons(printed.getvalue()) if code == 1 else None
    if refused:
        print(f"{command} refused, which is recorded: {'; '.join(refused)}", file=sys.stderr)
    elif code:
        raise SystemExit(f"task `{command}` failed with exit code {code}; the lines above say why")


def _reasons(printed: str) -> list[str] | None:
    """Of a refusal: the last line that is an object, as engines may have printed too; an error leaves none."""
    for line in reversed(printed.splitlines()):
        with contextlib.suppress(ValueError):
            answer = json.loads(line)
            if isinstance(answer, dict):
                return answer.get("reasons")
    return None


def _given(arguments: Sequence[str] | None) -> Sequence[str]:
    return sys.argv[1:] if arguments is None else arguments
