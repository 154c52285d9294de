"""What a task of a job does with its command: fails with it, or ends well with a refusal."""

import runpy

import pytest

from pagerec_dbx.task import run_task, run_task_that_may_refuse
from tests.bundle import ROOT


@pytest.mark.parametrize("script", sorted((ROOT / "jobs").glob("*.py")), ids=lambda script: script.stem)
def test_script_runs_the_command_of_its_name(script, monkeypatch, capsys):
    calls = []

    def run_command(arguments, **_):
        calls.append(arguments)
        print('{"promoted": true}')
        return 0

    monkeypatch.setattr("pagerec_dbx.task.run_command", run_command)
    monkeypatch.setattr("sys.argv", [str(script), "--home", "h"])
    runpy.run_path(str(script), run_name="__main__")
    assert calls[0][:3] == [script.stem, "--home", "h"]


def test_task_that_fails_ends_with_an_error(capsys):
    with pytest.raises(SystemExit, match="task `evaluate` failed with exit code 2"):
        run_task("evaluate", ["--no-such-option"])
    assert "no-such-option" in capsys.readouterr().err


def test_task_that_may_refuse_ends_well_when_refused(monkeypatch, capsys):
    def refuse(arguments, **_):
        assert arguments[-1] == "--json"
        print("what an engine prints")
        print('{"version": "2", "promoted": false, "reasons": ["gain too small"]}')
        print("an engine's last word")
        return 1

    monkeypatch.setattr("pagerec_dbx.task.run_command", refuse)
    run_task_that_may_refuse("promote", ["--version", "2"])
    captured = capsys.readouterr()
    assert "promote refused, which is recorded: gain too small" in captured.err
    assert '"promoted": false' in captured.out


def test_task_that_may_refuse_fails_where_there_was_an_error(monkeypatch):
    monkeypatch.setattr("pagerec_dbx.task.run_command", lambda arguments, **_: 1)  # an error prints nothing
    with pytest.raises(SystemExit, match="task `promote` failed with exit code 1"):
        run_task_that_may_refuse("promote", ["--version", "9"])


@pytest.mark.parametrize("printed", ["what an engine prints", "17", "{"])
def test_task_that_may_refuse_fails_where_no_refusal_was_printed(monkeypatch, printed):
    def fail(arguments, **_):
        print(printed)
        return 1

    monkeypatch.setattr("pagerec_dbx.task.run_command", fail)
    with pytest.raises(SystemExit, match="task `promote` failed with exit code 1"):
        run_task_that_may_refuse("promote", ["--version", "9"])


def test_task_shows_the_trace_of_what_nobody_foresaw(monkeypatch, tmp_path, capsys):
    def doctor(_):
        raise ZeroDivisionError("in the depth")

    monkeypatch.setattr("pagerec_dbx.stages.doctor.doctor", doctor)
    with pytest.raises(SystemExit, match="task `doctor` failed with exit code 1"):
        run_task("doctor", ["--home", str(tmp_path)])
    said = capsys.readouterr().err
    assert "Traceback" in said and ", in doctor\n" in said
    assert "unexpected ZeroDivisionError: in the depth (the trace is above)" in said


def test_task_shows_no_trace_of_an_error_that_says_what_to_do(tmp_path, capsys):
    with pytest.raises(SystemExit, match="task `join` failed with exit code 1"):
        run_task("join", ["--home", str(tmp_path / "none")])
    said = capsys.readouterr().err
    assert "there is no home" in said and "Traceback" not in said
