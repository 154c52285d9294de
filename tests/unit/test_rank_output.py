"""Where the ranks' words go, on a disk that takes additions and on a volume that takes whole files only."""

import builtins
from pathlib import Path

import pytest

from pagerec_dbx.training import rank_output
from pagerec_dbx.training.rank_output import added_to


@pytest.fixture
def volume(tmp_path, monkeypatch) -> Path:
    """A folder in which no file can be opened to add to it."""
    real = builtins.open

    def whole_files_only(file, mode="r", *more, **options):
        if "a" in mode and Path(file).is_relative_to(tmp_path / "volume"):
            raise OSError(95, "Operation not supported")
        return real(file, mode, *more, **options)

    monkeypatch.setattr(builtins, "open", whole_files_only)
    monkeypatch.setattr(rank_output, "_VOLUMES", tmp_path / "volume")
    return tmp_path / "volume"


def say_twice(log_file: Path) -> None:
    """Two trainings, of which the first one fails."""
    with pytest.raises(KeyError), added_to(log_file) as log:
        log.write("first\n")
        raise KeyError
    with added_to(log_file) as log:
        log.write("second\n")


def test_words_of_all_trainings_are_kept_on_a_disk(tmp_path):
    say_twice(tmp_path / "logs" / "ranks.log")
    assert (tmp_path / "logs" / "ranks.log").read_text() == "first\nsecond\n"


def test_words_of_all_trainings_are_kept_on_a_volume_the_failed_one_s_too(volume):
    say_twice(volume / "logs" / "ranks.log")
    assert (volume / "logs" / "ranks.log").read_text() == "first\nsecond\n"
    assert [path.name for path in (volume / "logs").iterdir()] == ["ranks.log"]


def test_a_volume_cannot_be_written_to_as_a_disk_is(volume, monkeypatch):
    """The negative control: without the detour there is no log."""
    monkeypatch.setattr(rank_output, "_VOLUMES", Path("/elsewhere"))
    with pytest.raises(OSError, match="not supported"):
        say_twice(volume / "logs" / "ranks.log")


def test_a_volume_that_takes_no_file_does_not_stop_a_training(volume, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rank_output, "write_atomically", full)
    with added_to(volume / "ranks.log") as log:
        log.write("x\n")
    assert "the ranks' words cannot be written to" in capsys.readouterr().err
